"""Events and decisions of the day, until the lake and the published portraits hold them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select, union_all, update

from portraits.errors import UnknownApp
from portraits.history import NOBODY
from serving.stores import schema
from serving.stores.database import Database
from serving.stores.dialect import insert_new, insert_tuples
from serving.stores.forgotten import forgotten_among

Outcome = Literal["accepted", "duplicate", "conflict"]
DELETE_AT_ONCE = 100, 2_000
"""Least and most rows of one deletion. How long a row takes depends on how far its index entries lie apart: a million
random event_ids cost ten times what a thousand do."""
FOUND_AT_ONCE = 20_000
DELETION_S = 0.015
"""About what one deletion takes: events may be kept waiting for 50 ms by anything."""


class EventRow(NamedTuple):
    """An event as the store keeps it, in the order of `schema.events`."""

    event_id: str
    day: int
    user_id: str
    ts_us: int
    type: str
    item_id: str | None
    payload: str
    content: str


class RejectedRow(NamedTuple):
    """A row that could not be taken, in the order of `schema.rejected`: when, where it stood, why, and whose it was."""

    at_us: int
    source: str
    line: int
    column: str
    value: str
    reason: str
    row: str
    user_id: str | None = None


class DecisionRow(NamedTuple):
    """An answer that was given, in the order of `schema.decisions`; `payload` is the contract's row as JSON."""

    decision_id: str
    user_id: str
    ts_us: int
    payload: str


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in the order they came, as JSON texts of the contract's rows. `last_seq` is where the next page begins."""

    payloads: list[str]
    last_seq: int


_SEEN = select(schema.events.c.event_id, schema.events.c.day, schema.events.c.content).where(
    schema.events.c.app_id == bindparam("app_id"), schema.events.c.event_id.in_(bindparam("ids", expanding=True))
)

VISITOR_LIMIT = 10_000
"""Most events of one visitor since the last night, newest first, that a segment's rule looks at."""


def _visitor() -> Any:
    """The newest events of one visitor that are later than what is published: from either index, then together."""
    c = schema.events.c
    later = or_(c.seq > bindparam("after_seq"), c.ts_us >= bindparam("since_us"))
    mine = and_(c.app_id == bindparam("app_id"), c.user_id == bindparam("user_id"), later)
    columns = (c.ts_us.label("ts_us"), c.seq.label("seq"), c.payload.label("payload"))
    newest = select(*columns).where(mine).order_by(c.ts_us.desc(), c.seq.desc()).limit(VISITOR_LIMIT)
    parts = (newest.where(part).subquery() for part in (schema.SHAPING, schema.OTHER))
    both = union_all(*(select(part) for part in parts)).subquery()
    chosen = select(both.c.ts_us, both.c.payload).order_by(both.c.ts_us.desc(), both.c.seq.desc())
    return chosen.limit(VISITOR_LIMIT)


_VISITOR = _visitor()


class Events(Database):
    """Append, drain, delete."""

    def events_of(
        self, app_id: str, ids: Sequence[str], after_seq: int = -1, since_us: int = 0
    ) -> list[tuple[int, str]]:
        """(ts_us, payload) of a visitor's events of every type, under any of the ids, that came after `after_seq` or
        are of `since_us` or later; of each id at most VISITOR_LIMIT, the newest. Raises StoreUnavailable."""
        later = {"app_id": app_id, "after_seq": after_seq, "since_us": since_us}
        return [(row[0], row[1]) for one in ids for row in self.ask(_VISITOR, later | {"user_id": one})]

    def append_events(self, app_id: str, rows: Sequence[EventRow]) -> list[Outcome]:
        """What became of each row; on disk when this returns. Raises StoreUnavailable."""
        with self.write() as connection:
            return insert_events(connection, app_id, rows)

    def events_to_drain(self, app_id: str, after_seq: int | None = None, limit: int = 50_000) -> Page:
        """Events after `after_seq` (default: the last drained), with `received_at`, in the order they came."""
        return self._page(schema.events, app_id, after_seq, limit)

    def items_of_events(self, app_id: str, after_seq: int = 0, limit: int = 10_000) -> tuple[int, list[str]]:
        """The items that events after `after_seq` name, the most named last, and the seq from which to go on.

        No more than `limit`, the most named: a stream of made-up names must not fill every worker's memory. One that is
        left out comes in when it is named again.
        """
        c = schema.events.c
        named = func.count().label("named")
        statement = select(c.item_id, func.max(c.seq).label("last"), named).group_by(c.item_id)
        later = statement.where(_of(schema.events, app_id), c.seq > after_seq, c.item_id.is_not(None))
        rows = self.read(later.order_by(named.desc(), c.item_id).limit(limit))
        return max((row.last for row in rows), default=after_seq), [row.item_id for row in reversed(rows)]

    def mark_drained(self, app_id: str, seq: int) -> None:
        """The lake now holds every event up to `seq`."""
        c = schema.apps.c
        with self.write() as connection:
            connection.execute(
                update(schema.apps).where(c.app_id == app_id, c.events_drained < seq).values(events_drained=seq)
            )

    def delete_drained(self, app_id: str, before_ts_us: int, *, also_for: str | None = None) -> int:
        """Deletes events that are in the lake and older than `before_ts_us`; how many.

        Law 5 is kept whatever the caller says: nothing goes that an active version does not hold, and nothing goes
        before a first version is active. `also_for`: a bundle that was active and may be again; nor does anything go
        that it does not hold.
        """
        limits = self.read(
            select(schema.active.c.as_of_us, schema.active.c.events_seq).where(schema.active.c.app_id == app_id)
        )
        if not limits:
            return 0
        c = schema.activations.c
        again = select(c.as_of_us, c.events_seq).where(c.app_id == app_id, c.kind == "bundle", c.version == also_for)
        limits += self.read(again) if also_for is not None else []
        before = min(before_ts_us, *(row.as_of_us for row in limits))
        up_to = min(row.events_seq for row in limits)
        old = and_(_of(schema.events, app_id), schema.events.c.seq <= up_to, schema.events.c.ts_us < before)
        return self._delete(schema.events, old)

    def add_rejected(self, app_id: str, rows: Sequence[RejectedRow]) -> None:
        """Keeps rows that could not be taken."""
        with self.write() as connection:
            insert_rejected(connection, app_id, rows)

    def rejected_to_drain(self, app_id: str, limit: int = 50_000) -> list[tuple[int, RejectedRow]]:
        """(seq, row) of the rejected rows that the lake does not hold yet."""
        c = schema.rejected.c
        statement = select(c.seq, c.at_us, c.source, c.line, c.column, c.value, c.reason, c.row, c.user_id)
        rows = self.read(statement.where(c.app_id == app_id).order_by(c.seq).limit(limit))
        return [(row[0], RejectedRow._make(row[1:])) for row in rows]

    def delete_rejected(self, app_id: str, up_to_seq: int) -> int:
        """Deletes the rejected rows that the lake now holds; how many."""
        c = schema.rejected.c
        return self._delete(schema.rejected, and_(c.app_id == app_id, c.seq <= up_to_seq))

    def add_decisions(self, app_id: str, rows: Sequence[DecisionRow]) -> None:
        """Keeps answers that were given."""
        with self.write() as connection:
            insert_decisions(connection, [(app_id, row) for row in rows])

    def decisions_to_drain(self, app_id: str, after_seq: int = 0, limit: int = 50_000) -> Page:
        """Decisions after `after_seq`, in the order they came."""
        return self._page(schema.decisions, app_id, after_seq, limit)

    def delete_decisions(self, app_id: str, up_to_seq: int) -> int:
        """Deletes the decisions that the lake now holds; how many."""
        c = schema.decisions.c
        return self._delete(schema.decisions, and_(c.app_id == app_id, c.seq <= up_to_seq))

    def _page(self, table: Any, app_id: str, after_seq: int | None, limit: int) -> Page:
        if after_seq is None:
            after_seq = self._drained(app_id)
        statement = select(table.c.seq, table.c.payload).where(_of(table, app_id), table.c.seq > after_seq)
        rows = self.read(statement.order_by(table.c.seq).limit(limit))
        return Page([row.payload for row in rows], rows[-1].seq if rows else after_seq)

    def _drained(self, app_id: str) -> int:
        rows = self.read(select(schema.apps.c.events_drained).where(schema.apps.c.app_id == app_id))
        if not rows:
            raise UnknownApp(app_id)
        return int(rows[0].events_drained)

    def _delete(self, table: Any, which: Any) -> int:
        """Deletes a few rows at a time; which ones is looked up before, while others may write."""
        gone, after = 0, -1
        while True:
            some = select(table.c.seq).where(which, table.c.seq > after).order_by(table.c.seq).limit(FOUND_AT_ONCE)
            found = [row.seq for row in self.read(some)]
            gone += self._delete_some(table, found)
            if len(found) < FOUND_AT_ONCE:
                return gone
            after = found[-1]

    def _delete_some(self, table: Any, found: list[int]) -> int:
        least, most = DELETE_AT_ONCE
        gone, start, at_once = 0, 0, least
        while start < len(found):
            with self.write() as connection:
                begun = time.perf_counter()
                some = delete(table).where(table.c.seq.in_(found[start : start + at_once]))
                gone += connection.execute(some).rowcount
            took = time.perf_counter() - begun
            start += at_once
            at_once = min(most, max(least, round(at_once * min(2.0, DELETION_S / took))))
        return gone


def _of(table: Any, app_id: str) -> Any:
    """Rows of an app to be taken in the order of `seq`. Events have no index for that (it would cost every insertion),
    and an expression keeps the databases from using another one of theirs and sorting all of the app's events."""
    return table.c.app_id == app_id if table is not schema.events else table.c.app_id.concat("") == app_id


def insert_events(connection: Connection, app_id: str, rows: Sequence[EventRow]) -> list[Outcome]:
    """Inserts what is new inside a transaction that no other writer is in; what became of each row."""
    if not rows:
        return []
    new = insert_new(connection, schema.events, [(app_id, *row) for row in rows], ("event_id", "day"))
    if len(new) == len(rows):
        return ["accepted"] * len(rows)
    found = connection.execute(_SEEN, {"app_id": app_id, "ids": [row.event_id for row in rows]})
    known: dict[tuple[str, int], str] = {(event_id, day): content for event_id, day, content in found}
    outcomes: list[Outcome] = []
    for row in rows:
        key = row.event_id, row.day
        if key in new:  # of several rows with one key the first went in
            new.discard(key)
            outcomes.append("accepted")
        else:
            outcomes.append("duplicate" if known[key] == row.content else "conflict")
    return outcomes


def count_rejected(connection: Connection, app_id: str, most: int) -> int:
    """How many refused rows wait, counted no further than `most`."""
    c = schema.rejected.c
    some = select(c.seq).where(c.app_id == app_id).limit(most).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


def insert_rejected(connection: Connection, app_id: str, rows: Sequence[RejectedRow]) -> None:
    """Keeps rows that could not be taken."""
    if rows:
        insert_tuples(connection, schema.rejected, [(app_id, *row) for row in rows])


def insert_decisions(connection: Connection, rows: Sequence[tuple[str, DecisionRow]]) -> None:
    """Inserts (app_id, decision) pairs. Of an answer to a forgotten visitor it is not kept whose it was."""
    if not rows:
        return
    gone = {
        (app_id, user_id)
        for app_id in {app_id for app_id, _ in rows}
        for user_id in forgotten_among(connection, app_id, {row.user_id for of, row in rows if of == app_id})
    }
    kept = ((app_id, _anonymous(row) if (app_id, row.user_id) in gone else row) for app_id, row in rows)
    insert_tuples(connection, schema.decisions, [(app_id, *row) for app_id, row in kept])


def _anonymous(row: DecisionRow) -> DecisionRow:
    payload = json.dumps(json.loads(row.payload) | {"user_id": NOBODY}, ensure_ascii=False, separators=(",", ":"))
    return row._replace(user_id=NOBODY, payload=payload)
