"""Shares of what a visitor does that fit the rules of offers, worked by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from planted_answers import at, event, lake_of

from portraits.build import past_of
from portraits.engine import connect
from portraits.settings import AppSettings
from recommender.offers.match import MOST_SCOPES, matches, scopes_of

OFFERS: list[dict[str, Any]] = [
    {"offer_id": "a", "kind": "cash", "value": 5, "minimum": 300, "categories": ["tea"]},
    {"offer_id": "b", "kind": "cash", "value": 5, "minimum": 100, "categories": ["tea"]},
    {"offer_id": "c", "kind": "cash", "value": 5, "minimum": 300, "categories": ["ware", "food"], "items": ["i9"]},
    {"offer_id": "d", "kind": "cash", "value": 5},
]
ITEMS = [
    {"item_id": "i1", "category": ["food", "tea"]},
    {"item_id": "i2", "category": ["ware"]},
    {"item_id": "i3"},
    {"item_id": "i9", "category": ["toys"]},
]
NAMES = ("bought in tea", "looked in tea", "bought in c", "looked in c", "orders from 100", "orders from 300")


def test_offers_of_one_scope_or_minimum_share_a_column() -> None:
    assert matches(reversed(OFFERS)).names == NAMES
    assert matches([]).names == matches(OFFERS[3:]).names == ()
    many = [{"offer_id": f"o{n}", "categories": [f"c{n:02}"], "minimum": n} for n in range(30)]
    found = matches(many)
    assert list(found.scopes) == [f"c{n:02}" for n in range(MOST_SCOPES)]
    assert found.minimums == (1, 2, 3, 4, 5, 6)


def test_shares_of_purchases_looks_and_orders(tmp_path: Path) -> None:
    events = [
        event("ann", "purchase", "i1", 1, amount=80, order_id="o1"),
        event("ann", "purchase", "i2", 1, amount=20, order_id="o1"),
        event("ann", "purchase", "i9", 2, amount=300, order_id="o2"),
        event("ann", "purchase", "i3", 3, amount=90, order_id="o3"),
        event("ann", "item_view", "unknown", 3),
        event("bob", "item_view", "i1", 1),
        event("bob", "click", "i2", 2),
        event("bob", "purchase", "i1", 50, amount=1, order_id="late"),
    ]
    snapshot = lake_of(tmp_path, events, [], items=ITEMS, offers=OFFERS)
    past = past_of(snapshot, AppSettings("shop"), at(48), connect())
    rows = {row.pop("user_id"): row for row in matches(OFFERS).of(past).to_pyarrow().to_pylist()}
    ann = dict(zip(NAMES, (1 / 4, 0, 3 / 4, 0, 2 / 3, 1 / 3), strict=True))
    bob = dict(zip(NAMES, (None, 1 / 2, None, 1, None, None), strict=True))
    assert rows == {"ann": pytest.approx(ann), "bob": bob}


def test_an_offer_goes_by_the_column_of_its_scope() -> None:
    rows = [
        {"offer_id": "one", "categories": ["tea"]},
        {"offer_id": "two", "categories": ["tea"]},
        {"offer_id": "three", "items": ["i1"]},
        {"offer_id": "four"},
    ]
    assert scopes_of(rows) == {"one": "tea", "two": "tea", "three": "three"}
