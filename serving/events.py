"""Events from outside: checked one by one, stored together, on disk before the answer.

Each event passes the same checks as a row of a file (`history.check`). An event is known again by its event_id and the
UTC day of its ts *as it was sent*: a phone whose clock runs ahead sends the same event again some seconds later, and
by then the server would clamp its ts to another moment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection

from portraits.forgotten import REASON, words
from portraits.history import EVENTS, Rejection, check, clamp_future
from serving.call import Call
from serving.stores.events import EventRow, Outcome, RejectedRow, insert_events, insert_rejected
from serving.stores.forgotten import REFERRED, forgotten_among, without_referrer
from serving.stores.rows import as_text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DAY_US = 86_400_000_000
ROW_TEXT_LIMIT = 1_000
CONFLICT = "conflict: this event_id is known with other content"
SOURCE = "/v1/events"


class Moment(NamedTuple):
    """The moment a request came, in the three forms that each of its events needs."""

    at: datetime
    us: int
    text: str


@dataclass(frozen=True, slots=True)
class Batch:
    """A request's events: those that can be stored and those that cannot, each with its place in the request."""

    at_us: int
    rows: list[EventRow]
    places: list[int]
    rejected: list[RejectedRow]


async def post_events(call: Call) -> dict[str, Any]:
    """POST /v1/events: stores what can be stored and says what became of each."""
    call.confirm()
    batch = prepare(call.body["events"], datetime.now(UTC))
    outcomes, rejected = await call.context.writer.write(partial(store_batch, app_id=call.app_id, batch=batch))
    return {
        "accepted": outcomes.count("accepted"),
        "duplicates": outcomes.count("duplicate"),
        "rejected": [{"index": row.line, "field": row.column, "reason": row.reason} for row in rejected],
    }


def prepare(sent: Sequence[Any], now: datetime) -> Batch:
    """Checks each event; `now` becomes its received_at. Nothing is stored yet."""
    moment = Moment(now, (now - EPOCH) // MICROSECOND, now.isoformat())
    batch = Batch(moment.us, [], [], [])
    for place, record in enumerate(sent):
        row: dict[str, Any] | Rejection
        row = check(EVENTS, record) if isinstance(record, Mapping) else Rejection("events", "", "not an object")
        if isinstance(row, Rejection):
            batch.rejected.append(_rejected(place, row, record, moment.us))
        else:
            batch.rows.append(_event_row(row, moment))
            batch.places.append(place)
    return batch


def store_batch(connection: Connection, app_id: str, batch: Batch) -> tuple[list[Outcome], list[RejectedRow]]:
    """Stores a batch inside a transaction; what became of each row that was taken, and all that was refused, in
    request order."""
    batch = _without_forgotten(connection, app_id, batch)
    outcomes = insert_events(connection, app_id, batch.rows)
    conflicts = [
        RejectedRow(batch.at_us, SOURCE, place, "event_id", row.event_id, CONFLICT, row.payload[:ROW_TEXT_LIMIT])
        for place, row, outcome in zip(batch.places, batch.rows, outcomes, strict=True)
        if outcome == "conflict"
    ]
    rejected = sorted([*batch.rejected, *conflicts], key=lambda row: row.line)
    insert_rejected(connection, app_id, rejected)
    return outcomes, rejected


def _without_forgotten(connection: Connection, app_id: str, batch: Batch) -> Batch:
    """The batch with the events of forgotten visitors refused, and nothing kept that names one."""
    refused = {place: words(row.row) | words(row.value) for place, row in enumerate(batch.rejected)}
    brought = {place: _referrer(row.payload) for place, row in enumerate(batch.rows) if REFERRED in row.payload}
    named = {row.user_id for row in batch.rows}.union(*refused.values(), brought.values())
    gone = forgotten_among(connection, app_id, named)
    if not gone:
        return batch
    kept = Batch(batch.at_us, [], [], [])
    for place, row in zip(batch.places, batch.rows, strict=True):
        if row.user_id in gone:
            kept.rejected.append(RejectedRow(batch.at_us, SOURCE, place, "user_id", "", REASON, ""))
        else:
            kept.rows.append(row._replace(payload=without_referrer(row.payload, gone)))
            kept.places.append(place)
    for place, bad in enumerate(batch.rejected):
        kept.rejected.append(bad if gone.isdisjoint(refused[place]) else bad._replace(value="", row=""))
    return kept


def _referrer(payload: str) -> str:
    return str(json.loads(payload).get("referrer_user_id") or "")


def _event_row(row: dict[str, Any], now: Moment) -> EventRow:
    row["received_at"] = None  # set by the server, whatever was sent, and no part of what makes the content
    sent_us = (row["ts"] - EPOCH) // MICROSECOND
    text = as_text(row)
    content = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    received = f'{text[:-1]},"received_at":"{now.text}"}}'
    payload = as_text(clamp_future(row, now.at)) if sent_us > now.us else received
    day = sent_us // DAY_US
    ts_us = min(sent_us, now.us)
    return EventRow(row["event_id"], day, row["user_id"], ts_us, row["type"], row["item_id"], payload, content)


def _rejected(place: int, rejection: Rejection, record: Any, at_us: int) -> RejectedRow:
    text = json.dumps(record)[:ROW_TEXT_LIMIT]
    return RejectedRow(at_us, SOURCE, place, rejection.column, rejection.value, rejection.reason, text)
