"""Forgetting in the online store: first the marks, from which moment nothing of the visitor is used or taken; then the
rows, a few at a time; last the links, so that a forgetting that was interrupted finds the same ids when it is repeated.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, String, bindparam, delete, exists, or_, select, update

from portraits.errors import UnknownApp
from portraits.forgotten import FREE_TEXT, REFERRER, Forgotten, mark, refused_ids, spellings, without_ids
from portraits.identity import KINDS, USER
from serving.stores import schema
from serving.stores.books import drop_claims
from serving.stores.database import Database, now_us
from serving.stores.dialect import Dialect, ask_within, insert_tuples
from serving.stores.people import ids_of_person, relink
from serving.stores.rights import SWITCHES

Status = Literal["pending", "done"]
PENDING: Status = "pending"
DONE: Status = "done"
AT_ONCE = 500
"""Rows of one transaction: far below the 50 ms that events may be kept waiting."""
FORMS_AT_ONCE = 200
"""Texts that one statement looks for."""
NAMED: Mapping[str, tuple[str, ...]] = {"users": (USER,), "identities": KINDS}
"""Columns of the catalogues whose rows are a visitor's."""

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


class Forgetting(Database):
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

    def erase_online(self, app_id: str, ids: Collection[str]) -> int:
        """Deletes every row that these ids have, who must be marked already; how many rows it changed."""
        gone = frozenset(ids)
        taken = self._drop(schema.events, self._events(app_id, gone))
        taken += self._drop(schema.decisions, self._decisions(app_id, gone))
        taken += self._drop(schema.rejected, self._rejected(app_id, gone))
        taken += self._drop(schema.catalogue_log, self._log(app_id, gone))
        taken += self._without_mentions(app_id, gone)
        taken += self._drop_claims(app_id, gone)
        for some in _parts(sorted(gone)):
            with self.write() as connection:
                taken += _unlink(connection, app_id, some)
        return taken

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
        for some in _parts(sorted(ids)):
            which = (c.app_id == app_id) & c.id.in_(some) & c.erased_us.is_(None)
            with self.write() as connection:
                connection.execute(update(schema.forgotten).where(which).values(erased_us=at_us))

    def finish(self, app_id: str, ids: Collection[str]) -> bool:
        """Nothing holds these ids any more: they go too, and once no byte of the store has them, they are done.

        False: a reader keeps the store's log from being emptied; ask again later, with or without the ids.
        """
        c = schema.forgotten.c
        for some in _parts(sorted(ids)):
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

    def _events(self, app_id: str, gone: frozenset[str]) -> list[int]:
        """By the two indexes of a visitor's events: one statement over all would walk the table."""
        c = schema.events.c
        found = []
        for some in _parts(sorted(gone)):
            for part in (schema.SHAPING, schema.OTHER):
                found += self.read(select(c.seq).where(c.app_id == app_id, c.user_id.in_(some), part))
        return [row.seq for row in found]

    def _decisions(self, app_id: str, gone: frozenset[str]) -> list[int]:
        c = schema.decisions.c
        found = [
            self.read(select(c.seq).where(c.app_id == app_id, c.user_id.in_(some))) for some in _parts(sorted(gone))
        ]
        return [row.seq for rows in found for row in rows]

    def _rejected(self, app_id: str, gone: frozenset[str]) -> list[int]:
        """Their own, and others' that name them in a column of ids."""
        c = schema.rejected.c
        found: set[int] = set()
        for some in _parts(sorted(gone)):
            found.update(row.seq for row in self.read(select(c.seq).where(c.app_id == app_id, c.user_id.in_(some))))
        for forms in _spelled(gone):
            named = or_(*(text.contains(form, autoescape=True) for form in forms for text in (c.row, c.value)))
            rows = self.stream(select(c.seq, c.column, c.value, c.row).where(c.app_id == app_id, named))
            found.update(row.seq for row in rows if not gone.isdisjoint(refused_ids(row.column, row.value, row.row)))
        return sorted(found)

    def _log(self, app_id: str, gone: frozenset[str]) -> list[int]:
        c = schema.catalogue_log.c
        found = []
        for some in _parts(sorted(gone)):
            names = or_(*(c.payload.contains(json.dumps(one, ensure_ascii=False), autoescape=True) for one in some))
            rows = self.read(select(c.seq, c.name, c.payload).where(c.app_id == app_id, c.name.in_(NAMED), names))
            found += [row.seq for row in rows if not gone.isdisjoint(ids_in(row.name, json.loads(row.payload)))]
        return found

    def _without_mentions(self, app_id: str, gone: frozenset[str]) -> int:
        """Of other visitors' events: whom they came from, and whom they name in free text."""
        c = schema.events.c
        found: dict[int, str] = {}
        for forms in _spelled(gone):
            mentions = or_(*(c.payload.contains(form, autoescape=True) for form in forms))
            rows = self.stream(select(c.seq, c.payload).where(c.app_id == app_id, mentions))
            told = ((row.seq, row.payload, without_mentions(row.payload, gone)) for row in rows)
            found |= {seq: kept for seq, payload, kept in told if kept != payload}
        named = sorted(found.items())
        for start in range(0, len(named), AT_ONCE):
            with self.write() as connection:
                for seq, payload in named[start : start + AT_ONCE]:
                    connection.execute(update(schema.events).where(c.seq == seq).values(payload=payload))
        return len(named)

    def _drop_claims(self, app_id: str, gone: frozenset[str]) -> int:
        """Sums stay as they are, but for what nobody can use any more (see `books.drop_claims`)."""
        c = schema.claims.c
        taken = 0
        for some in _parts(sorted(gone)):
            found = self.read(select(c.claim_id).where(c.app_id == app_id, c.user_id.in_(some)))
            for claims in _parts([row.claim_id for row in found]):
                with self.write() as connection:
                    drop_claims(connection, app_id, claims)
            taken += len(found)
        return taken

    def _drop(self, table: Any, seqs: Sequence[int]) -> int:
        for some in _parts(list(seqs)):
            with self.write() as connection:
                connection.execute(delete(table).where(table.c.seq.in_(some)))
        return len(seqs)


REFERRED = f'"{REFERRER}":"'
"""What the payload of an event holds that somebody brought about (`rows.as_text` writes no spaces)."""


def forgotten_among(connection: Connection, app_id: str, ids: Iterable[str]) -> set[str]:
    """Those of the ids that were forgotten, as the transaction sees it."""
    salts = ask_within(connection, _SALT_IF_ANY, {"app_id": app_id})
    if not salts:
        return set()
    salt = str(salts[0][0])
    marks = {mark(salt, one): one for one in ids}
    found: set[str] = set()
    for some in _parts(list(marks)):
        found.update(marks[row[0]] for row in connection.execute(_AMONG, {"app_id": app_id, "marks": some}))
    return found


def ids_in(name: str, row: Mapping[str, Any]) -> set[str]:
    """The visitors' ids that a row of a catalogue names."""
    return {str(row[column]) for column in NAMED.get(name, ()) if row.get(column) is not None}


def without_referrer(payload: str, gone: Collection[str]) -> str:
    """An event's text without who brought it about, if that is one of `gone`."""
    if REFERRED not in payload:
        return payload
    row = json.loads(payload)
    if row.get(REFERRER) not in gone:
        return payload
    del row[REFERRER]
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def without_mentions(payload: str, gone: Collection[str]) -> str:
    """An event's text without who brought it about, if that is one of `gone`, and what is their id in free text."""
    row = json.loads(payload)
    kept = {name: value for name, value in row.items() if name != REFERRER or value not in gone}
    for name in FREE_TEXT:
        if isinstance(kept.get(name), str):
            kept[name] = without_ids(name, kept[name], gone)
    kept = {name: value for name, value in kept.items() if value is not None}
    return payload if kept == row else json.dumps(kept, ensure_ascii=False, separators=(",", ":"))


def _unlink(connection: Connection, app_id: str, ids: Sequence[str]) -> int:
    """Deletes what the users and identities catalogues, switches and deleted tags say of these ids, and moves whoever
    was linked to them."""
    links, people, rows = schema.links.c, schema.people.c, schema.catalogue.c
    named = select(links.link_id).where(links.app_id == app_id, links.value.in_(ids))
    mine = (rows.app_id == app_id) & (rows.name == "identities") & rows.key.in_(named)
    before = {
        row.key: json.loads(row.payload) for row in connection.execute(select(rows.key, rows.payload).where(mine))
    }
    taken = len(before)
    if before:
        connection.execute(delete(schema.catalogue).where(mine))
        relink(connection, app_id, before, {link_id: {} for link_id in before})
    connection.execute(delete(schema.people).where(people.app_id == app_id, people.id.in_(ids)))
    tags = schema.deleted_tags.c
    taken += connection.execute(
        delete(schema.deleted_tags).where(tags.app_id == app_id, tags.user_id.in_(ids))
    ).rowcount
    theirs = (rows.app_id == app_id) & rows.name.in_(("users", SWITCHES)) & rows.key.in_(ids)
    return taken + connection.execute(delete(schema.catalogue).where(theirs)).rowcount


def _spelled(ids: Collection[str]) -> list[list[str]]:
    """How the ids may be written, as many at a time as a statement takes."""
    forms = sorted({form for one in ids for form in spellings(one)})
    return [forms[start : start + FORMS_AT_ONCE] for start in range(0, len(forms), FORMS_AT_ONCE)]


def _parts(values: list[Any]) -> list[list[Any]]:
    return [values[start : start + AT_ONCE] for start in range(0, len(values), AT_ONCE)]
