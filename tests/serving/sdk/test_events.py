"""Batches: every event is sent once, in order, within the limits of a request, and answered for at its own place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.sdk.errors import EventsNotSent
from serving.sdk.events import LARGEST_BATCH, LARGEST_BODY, Sent, send
from serving.sdk.exchange import PATIENT, Came, Post

EVENT = st.one_of(
    st.builds(lambda size: {"user_id": "u", "type": "t", "properties": {"x": "茶" * size}}, st.integers(0, 200_000)),
    st.just({"user_id": "u", "type": "bad"}),
    st.sampled_from([None, 5, {"user_id": object()}, {"user_id": "\ud800"}]),
)


def served(events: Iterable[Any]) -> tuple[Sent, list[Any]]:
    """Drives `send` against a service that refuses events of type bad; the outcome, and what came."""
    steps = send(iter(events), PATIENT)
    came: list[Any] = []
    step = None
    try:
        step = next(steps)
        while True:
            assert isinstance(step, Post)
            assert len(step.call.content) <= LARGEST_BODY
            batch = json.loads(step.call.content)["events"]
            assert 0 < len(batch) <= LARGEST_BATCH
            came += batch
            bad = [place for place, one in enumerate(batch) if one["type"] == "bad"]
            rejected = [{"index": place, "field": "type", "reason": "bad"} for place in bad]
            answer = {"accepted": len(batch) - len(bad), "duplicates": 0, "rejected": rejected}
            step = steps.send(Came(200, httpx.Headers(), json.dumps(answer).encode()))
    except StopIteration as done:
        return done.value, came


@given(few=st.lists(EVENT, max_size=30), many=st.integers(0, 1_100))
def test_every_event_is_answered_for(few: list[Any], many: int) -> None:
    events = [*few, *({"user_id": "u", "type": "t", "position": n} for n in range(many))]
    sent, came = served(events)
    assert sent.total == len(events)
    rejected = {one["index"] for one in sent.rejected}
    assert len(rejected) == len(sent.rejected)
    for place, event in enumerate(events):
        whole = isinstance(event, dict) and event.get("type") == "t"
        assert (place in rejected) == (not whole), "all of these fit into a request"
    assert [one["position"] for one in came if "position" in one] == list(range(many))
    assert len({one["event_id"] for one in came}) == len(came)


@given(few=st.integers(0, 30), whole=st.integers(0, 2))
def test_what_was_taken_from_a_source_that_fails_is_handed_back(few: int, whole: int) -> None:
    count = whole * LARGEST_BATCH + few

    def source() -> Iterator[Any]:
        yield from ({"user_id": "u", "type": "t", "position": n} for n in range(count))
        raise OSError("the file ends here")

    with pytest.raises(EventsNotSent) as failed:
        served(source())
    assert isinstance(failed.value.__cause__, OSError)
    places = range(count - len(failed.value.left), count)
    assert [event.get("position") for event in failed.value.left] == list(places)
    assert all(event.get("event_id") for event in failed.value.left)
    assert failed.value.sent.accepted == places.start
    assert len(failed.value.left) <= LARGEST_BATCH
