"""The check of one record: what it takes, what it refuses, and that it never fails in any other way."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraits.checking import Rejection, check
from portraits.history import EVENTS, ITEMS, TABLES

GOOD = {"event_id": "e1", "user_id": "u1", "ts": "2026-03-01T08:30:00+08:00", "type": "purchase"}


def test_a_good_event_comes_back_whole_in_utc() -> None:
    row = check(
        EVENTS, GOOD | {"item_id": "茶🍵", "quantity": "0.12345", "amount": 1999, "properties": {"b": 1, "a": "é"}}
    )
    assert isinstance(row, dict)
    assert tuple(row) == EVENTS.names
    assert row["ts"] == datetime(2026, 3, 1, 0, 30, tzinfo=UTC)
    assert row["quantity"] == Decimal("0.1235")
    assert row["properties"] == '{"a":"é","b":1}'
    assert row["item_id"] == "茶🍵"
    assert row["order_id"] is None


@pytest.mark.parametrize(
    ("change", "column", "reason"),
    [
        ({"user_id": ""}, "user_id", "missing"),
        ({"user_id": None}, "user_id", "missing"),
        ({"user_id": 7}, "user_id", "not a string"),
        ({"user_id": "x" * 129}, "user_id", "longer than 128"),
        ({"user_id": "a\x00b"}, "user_id", "not valid text"),
        ({"user_id": "\ud800"}, "user_id", "not valid text"),
        ({"ts": "yesterday"}, "ts", "RFC 3339"),
        ({"ts": "2026-03-01T08:30:00"}, "ts", "without an offset"),
        ({"ts": "1969-12-31T23:59:59Z"}, "ts", "outside"),
        ({"ts": 1700000000}, "ts", "RFC 3339"),
        ({"amount": -1}, "amount", "less than 0"),
        ({"amount": 19.99}, "amount", "whole number"),
        ({"amount": True}, "amount", "whole number"),
        ({"amount": 2**63}, "amount", "too large"),
        ({"quantity": "NaN"}, "quantity", "not a number"),
        ({"quantity": "many"}, "quantity", "not a number"),
        ({"quantity": 1e300}, "quantity", "too large"),
        ({"properties": "{"}, "properties", "not JSON"),
        ({"properties": "[" * 100_000}, "properties", "not JSON"),
        ({"properties": '{"a": NaN}'}, "properties", "not JSON"),
        ({"properties": 5}, "properties", "JSON object"),
        ({"properties": {"a": "x" * 20_000}}, "properties", "longer than"),
        ({"colour": "red"}, "colour", "unknown column"),
    ],
)
def test_a_bad_event_is_refused_with_its_column_and_reason(change: dict[str, Any], column: str, reason: str) -> None:
    refused = check(EVENTS, GOOD | change)
    assert isinstance(refused, Rejection)
    assert refused.column == column
    assert reason in refused.reason
    refused.value.encode()


def test_item_lists_and_flags() -> None:
    row = check(ITEMS, {"item_id": "i", "category": ["food", "tea"], "hidden": False, "stock": 0})
    assert isinstance(row, dict)
    assert row["category"] == ["food", "tea"]
    assert (row["hidden"], row["stock"], row["price"]) == (False, 0, None)
    for bad in ({"category": "food"}, {"category": [1]}, {"hidden": "no"}, {"tags": ["t"] * 257}):
        assert isinstance(check(ITEMS, {"item_id": "i"} | bad), Rejection)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(table=st.sampled_from(sorted(TABLES)), record=st.data())
def test_any_json_is_taken_or_refused_never_an_error(table: str, record: st.DataObject) -> None:
    names = st.sampled_from(TABLES[table].names) | st.text()
    row = check(TABLES[table], record.draw(st.dictionaries(names, JSON_VALUES, max_size=6)))
    assert isinstance(row, (dict, Rejection))
