"""Catalogue rows that are true now, and the log of their changes until the lake has it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from portraits.errors import NothingThere, UnknownApp, UnknownName
from portraits.history import CATALOGUES, IDENTITIES, OFFERS, USERS
from serving.stores import schema
from serving.stores.books import reopen
from serving.stores.database import Database, now_us
from serving.stores.dialect import upsert
from serving.stores.forgotten import forgotten_among
from serving.stores.mentions import ids_in
from serving.stores.people import relink
from serving.stores.rights import own_consent
from serving.stores.rows import as_text

UPSERT_AT_ONCE = 500
"""Rows of one transaction when a whole catalogue is loaded: events wait less than 50 ms for it."""
LINKS_AT_ONCE = 100
"""The same for identities, each of which moves people."""

REFUSES = '"consent":false'
"""What the text of a users row holds that refuses personalisation (`rows.as_text` writes no spaces)."""


class Change(NamedTuple):
    """A row that is true from `at_us` on; `payload` is the contract's row as JSON."""

    seq: int
    name: str
    payload: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Upserted:
    """How many rows changed something, and how many were there already as they are."""

    changed: int
    unchanged: int


_CURRENT = select(schema.catalogue.c.key, schema.catalogue.c.payload).where(
    schema.catalogue.c.app_id == bindparam("app_id"),
    schema.catalogue.c.name == bindparam("name"),
    schema.catalogue.c.key.in_(bindparam("keys", expanding=True)),
)
_REPLACED = ("payload", "change_seq", "changed_us")


class Catalogues(Database):
    """Upsert, read, drain."""

    def upsert(self, app_id: str, name: str, rows: Sequence[Mapping[str, Any]]) -> Upserted:
        """Makes checked rows (`checking.check`) true from now on; a row that says nothing new changes nothing.

        Raises:
            UnknownName: no such catalogue. UnknownApp: no such app. StoreUnavailable: nothing of this part was written.
        """
        if name not in CATALOGUES:
            raise UnknownName("catalogue", name, CATALOGUES)
        changed = 0
        at_once = min(UPSERT_AT_ONCE, LINKS_AT_ONCE) if name == IDENTITIES.name else UPSERT_AT_ONCE
        for start in range(0, len(rows), at_once):
            with self.write() as connection:
                changed += upsert_rows(connection, app_id, name, rows[start : start + at_once])
        return Upserted(changed, len(rows) - changed)

    def changes(self, app_id: str, name: str, after_seq: int = 0, since_us: int | None = None) -> list[dict[str, Any]]:
        """Rows of a catalogue whose last change is after `after_seq` (or at `since_us` or later), oldest first.

        With the defaults: the whole catalogue as it is now.
        """
        c = schema.catalogue.c
        late = c.change_seq > after_seq
        if since_us is not None:
            late = late | (c.changed_us >= since_us)
        statement = select(c.payload).where(c.app_id == app_id, c.name == name, late).order_by(c.change_seq)
        return [json.loads(row.payload) for row in self.read(statement)]

    def refused(self, app_id: str, after_seq: int = 0, since_us: int | None = None) -> list[str]:
        """Visitors whose row was changed after `after_seq` (or at `since_us` or later) and refuses personalisation.

        Only rows that may refuse are read: a whole catalogue of visitors may have been imported since.
        """
        c = schema.catalogue.c
        late = c.change_seq > after_seq
        if since_us is not None:
            late = late | (c.changed_us >= since_us)
        users = (c.app_id == app_id) & (c.name == "users") & late & c.payload.contains(REFUSES)
        rows = self.read(select(c.key, c.payload).where(users).order_by(c.change_seq))
        return [row.key for row in rows if json.loads(row.payload).get("consent") is False]

    def refused_of(self, app_id: str, user_ids: Collection[str]) -> list[str]:
        """Those of these visitors whose row refuses personalisation."""
        ids, found = sorted(user_ids), []
        for start in range(0, len(ids), UPSERT_AT_ONCE):
            asked = {"app_id": app_id, "name": "users", "keys": ids[start : start + UPSERT_AT_ONCE]}
            found += [row.key for row in self.read(_CURRENT, asked) if json.loads(row.payload).get("consent") is False]
        return found

    def row(self, app_id: str, name: str, key: str) -> dict[str, Any]:
        """One row as it is now. Raises NothingThere."""
        rows = self.read(_CURRENT, {"app_id": app_id, "name": name, "keys": [key]})
        if not rows:
            raise NothingThere(name, key, f"send it with POST /v1/{name} or: huaxiang import {name}")
        return dict(json.loads(rows[0].payload))

    def changes_to_drain(self, app_id: str, after_seq: int | None = None, limit: int = 50_000) -> list[Change]:
        """The log of changes after `after_seq` (default: the last drained), in order, for the lake."""
        if after_seq is None:
            after_seq = self._changes_drained(app_id)
        c = schema.catalogue_log.c
        statement = select(c.seq, c.name, c.payload, c.at_us).where(c.app_id == app_id, c.seq > after_seq)
        return [Change._make(row) for row in self.read(statement.order_by(c.seq).limit(limit))]

    def mark_changes_drained(self, app_id: str, seq: int) -> None:
        """The lake now holds every change up to `seq`; they leave the log (not the catalogue)."""
        c = schema.apps.c
        log = schema.catalogue_log.c
        with self.write() as connection:
            connection.execute(
                update(schema.apps).where(c.app_id == app_id, c.changes_drained < seq).values(changes_drained=seq)
            )
        while True:
            some = select(log.seq).where(log.app_id == app_id, log.seq <= seq).order_by(log.seq).limit(UPSERT_AT_ONCE)
            with self.write() as connection:
                gone = connection.execute(delete(schema.catalogue_log).where(log.seq.in_(some))).rowcount
            if gone < UPSERT_AT_ONCE:
                return

    def _changes_drained(self, app_id: str) -> int:
        rows = self.read(select(schema.apps.c.changes_drained).where(schema.apps.c.app_id == app_id))
        if not rows:
            raise UnknownApp(app_id)
        return int(rows[0].changes_drained)


def upsert_rows(connection: Connection, app_id: str, name: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Upserts inside a transaction that no other writer is in; how many rows changed something.

    A column that a row does not name keeps its value, so that news of an item's stock does not cost it its title; null
    takes a value away. Rows that name a forgotten visitor are left out (see `forgotten_rows`). A visitor's own switch
    beats any row's consent. An offer that was closed opens again with a higher budget.
    """
    lost = forgotten_rows(connection, app_id, name, rows)
    rows = [row for place, row in enumerate(rows) if place not in lost]
    key = CATALOGUES[name].key
    keys = list({str(row[key]) for row in rows})
    found = connection.execute(_CURRENT, {"app_id": app_id, "name": name, "keys": keys})
    current = {row.key: row.payload for row in found}
    latest = {known: json.loads(payload) for known, payload in current.items()}
    for row in rows:
        latest[str(row[key])] = latest.get(str(row[key]), {}) | dict(row)
    if name == USERS.name:
        for user_id, consent in own_consent(connection, app_id, latest).items():
            latest[user_id]["consent"] = consent
    texts = {known: as_text(row) for known, row in latest.items()}
    changed = {known: text for known, text in texts.items() if current.get(known) != text}
    if not changed:
        return 0
    at_us = now_us()
    common = {"app_id": app_id, "name": name}
    log = insert(schema.catalogue_log)
    connection.execute(log, [common | {"payload": payload, "at_us": at_us} for payload in changed.values()])
    last = connection.execute(select(func.max(schema.catalogue_log.c.seq))).scalar_one()
    first = last - len(changed) + 1  # writers take turns: the numbers of one insert are consecutive
    new = [
        common | {"key": key, "payload": payload, "change_seq": first + place, "changed_us": at_us}
        for place, (key, payload) in enumerate(changed.items())
    ]
    upsert(connection, schema.catalogue, new, replace=_REPLACED)
    moved = connection.execute(update(schema.apps).where(schema.apps.c.app_id == app_id).values(change_seq=last))
    if not moved.rowcount:
        raise UnknownApp(app_id)
    if name == IDENTITIES.name:
        before = {known: json.loads(current[known]) for known in changed if known in current}
        relink(connection, app_id, before, {known: json.loads(text) for known, text in changed.items()})
    if name == OFFERS.name:
        rows_of = {known: (json.loads(current.get(known, "{}")), json.loads(text)) for known, text in changed.items()}
        reopen(connection, app_id, rows_of)
    return len(changed)


def rows_now(connection: Connection, app_id: str, name: str, keys: Collection[str]) -> dict[str, dict[str, Any]]:
    """Rows by key as they are now, inside a transaction."""
    found = connection.execute(_CURRENT, {"app_id": app_id, "name": name, "keys": [*keys]})
    return {row.key: json.loads(row.payload) for row in found}


def forgotten_rows(connection: Connection, app_id: str, name: str, rows: Sequence[Mapping[str, Any]]) -> set[int]:
    """Places of the rows that name a visitor who was forgotten: they are never stored again."""
    named = [ids_in(name, row) for row in rows]
    gone = forgotten_among(connection, app_id, set().union(*named)) if any(named) else set()
    return {place for place, ids in enumerate(named) if ids & gone}
