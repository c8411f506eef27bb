"""From a lake to a dataset: ids become rows, refusals and test traffic stay out, the past keeps its own catalogue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from portraits.build import build
from portraits.engine import connect
from portraits.history import EVENTS, ITEMS, USERS
from portraits.lake import Lake
from portraits.settings import AppSettings
from recommender.bundles.bundle import Bundle
from recommender.history.dataset import KINDS
from recommender.history.reading import EPOCH, FEWEST_SHARING, History, portrait_features
from recommender.train import train

START = datetime(2026, 3, 1, tzinfo=UTC)
AS_OF = START + timedelta(days=60)
SETTINGS = AppSettings("shop")


def event(user: str, kind: str, item: str | None, day: float, **more: Any) -> dict[str, Any]:
    ts = START + timedelta(days=day)
    return {"event_id": f"{user}-{kind}-{item}-{day}", "user_id": user, "ts": ts, "type": kind, "item_id": item, **more}


EVENTS_PLANTED = [
    event("ann", "purchase", "茶", 1, amount=500),
    event("ann", "purchase", "茶", 9, amount=500),
    event("ann", "item_view", "cup 🍵", 10),
    event("ann", "search", None, 10),
    event("bob", "purchase", "pot", 20, amount=900),
    event("refuser", "purchase", "pot", 21, amount=900),
    event("late", "purchase", "pot", 61, amount=900),
]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    rows(lake, EVENTS_PLANTED)
    catalogue = [
        {"item_id": "茶", "title": "绿茶", "category": ["food", "tea"], "brand": "春", "price": 500, "tags": ["green"]},
        {"item_id": "new", "title": "New", "category": ["food"], "stock": 0, "hidden": True, "store_ids": ["s2", "s1"]},
    ]
    lake.upsert("shop", "items", pa.Table.from_pylist(catalogue, ITEMS.arrow_schema()), START)
    dearer = [{**catalogue[0], "price": 800}]
    lake.upsert("shop", "items", pa.Table.from_pylist(dearer, ITEMS.arrow_schema()), START + timedelta(days=30))
    refused = [{"user_id": "refuser", "consent": False}]
    lake.upsert("shop", "users", pa.Table.from_pylist(refused, USERS.arrow_schema()), START)
    return lake


def rows(lake: Lake, events: list[dict[str, Any]], app: str = "shop") -> None:
    lake.append_events(app, pa.Table.from_pylist(events, EVENTS.arrow_schema()))


@pytest.fixture(scope="module")
def history(lake: Lake) -> History:
    return History(lake.snapshot("shop"), SETTINGS, AS_OF, connect())


def test_what_is_learnt_from(history: History) -> None:
    """Nothing after as_of, nobody who refused, no event without an item; every item of the catalogue has a row."""
    dataset = history.dataset()
    seen = {
        (dataset.users[user].decode(), dataset.items[item].decode(), KINDS[kind])
        for user, item, kind in zip(dataset.user, dataset.item, dataset.kind, strict=True)
    }
    assert seen == {
        ("ann", "茶", "purchase"),
        ("ann", "cup 🍵", "item_view"),
        ("bob", "pot", "purchase"),
    }
    assert [one.decode() for one in dataset.items] == sorted(["茶", "cup 🍵", "pot", "new"], key=str.encode)
    assert dataset.target == ("purchase",)
    assert dataset.orders.sum() == 3


def test_now_is_the_end_of_the_history(history: History) -> None:
    """The last event before as_of is on day 20: recency is measured from there, not from a silence of forty days."""
    end = EPOCH + timedelta(microseconds=history.dataset().until_us)
    assert end == START + timedelta(days=20, microseconds=1)


def test_facts_of_the_catalogue(history: History) -> None:
    dataset = history.dataset()
    facts = dataset.facts
    row = {one.decode(): at for at, one in enumerate(dataset.items)}
    tea, new = row["茶"], row["new"]
    assert facts.titles[tea] == "绿茶"
    assert [facts.categories[code].decode() for code in facts.category[tea] if code >= 0] == ["food", "tea"]
    assert facts.brands[facts.brand[tea]].decode() == "春"
    assert (facts.price[tea], facts.price[new], facts.stock[tea], facts.stock[new]) == (800, -1, -1, 0)
    assert facts.store_ids[facts.stores[new].indices].tolist() == [b"s1", b"s2"]
    assert facts.tag_names[facts.tags[tea].indices].tolist() == [b"green"]
    assert dataset.rankable.tolist() == [one != b"new" for one in dataset.items.tolist()]


@pytest.mark.law
def test_the_past_has_its_own_catalogue(history: History) -> None:
    dataset = history.dataset()
    tea = int(np.searchsorted(dataset.items, "茶".encode()))
    then = (START + timedelta(days=10) - EPOCH) // timedelta(microseconds=1)
    then_known = history.at(dataset, then)
    assert then_known.facts is not None
    assert then_known.facts.price[tea] == 500
    assert then_known.user_features is None


def test_features_of_portraits(tmp_path: Path) -> None:
    """A word is a 1, a taste its share; what few share, what another field tells already and numbers are left out."""
    taste = pa.list_(pa.struct([("tag", pa.string()), ("weight", pa.float64())]))
    both = [{"tag": "acme", "weight": 0.75}, {"tag": "odd", "weight": 0.25}]
    users = [f"u{number:02d}" for number in range(2 * FEWEST_SHARING)]
    half = FEWEST_SHARING
    portraits = pa.table(
        {
            "user_id": users,
            "home_store": ["s1"] * half + ["s2"] * (half - 1) + [None],
            "top_brand": ["acme"] * len(users),
            "persona": ["p1"] * len(users),
            "orders": [1] * len(users),
            "brands": pa.array([both, *[[{"tag": "acme", "weight": 1.0}]] * (half - 1), *[None] * half], taste),
        }
    )
    pq.write_table(portraits, tmp_path / "portraits.parquet")
    features = portrait_features(tmp_path / "portraits.parquet", np.array([*users, "who"], "S"))
    assert features is not None
    expected = np.zeros((len(users) + 1, 2))
    expected[:half] = 1
    expected[0, 1] = 0.75
    np.testing.assert_array_equal(features.toarray(), expected)


def test_an_empty_app_publishes_an_empty_shelf(lake: Lake, tmp_path: Path) -> None:
    found = train(lake.snapshot("nobody"), AppSettings("nobody"), None, AS_OF, tmp_path)
    assert (found.verdict, found.too_little) == ("popular", True)
    assert len(Bundle.open(found.folder).items) == 0


def test_a_night_from_the_lake(tmp_path: Path) -> None:
    """Two tastes; portraits give the user features; today's portraits are not used for the past."""
    rng = np.random.default_rng(0)
    lake = Lake(tmp_path / "lake")
    bought = [
        event(f"u{user:02d}", "purchase", f"i{2 * item + user % 2}", float(day), amount=100)
        for user in range(60)
        for day, item in zip(np.sort(rng.uniform(0, 59, 12)), rng.integers(0, 8, 12), strict=True)
    ]
    rows(lake, bought)
    catalogue = [{"item_id": f"i{n}", "category": ["even" if n % 2 == 0 else "odd"], "brand": "b"} for n in range(16)]
    lake.upsert("shop", "items", pa.Table.from_pylist(catalogue, ITEMS.arrow_schema()), START)
    snapshot = lake.snapshot("shop")
    portraits = build(snapshot, SETTINGS, AS_OF, tmp_path / "portraits").path
    features = History(snapshot, SETTINGS, AS_OF, connect()).dataset(portraits).user_features
    assert features is not None
    assert np.diff(features.tocsc().indptr).min() >= FEWEST_SHARING
    found = train(snapshot, SETTINGS, portraits, AS_OF, tmp_path / "out", version="v1")
    assert found.verdict == "publish"
    bundle = Bundle.open(found.folder)
    assert bundle.manifest["app_id"] == "shop"
    best = bundle.candidate_items[:, 0]
    parity = np.array([int(bundle.items.id(int(item))[1:]) % 2 for item in best])
    assert np.mean(parity == np.arange(60) % 2) > 0.9
