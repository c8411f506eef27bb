"""A request's events, from its bytes to rows of the store.

Nearly every batch is as usual: msgspec then reads it straight into rows of the contract's types, several times as fast
as JSON is read and checked. Where anything is out of the ordinary (an empty text, a time that is no RFC 3339, an
unknown column, one bad row) the batch is read again and each event is checked as a row of a file is (`checking.check`),
so what is taken and the reason why something is not are the same whichever way it went.

An event is known again by its event_id and the UTC day of its ts *as it was sent*: a phone whose clock runs ahead sends
the same event again some seconds later, and by then the server would clamp its ts to another moment.

An event that a visitor's token sends is kept under an id made of the visitor and the event_id that was sent: whatever
ids a phone makes up, it cannot take one that the backend or another visitor will use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec.structs import asdict

from portraits.checking import Rejection, check, clamp_future, take
from portraits.history import EVENTS, ID_LIMIT, INTEGER_LIMIT, TEXT_LIMIT, Column, Kind
from portraits.identity import USER
from serving.codec import encode
from serving.stores.events import EventRow, RejectedRow
from serving.stores.rows import as_text

LARGEST_BATCH = 500
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DAY_US = 86_400_000_000
ROW_TEXT_LIMIT = 1_000
SOURCE = "/v1/events"
TS, RECEIVED = EVENTS.by_name["ts"], "received_at"
_UNUSUAL = (b'""', b"\\u0000")
"""An empty text counts as missing, a NUL is refused: msgspec would take both."""


class Moment(NamedTuple):
    """The moment a request came, in the three forms that each of its events needs; and the visitor whose token it came
    with, if it did."""

    at: datetime
    us: int
    text: str
    visitor: str


@dataclass(frozen=True, slots=True)
class Batch:
    """A request's events: those that can be stored and those that cannot, each with its place in the request."""

    at_us: int
    rows: list[EventRow]
    places: list[int]
    rejected: list[RejectedRow]


def _type(column: Column) -> Any:
    """The type that msgspec reads a column as; anything, where `checking.take` has more to say than a type can."""
    if column.kind in (Kind.ID, Kind.TEXT):
        limit = ID_LIMIT if column.kind is Kind.ID else TEXT_LIMIT
        return Annotated[str, msgspec.Meta(min_length=1, max_length=limit)]
    if column.kind is Kind.INTEGER:
        least = -INTEGER_LIMIT if column.minimum is None else column.minimum
        return Annotated[int, msgspec.Meta(ge=least, le=INTEGER_LIMIT)]
    if column.name == "ts":
        return str  # msgspec rounds what is below a microsecond, and Python cuts it off
    return Any


def _field(column: Column) -> Any:
    return (column.name, _type(column)) if column.required else (column.name, _type(column) | None, None)


_Event: Any = msgspec.defstruct(
    "_Event", map(_field, EVENTS.columns), kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False
)
_Body: Any = msgspec.defstruct(
    "_Body",
    [("events", Annotated[list[_Event], msgspec.Meta(max_length=LARGEST_BATCH)])],
    forbid_unknown_fields=True,
)
_DECODER = msgspec.json.Decoder(_Body)
_LOOSE = tuple(column.name for column in EVENTS.columns if _type(column) is Any and column.name != RECEIVED)


def read_events(body: bytes) -> dict[str, Any] | None:
    """The body of a batch that is as usual; None where it has to be looked at event by event."""
    if any(unusual in body for unusual in _UNUSUAL):
        return None
    try:
        return {"events": _DECODER.decode(body).events}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def own_event_id(visitor: str, event_id: str) -> str:
    """The id under which an event is kept that a visitor's token sent: `v-` and a hash of both (BLAKE2b)."""
    return f"v-{hashlib.blake2b(encode([visitor, event_id]), digest_size=16).hexdigest()}"


def prepare(sent: Sequence[Any], now: datetime, visitor: str = "") -> Batch:
    """Checks each event, which is what `read_events` gave or JSON; `now` becomes its received_at. Nothing is stored
    yet. `visitor`: whose token sent them, if one did."""
    moment = Moment(now, (now - EPOCH) // MICROSECOND, now.isoformat(), visitor)
    batch = Batch(moment.us, [], [], [])
    for place, record in enumerate(sent):
        row = _at_once(record, moment) if isinstance(record, _Event) else _checked(record, moment)
        if isinstance(row, Rejection):
            batch.rejected.append(rejected_row(place, row, record, moment.us))
        else:
            batch.rows.append(row)
            batch.places.append(place)
    return batch


def _at_once(event: Any, now: Moment) -> EventRow | Rejection:
    ts = take(TS, event.ts)
    if isinstance(ts, Rejection) or any(getattr(event, name) is not None for name in _LOOSE):
        return _checked({name: value for name, value in asdict(event).items() if value is not None}, now)
    event.ts = ts
    return _event_row(event, now)


def _checked(record: Any, now: Moment) -> EventRow | Rejection:
    if not isinstance(record, Mapping):
        return Rejection("events", "", "not an object")
    if RECEIVED in record:  # set by the server, whatever was sent
        record = {name: value for name, value in record.items() if name != RECEIVED}
    row = check(EVENTS, record)
    return row if isinstance(row, Rejection) else _event_row(_Event(**row), now)


def _event_row(event: Any, now: Moment) -> EventRow:
    if now.visitor:
        event.event_id = own_event_id(now.visitor, event.event_id)
    event.received_at = None  # no part of what makes the content
    sent_us = (event.ts - EPOCH) // MICROSECOND
    content = encode(event)
    digest = hashlib.blake2b(content, digest_size=8).hexdigest()
    if sent_us > now.us:
        payload = as_text(clamp_future(asdict(event), now.at))
    else:
        payload = f'{content[:-1].decode()},"received_at":"{now.text}"}}'
    day, ts_us = sent_us // DAY_US, min(sent_us, now.us)
    return EventRow(event.event_id, day, event.user_id, ts_us, event.type, event.item_id, payload, digest)


def rejected_row(place: int, rejection: Rejection, record: Any, at_us: int) -> RejectedRow:
    """What the quarantine keeps of an event that was refused."""
    text = encode(record).decode()[:ROW_TEXT_LIMIT]
    owner = taken_id(record.get(USER) if isinstance(record, Mapping) else getattr(record, USER, None))
    return RejectedRow(at_us, SOURCE, place, rejection.column, rejection.value, rejection.reason, text, owner)


def taken_id(value: Any) -> str | None:
    """What was sent as a user_id, where it can be one."""
    taken = take(EVENTS.by_name[USER], value) if value else None
    return taken if isinstance(taken, str) else None
