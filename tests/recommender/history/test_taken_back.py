"""What was taken back, on histories of a few events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import planted_history as planted
import pytest

from recommender.history.kinds import KINDS
from recommender.history.taken_back import with_backs

Row = dict[str, Any]
START_US = round(planted.START.timestamp() * 1e6)


def told(second: int, kind: str, item: str | None = "tea", **more: Any) -> Row:
    """An event of ann's, `second` seconds after the start."""
    ts = planted.START + timedelta(seconds=second)
    return {"user_id": "ann", "ts": ts, "type": kind, "item_id": item, **more}


def backs(*rows: Row) -> dict[tuple[str, str, int], int | None]:
    """(type, item, second) of what can be learnt from -> the second at which it was taken back, None for never."""
    past = planted.past(planted.numbered(list(rows), "e"), item_rows=[], user_rows=[])
    found = with_backs(past.events, KINDS).to_pyarrow().to_pylist()
    assert len(found) == sum(row["type"] in KINDS and row["item_id"] is not None for row in rows)
    return {
        (row["type"], row["item_id"], second(row["ts_us"])): None if row["back_us"] is None else second(row["back_us"])
        for row in found
    }


def second(ts_us: int) -> int:
    return (ts_us - START_US) // 1_000_000


@pytest.mark.parametrize(("done", "back"), [("cart", "cart_remove"), ("favorite", "unfavorite")])
def test_what_is_put_away(done: str, back: str) -> None:
    """Twice in and once out; at one moment the way out is the later; the way out of another item, visitor or place
    does not count."""
    other = {**told(9, back), "user_id": "bob"}
    rows = [told(1, done), told(3, back), told(5, done), told(2, "item_view"), told(7, done, "cup"), other]
    assert backs(*rows, told(7, back, "pot"), told(8, "refund")) == {
        (done, "tea", 1): 3,
        (done, "tea", 5): None,
        ("item_view", "tea", 2): None,
        (done, "cup", 7): None,
    }
    assert backs(told(1, done), told(1, back)) == {(done, "tea", 1): 1}


TEA = told(1, "purchase", order_id="o", amount=300)
CUP = told(1, "purchase", "cup", order_id="o", amount=500)


@pytest.mark.parametrize(
    ("rows", "tea", "cup"),
    [
        ([], None, None),
        ([told(5, "order_cancel", None, order_id="o")], 5, 5),
        ([told(5, "order_cancel", None, order_id="other")], None, None),
        ([told(5, "order_cancel", order_id="o")], 5, None),
        ([told(5, "order_cancel")], 5, None),
        ([told(0, "order_cancel")], None, None),
        ([told(5, "refund", order_id="o", amount=300)], 5, None),
        ([told(5, "refund", order_id="o")], 5, None),
        ([told(5, "refund", order_id="o", amount=299)], None, None),
        ([told(5, "refund", order_id="o", amount=299), told(6, "refund", order_id="o", amount=1)], 6, None),
        ([told(5, "refund", None, order_id="o", amount=799)], None, None),
        ([told(5, "refund", None, order_id="o", amount=800)], 5, 5),
        ([told(5, "refund", None, order_id="o")], 5, 5),
        ([told(5, "cart_remove")], None, None),
        ([{**told(5, "order_cancel", None, order_id="o"), "user_id": "bob"}], None, None),
    ],
)
def test_orders_that_are_sent_back(rows: list[Row], tea: int | None, cup: int | None) -> None:
    assert backs(TEA, CUP, *rows) == {("purchase", "tea", 1): tea, ("purchase", "cup", 1): cup}
