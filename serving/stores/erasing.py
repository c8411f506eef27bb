"""Taking a visitor's rows out of the online store, a few at a time.

The links between ids go last, so that an erasure that was interrupted finds the same ids when it is repeated.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, or_, select, update

from portraits.forgotten import refused_ids, spellings
from serving.stores import schema
from serving.stores.books import drop_claims
from serving.stores.database import Database
from serving.stores.mentions import NAMED, ids_in, without_mentions
from serving.stores.people import relink
from serving.stores.rights import SWITCHES

AT_ONCE = 500
"""Rows of one transaction: far below the 50 ms that events may be kept waiting."""
FORMS_AT_ONCE = 200
"""Texts that one statement looks for."""


class Erasing(Database):
    """Deletes every row of some ids."""

    def erase_online(self, app_id: str, ids: Collection[str]) -> int:
        """Deletes every row that these ids have, who must be marked already; how many rows it changed."""
        gone = frozenset(ids)
        taken = self._drop(schema.events, self._events(app_id, gone))
        taken += self._drop(schema.decisions, self._decisions(app_id, gone))
        taken += self._drop(schema.rejected, self._rejected(app_id, gone))
        taken += self._drop(schema.catalogue_log, self._log(app_id, gone))
        taken += self._without_mentions(app_id, gone)
        taken += self._drop_claims(app_id, gone)
        for some in parts(sorted(gone)):
            with self.write() as connection:
                taken += _unlink(connection, app_id, some)
        return taken

    def _events(self, app_id: str, gone: frozenset[str]) -> list[int]:
        """By the two indexes of a visitor's events: one statement over all would walk the table."""
        c = schema.events.c
        found = []
        for some in parts(sorted(gone)):
            for part in (schema.SHAPING, schema.OTHER):
                found += self.read(select(c.seq).where(c.app_id == app_id, c.user_id.in_(some), part))
        return [row.seq for row in found]

    def _decisions(self, app_id: str, gone: frozenset[str]) -> list[int]:
        c = schema.decisions.c
        found = [
            self.read(select(c.seq).where(c.app_id == app_id, c.user_id.in_(some))) for some in parts(sorted(gone))
        ]
        return [row.seq for rows in found for row in rows]

    def _rejected(self, app_id: str, gone: frozenset[str]) -> list[int]:
        """Their own, and others' that name them in a column of ids."""
        c = schema.rejected.c
        found: set[int] = set()
        for some in parts(sorted(gone)):
            found.update(row.seq for row in self.read(select(c.seq).where(c.app_id == app_id, c.user_id.in_(some))))
        for forms in _spelled(gone):
            named = or_(*(text.contains(form, autoescape=True) for form in forms for text in (c.row, c.value)))
            rows = self.stream(select(c.seq, c.column, c.value, c.row).where(c.app_id == app_id, named))
            found.update(row.seq for row in rows if not gone.isdisjoint(refused_ids(row.column, row.value, row.row)))
        return sorted(found)

    def _log(self, app_id: str, gone: frozenset[str]) -> list[int]:
        c = schema.catalogue_log.c
        found = []
        for some in parts(sorted(gone)):
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
        for some in parts(sorted(gone)):
            found = self.read(select(c.claim_id).where(c.app_id == app_id, c.user_id.in_(some)))
            for claims in parts([row.claim_id for row in found]):
                with self.write() as connection:
                    drop_claims(connection, app_id, claims)
            taken += len(found)
        return taken

    def _drop(self, table: Table, seqs: Sequence[int]) -> int:
        for some in parts(list(seqs)):
            with self.write() as connection:
                connection.execute(delete(table).where(table.c.seq.in_(some)))
        return len(seqs)


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


def parts(values: list[Any]) -> list[list[Any]]:
    """The values in lists of at most AT_ONCE."""
    return [values[start : start + AT_ONCE] for start in range(0, len(values), AT_ONCE)]
