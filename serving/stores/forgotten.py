"""Forgetting in the online store, and what is remembered of it.

First the ids are marked: from that moment nothing of the visitor is used or taken. Then their rows go
(`serving.stores.erasing`). A forgetting that was interrupted finds the same ids when it is repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, String, bindparam, exists, select, update

from portraits.errors import UnknownApp
from portraits.forgotten import Forgotten, mark
from serving.stores import schema
from serving.stores.database import now_us
from serving.stores.dialect import Dialect, ask_within, insert_tuples
from serving.stores.erasing import Erasing, parts
from serving.stores.people import ids_of_person

Status = Literal["pending", "done"]
PENDING: Status = "pending"
DONE: Status = "done"

_SALT = select(schema.apps.c.salt).where(schema.apps.c.app_id == bindparam("app_id"))
_SALT_IF_ANY = _SALT.where(
    exists(select(schema.forgotten.c.hash).where(schema.forgotten.c.app_id == schema.apps.c.app_id))
)
_AMONG = select(schema.forgotten.c.hash).where(
    schema.forgotten.c.app_id == bindparam("app_id"), schema.forgotten.c.hash.in_(bindparam("marks", expanding=True))
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """An id that something may still hold. `erased_us`: since when the lake does not; None: it may."""

    user_id: str
    erased_us: int | None


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of one person's forgetting: how many ids, whether anything was known, how far it is."""

    ids: int
    known: bool
    status: Status
    waiting: tuple[Waiting, ...]


class Forgetting(Erasing):
    """Forget online, tell the night what is left to do, remember that it is done."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect)
        self._salts: dict[str, str] = {}
        self._erased: set[str] = set()

    def mark(self, app_id: str, user_id: str) -> str:
        """The mark of an id. An app's salt never changes, so it is read once. Raises UnknownApp."""
        if app_id not in self._salts:
            rows = self.read(_SALT, {"app_id": app_id})
            if not rows:
                raise UnknownApp(app_id)
            self._salts[app_id] = rows[0].salt
        return mark(self._salts[app_id], user_id)

    def forget(self, app_id: str, user_id: str, *, known: bool = False) -> None:
        """Forgets the person who has this id, under all linked ids; `known`: something offline is known of them.

        Repeating it changes nothing. Raises UnknownApp, StoreUnavailable (what is marked already stays marked).
        """
        person = self.mark(app_id, user_id)
        if self._is_erased(app_id, user_id):
            return
        with self.write() as connection:
            found = connection.execute(ids_of_person(), {"app_id": app_id, "user_id": user_id})
            ids = sorted({str(row[0]) for row in found})
            at_us = now_us()
            rows = [(app_id, self.mark(app_id, one), person, at_us, known, PENDING, one, None) for one in ids]
            insert_tuples(connection, schema.forgotten, rows, skip=True)
        if self.erase_online(app_id, ids):
            c = schema.forgotten.c
            with self.write() as connection:
                mine = update(schema.forgotten).where(c.app_id == app_id, c.person == person)
                connection.execute(mine.values(known=True))
        self._erased.update(self.mark(app_id, one) for one in ids)

    def _is_erased(self, app_id: str, user_id: str) -> bool:
        """Whether the person's rows went before: since then none was taken. This process did it or the night did."""
        if self.mark(app_id, user_id) in self._erased:
            return True
        record = self.record(app_id, user_id)
        return record is not None and all(one.erased_us is not None for one in record.waiting)

    def forgotten(self, app_id: str) -> Forgotten:
        """Everyone who was forgotten. Raises UnknownApp."""
        self.mark(app_id, "")
        rows = self.read(select(schema.forgotten.c.hash).where(schema.forgotten.c.app_id == app_id))
        return Forgotten(self._salts[app_id], [row.hash for row in rows])

    def forgotten_with(self, app_id: str, user_id: str) -> Forgotten:
        """The ids that were forgotten together with this one; nobody where it was not. Raises UnknownApp."""
        c = schema.forgotten.c
        person = select(c.person).where(c.app_id == app_id, c.hash == self.mark(app_id, user_id)).scalar_subquery()
        rows = self.read(select(c.hash).where(c.app_id == app_id, c.person == person))
        return Forgotten(self._salts[app_id], [row.hash for row in rows])

    def texts(self, app_id: str) -> Iterator[tuple[str, dict[str, str]]]:
        """(table, column -> text) for every row of the app, hashes aside."""
        for table in schema.metadata.sorted_tables:
            if "app_id" in table.columns:
                columns = [c for c in table.columns if isinstance(c.type, String) and c.name not in ("hash", "person")]
                rows = self.stream(select(*columns).where(table.c.app_id == app_id))
                yield from ((table.name, {name: text for name, text in row._mapping.items() if text}) for row in rows)

    def waiting(self, app_id: str) -> list[Waiting]:
        """The ids that something may still hold."""
        c = schema.forgotten.c
        statement = select(c.id, c.erased_us).where(c.app_id == app_id, c.status == PENDING, c.id.is_not(None))
        return [Waiting(row.id, row.erased_us) for row in self.read(statement.order_by(c.id))]

    def record(self, app_id: str, user_id: str) -> Record | None:
        """How the forgetting of the person stands who had this id; None when it was never asked for."""
        c = schema.forgotten.c
        person = select(c.person).where(c.app_id == app_id, c.hash == self.mark(app_id, user_id)).scalar_subquery()
        rows = self.read(select(schema.forgotten).where(c.app_id == app_id, c.person == person))
        if not rows:
            return None
        waiting = tuple(Waiting(row.id or "", row.erased_us) for row in rows if row.status == PENDING)
        return Record(len(rows), any(row.known for row in rows), PENDING if waiting else DONE, waiting)

    def erased(self, app_id: str, ids: Collection[str]) -> None:
        """The lake does not hold these ids any more; what is built from now on will not."""
        c = schema.forgotten.c
        at_us = now_us()
        for some in parts(sorted(ids)):
            which = (c.app_id == app_id) & c.id.in_(some) & c.erased_us.is_(None)
            with self.write() as connection:
                connection.execute(update(schema.forgotten).where(which).values(erased_us=at_us))

    def finish(self, app_id: str, ids: Collection[str]) -> bool:
        """Nothing holds these ids any more: they go too, and once no byte of the store has them, they are done.

        False: a reader keeps the store's log from being emptied; ask again later, with or without the ids.
        """
        c = schema.forgotten.c
        for some in parts(sorted(ids)):
            with self.write() as connection:
                connection.execute(update(schema.forgotten).where(c.app_id == app_id, c.id.in_(some)).values(id=None))
        if not self.read(select(c.hash).where(c.app_id == app_id, c.status == PENDING, c.id.is_(None)).limit(1)):
            return True
        if not self._dialect.empty_log():
            return False
        with self.write() as connection:
            done = update(schema.forgotten).where(c.app_id == app_id, c.status == PENDING, c.id.is_(None))
            connection.execute(done.values(status=DONE))
        return True


def forgotten_among(connection: Connection, app_id: str, ids: Iterable[str]) -> set[str]:
    """Those of the ids that were forgotten, as the transaction sees it."""
    salts = ask_within(connection, _SALT_IF_ANY, {"app_id": app_id})
    if not salts:
        return set()
    salt = str(salts[0][0])
    marks = {mark(salt, one): one for one in ids}
    found: set[str] = set()
    for some in parts(list(marks)):
        found.update(marks[row[0]] for row in connection.execute(_AMONG, {"app_id": app_id, "marks": some}))
    return found
