"""A batch is read in two ways: at once where all is as usual, else event by event. Nobody can tell which it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraits.history import EVENTS, Kind
from serving.sent_events import LARGEST_BATCH, prepare, read_events

NOW = datetime(2026, 3, 2, 4, tzinfo=UTC)
USUAL = {"event_id": "e1", "user_id": "ann", "ts": "2026-03-02T01:02:03Z", "type": "item_view", "item_id": "cup"}

TEXTS = st.text(max_size=6) | st.sampled_from(["", "x" * 128, "x" * 129, "茶", "a\x00", "\ud800"])
TIMES = st.sampled_from(
    [
        "2026-03-02T01:02:03Z",
        "2026-03-02T09:02:03.5+08:00",
        "2026-03-02T01:02:03.1234567Z",
        "2026-03-02T01:02:03.123456789Z",
        "2026-03-02T23:59:59.9999999Z",
        "1969-12-31T23:59:59.9999999Z",
        "2026-03-02 01:02:03Z",
        "2026-03-02T01:02:03",
        "2027-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "20260302T010203Z",
        "2026-03-02T24:00:00Z",
        "2026-03-02T01:02:60Z",
        "2026-03-02t01:02:03z",
        "2026-03-02",
    ]
)
NUMBERS = st.integers(-(2**64), 2**64) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
ANY = TEXTS | TIMES | NUMBERS | st.none() | st.dictionaries(TEXTS, NUMBERS, max_size=2) | st.lists(NUMBERS, max_size=2)
LIKELY = {Kind.ID: TEXTS, Kind.TEXT: TEXTS, Kind.TIME: TIMES, Kind.INTEGER: NUMBERS}
COLUMNS = {column.name: st.one_of(LIKELY.get(column.kind, ANY), ANY) for column in EVENTS.columns}
RECORDS = st.fixed_dictionaries({}, optional=COLUMNS).map(lambda some: USUAL | some)


def _body(records: list[Any]) -> bytes:
    return json.dumps({"events": records}).encode()


@given(st.lists(RECORDS, max_size=4))
def test_both_ways_make_the_same_of_a_batch(records: list[dict[str, Any]]) -> None:
    """Only the text of a refused row may differ: in the order of its columns and the spelling of its time."""
    at_once = read_events(_body(records))
    if at_once is not None:
        one, other = prepare(at_once["events"], NOW), prepare(records, NOW)
        assert (one.rows, one.places) == (other.rows, other.places)
        assert [row._replace(row="") for row in one.rejected] == [row._replace(row="") for row in other.rejected]


def test_a_usual_batch_is_read_at_once() -> None:
    assert read_events(_body([USUAL, USUAL | {"amount": 5, "properties": {"shelf": 3}, "quantity": 1.5}])) is not None


@pytest.mark.parametrize("ts", ["2026-03-02T01:02:03.123456789Z", "2026-03-01T23:59:59.9999999Z"])
def test_a_time_finer_than_a_microsecond_is_the_same_both_ways(ts: str) -> None:
    (alone,) = prepare(read_events(_body([USUAL | {"ts": ts}]))["events"], NOW).rows  # type: ignore[index]
    (beside,) = prepare([USUAL | {"ts": ts}, {}], NOW).rows
    assert alone == beside


def test_an_event_sent_again_beside_a_bad_one_is_known_again() -> None:
    first = prepare(read_events(_body([USUAL]))["events"], NOW).rows[0]  # type: ignore[index]
    assert read_events(_body([USUAL, {"colour": "red"}])) is None
    again = prepare([USUAL, {"colour": "red"}], NOW)
    assert again.rows[0].content == first.content
    assert [row.line for row in again.rejected] == [1]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"events":{}}', b'{"events":[],"more":1}', b"\xff", b"[" * 2_000]
)
def test_what_is_no_batch_is_left_to_the_form(body: bytes) -> None:
    assert read_events(body) is None


def test_too_many_are_left_to_the_form() -> None:
    assert read_events(_body([USUAL] * LARGEST_BATCH)) is not None
    assert read_events(_body([USUAL] * (LARGEST_BATCH + 1))) is None
