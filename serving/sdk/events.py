"""Many events as batches that the service takes: each event is answered for, at the place it had in the iterable."""

from __future__ import annotations

import uuid
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from serving.sdk.answers import EventsAnswer, RejectedEvent
from serving.sdk.calls import Call, encoded
from serving.sdk.errors import CallFailed, EventsNotSent
from serving.sdk.exchange import Patience, Steps, exchange
from serving.sdk.rows import Event

LARGEST_BATCH = 500
LARGEST_BODY = 1_000_000
_AROUND = len(b'{"events":[]}')


@dataclass(slots=True)
class Sent:
    """What became of the events: accepted (on disk) + duplicates (there already) + rejected = events given. `rejected`
    names each by its place in what was given."""

    accepted: int = 0
    duplicates: int = 0
    rejected: list[RejectedEvent] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.accepted + self.duplicates + len(self.rejected)


@dataclass(slots=True)
class _Batch:
    events: list[Event] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    size: int = _AROUND

    def has_room(self, text: bytes) -> bool:
        return len(self.texts) < LARGEST_BATCH and self.size + len(text) + 1 <= LARGEST_BODY

    def add(self, event: Event, text: bytes, place: int) -> None:
        self.events.append(event)
        self.texts.append(text)
        self.places.append(place)
        self.size += len(text) + 1

    @property
    def call(self) -> Call[EventsAnswer]:
        return Call("/events", b'{"events":[' + b",".join(self.texts) + b"]}")


def send(events: Iterable[Event], patience: Patience) -> Steps[Sent]:
    """Sends batch by batch, in order.

    An event without an event_id gets one, and one without a ts the present moment, before the first try: whatever the
    network does, it is stored once. An event that cannot be sent at all is among the rejected. Raises EventsNotSent.
    """
    sent = Sent()
    for batch in _batches(events, sent):
        try:
            answer = yield from exchange(batch.call, patience)
        except CallFailed as error:
            raise EventsNotSent(sent, batch.events) from error
        sent.accepted += answer["accepted"]
        sent.duplicates += answer["duplicates"]
        for one in answer["rejected"]:
            sent.rejected.append({**one, "index": batch.places[one["index"]]})
    sent.rejected.sort(key=lambda one: one["index"])
    return sent


def _batches(events: Iterable[Event], sent: Sent) -> Iterator[_Batch]:
    given, batch = iter(events), _Batch()
    try:
        for place, (event, text, problem) in enumerate(_texts(given)):
            if problem:
                sent.rejected.append({"index": place, "field": "events", "reason": problem})
                continue
            if not batch.has_room(text):
                yield batch
                batch = _Batch()
            batch.add(event, text, place)
    except Exception as error:  # of the iterable itself: what was taken from it must not be lost
        raise EventsNotSent(sent, batch.events) from error
    if batch.texts:
        yield batch


def _texts(events: Iterable[Event]) -> Generator[tuple[Event, bytes, str]]:
    """Each event, complete, as JSON; or why it cannot be sent."""
    for given in events:
        event, text, problem = given, b"", ""
        try:
            event = {**given, "event_id": given.get("event_id") or uuid.uuid4().hex}
            event["ts"] = given.get("ts") or datetime.now(UTC)
            text = encoded(event)
        except (TypeError, ValueError, RecursionError, AttributeError) as error:
            problem = str(error)
        if len(text) + _AROUND > LARGEST_BODY:
            problem = f"{len(text)} bytes; a request holds {LARGEST_BODY}"
        yield event, text, problem
