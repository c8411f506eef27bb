"""Columns of codes become columns of the contract."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from portraits.history import EVENTS
from portraits.sample.plan import uniform
from portraits.sample.rows import DTYPES, Encoder, Rows, coded, concat, numbered, take


@given(st.lists(st.integers(0, 10**12 - 1)))
def test_numbers_are_written_with_leading_zeros(numbers: list[int]) -> None:
    assert numbered("e", np.array(numbers, np.int64), 3).to_pylist() == [f"e{number:012d}" for number in numbers]


@given(st.lists(st.integers(-1, 3)))
def test_codes_stand_for_words_that_may_repeat(codes: list[int]) -> None:
    words = pa.array(["x", "y", "x", "你好"])
    column = coded(np.array(codes, np.int64), words)
    assert column.to_pylist() == [None if code < 0 else words[code].as_py() for code in codes]
    assert len(set(column.dictionary.to_pylist())) == len(column.dictionary)


def test_blocks_become_rows_in_order_of_time() -> None:
    rows = Rows()
    rows.add("purchase", np.array([1, 2]), np.array([30, 10]), amount=np.array([500, 0]), quantity=12_500)
    rows.add("launch", np.array([3]), np.array([20]), scene=0)
    rows.add("refund", np.array([], np.int64), np.array([], np.int64))
    columns = rows.columns(first_event=7)
    table = Encoder(_words(), lambda codes: numbered("u", codes)).table(columns)
    assert table.schema.names == EVENTS.arrow_schema().names
    kept = table.select(["event_id", "user_id", "type", "scene", "quantity", "amount"]).to_pylist()
    assert [tuple(row.values()) for row in kept] == [
        ("e000000000007", "u00000002", "purchase", None, Decimal("1.2500"), 0),
        ("e000000000008", "u00000003", "launch", "1089", None, None),
        ("e000000000009", "u00000001", "purchase", None, Decimal("1.2500"), 500),
    ]


def test_taking_and_putting_together_is_the_whole() -> None:
    columns = {name: np.arange(6).astype(dtype) for name, dtype in DTYPES.items()}
    even = np.arange(6) % 2 == 0
    whole = concat([take(columns, even), take(columns, ~even)])
    assert {name: values.tolist() for name, values in whole.items()} == {name: [0, 2, 4, 1, 3, 5] for name in DTYPES}


def test_hashed_luck_is_uniform_and_depends_on_every_key() -> None:
    users = np.arange(20_000)
    luck = uniform(1, users, 5)
    assert abs(np.histogram(luck, 20, (0, 1))[0] - 1_000).max() < 4 * np.sqrt(1_000)
    for other in (uniform(2, users, 5), uniform(1, users, 6), uniform(1, users + 1, 5)):
        assert abs(np.corrcoef(luck, other)[0, 1]) < 0.03


def _words() -> dict[str, pa.Array]:
    one = pa.array(["1089"])
    names = ("item", "content", "store", "offer", "platform", "scene", "page", "query", "device", "geohash5", "city")
    return dict.fromkeys(names, one)
