from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

import ibis
import planted_history as planted
import pytest

from portraits.build import fields
from portraits.features import REGISTRY
from portraits.grains.tags import KEPT, price_band

Row = dict[str, Any]
TASTE = [field for field in REGISTRY.values() if field.family == "taste"]
ITEMS: list[Row] = [
    {"item_id": "tea", "category": ["food", "tea"], "brand": "Acme", "price": 500, "tags": ["retro", "retro"]},
    {"item_id": "cup", "category": ["home"], "brand": "Acme", "price": 900, "tags": ["retro", "soft"]},
    {"item_id": "toy", "category": ["toys"], "brand": "Bolt", "price": 100, "tags": None},
]


VISITORS: dict[str, list[tuple[str, str, int]]] = {
    "drawn": [("item_view", "tea", 3), ("item_view", "cup", 1)],
    "cool": [("exposure", "toy", 10), ("exposure", "tea", 10), ("click", "tea", 3)],
    "seldom": [("exposure", "toy", 4), ("item_view", "tea", 1)],
    "back": [("purchase", "toy", 3), ("refund", "toy", 2)],
    "back once": [("purchase", "toy", 2), ("refund", "toy", 1)],
    "back of many": [("purchase", "toy", 5), ("refund", "toy", 2)],
}
"""So many events of a type on an item, all at T but for a microsecond."""


@cache
def tastes() -> dict[str, Row]:
    ts = planted.AS_OF - timedelta(microseconds=1)
    rows = [
        {"user_id": user, "ts": ts, "type": kind, "item_id": item}
        for user, kinds in VISITORS.items()
        for kind, item, n in kinds
        for _ in range(n)
    ]
    found = fields(planted.past(planted.numbered(rows, "e"), ITEMS, []), TASTE)
    return {row["user_id"]: row for row in found.to_pyarrow().to_pylist()}


def test_attention_is_shared_out() -> None:
    found = tastes()["drawn"]
    assert {entry["tag"]: entry["weight"] for entry in found["categories"]} == pytest.approx(
        {"food": 3 / 4, "food > tea": 3 / 4, "home": 1 / 4}
    )
    assert [(entry["tag"], entry["events"]) for entry in found["styles"]] == [("retro", 4), ("soft", 1)]
    assert [entry["tag"] for entry in found["brands"]] == ["Acme"]
    assert found["avoided_categories"] is None


def test_what_was_passed_over_is_avoided() -> None:
    """Shown 20 times and clicked 3 times in all: 10 showings of toys unopened have chance (1 - 4 / 22) ^ 10."""
    found = tastes()["cool"]
    (entry,) = found["avoided_categories"]
    assert (entry["tag"], entry["shown"], entry["opened"], entry["refunded"]) == ("toys", 10, 0, 0)
    assert (entry["weight"], entry["events"]) == (1, 10)
    assert entry["confidence"] == pytest.approx(1 - (1 - 4 / 22) ** 10)
    assert [entry["tag"] for entry in found["avoided_brands"]] == ["Bolt"]


def test_what_was_sent_back_is_avoided_and_may_still_be_liked() -> None:
    found = tastes()["back"]
    (entry,) = found["avoided_categories"]
    assert (entry["tag"], entry["weight"], entry["confidence"]) == ("toys", pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert found["top_category"] == "toys"


@pytest.mark.parametrize("user", ["seldom", "back once", "back of many"])
def test_little_is_no_evidence(user: str) -> None:
    assert tastes()[user]["avoided_categories"] is None


def test_lists_are_bounded() -> None:
    items = [{"item_id": f"i{n}", "category": [f"c{n:02d}"], "brand": f"b{n:02d}"} for n in range(30)]
    ts = planted.AS_OF - timedelta(days=1)
    rows = [{"user_id": "a", "ts": ts, "type": "exposure", "item_id": f"i{n}"} for n in range(30) for _ in range(5)]
    rows += [{"user_id": "a", "ts": ts, "type": "item_view", "item_id": f"i{n}"} for n in range(5)]
    found = fields(planted.past(planted.numbered(rows, "e"), items, []), TASTE).to_pyarrow().to_pylist()[0]
    assert [entry["tag"] for entry in found["avoided_categories"]] == [f"c{n:02d}" for n in range(5, 5 + KEPT)]
    assert len(found["categories"]) == 5


def test_price_bands_are_thirds() -> None:

    levels = {0: "low", 333_333_332: "low", 333_333_333: "middle", 666_666_667: "middle", 666_666_668: "high"}
    table = ibis.memtable({"level": list(levels)})
    assert table.mutate(band=price_band(table.level)).order_by("level").band.to_pyarrow().to_pylist() == [
        *levels.values()
    ]
