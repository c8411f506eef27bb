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
from recommender.history.kinds import KINDS
from recommender.history.reading import EPOCH, FEWEST_SHARING, History, portrait_features
from recommender.history.sample import of_visitors
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


@pytest.mark.law
def test_what_was_sent_back_was_bought_until_then(tmp_path: Path) -> None:
    """An order is cancelled on day 12, a cart emptied on day 15: no interactions now, and interactions before that."""
    lake = Lake(tmp_path)
    told = [
        event("ann", "purchase", "cup", 1, order_id="o", amount=5),
        event("ann", "purchase", "pot", 2, order_id="p", amount=5),
        event("bob", "cart", "cup", 3),
        event("ann", "order_cancel", None, 12, order_id="o"),
        event("bob", "cart_remove", "cup", 15),
    ]
    rows(lake, told)
    snapshot, con = lake.snapshot("shop"), connect()
    now = History(snapshot, SETTINGS, AS_OF, con).dataset()
    assert [now.items[item] for item in now.item] == [b"pot"]
    for day in (10, 13, 20):
        then = START + timedelta(days=day)
        known = History(snapshot, SETTINGS, then, con).dataset()
        back = now.before((then - EPOCH) // timedelta(microseconds=1))
        np.testing.assert_array_equal(back.ts_us, known.ts_us)
        np.testing.assert_array_equal(back.users[back.user], known.users[known.user])


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


def test_features_of_portraits() -> None:
    """A word is a 1, a taste its share (nothing where it has none, below a category that was turned down); what few
    share, what another field tells already and numbers are left out."""
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
            "categories": pa.array([[{"tag": "food > tea", "weight": None}]] * len(users), taste),
        }
    )
    features = portrait_features(portraits, np.array([*users, "who"], "S"))
    assert features is not None
    expected = np.zeros((len(users) + 1, 2))
    expected[:half] = 1
    expected[0, 1] = 0.75
    np.testing.assert_array_equal(features.toarray(), expected)


@pytest.mark.law
def test_features_of_the_past_are_those_of_its_portraits(tmp_path: Path) -> None:
    """As if the portraits of that moment had been built: not a visit and not a price of later."""
    rng = np.random.default_rng(1)
    lake = Lake(tmp_path / "lake")
    seen = [
        event(f"u{n % 70:02d}", kind, f"i{item}", float(day), store_id=f"s{n % 3}", platform="wechat", scene="1011")
        for n, (kind, item, day) in enumerate(
            zip(rng.choice(["item_view", "cart"], 600), rng.integers(0, 9, 600), rng.uniform(0, 59, 600), strict=True)
        )
    ]
    rows(lake, [*seen, *(event(f"u{n:02d}", "purchase", "i1", 10 + n / 2, amount=n) for n in range(70))])
    catalogue = [{"item_id": f"i{n}", "category": ["a", f"b{n % 3}"], "brand": f"b{n % 2}"} for n in range(9)]
    lake.upsert("shop", "items", pa.Table.from_pylist(catalogue, ITEMS.arrow_schema()), START)
    snapshot, moment = lake.snapshot("shop"), START + timedelta(days=30)
    history = History(snapshot, SETTINGS, AS_OF, connect())
    dataset = history.dataset(build(snapshot, SETTINGS, AS_OF, tmp_path / "now").path)
    found = history.at(dataset, (moment - EPOCH) // timedelta(microseconds=1)).user_features
    then = build(snapshot, SETTINGS, moment, tmp_path / "then").path
    expected = portrait_features(pq.read_table(then / "portraits.parquet"), dataset.users)
    assert found is not None
    assert expected is not None
    assert found.shape[1] > 10
    np.testing.assert_array_equal(found.toarray(), expected.toarray())


def test_the_past_of_some_visitors_is_theirs_alone(tmp_path: Path) -> None:
    """As if nobody else had ever come: not a visit, not a friend, not a look of others."""
    lake, alone = Lake(tmp_path / "lake"), Lake(tmp_path / "alone")
    seen = [event(f"u{n % 60:02d}", "item_view", f"i{n % 7}", n / 20, platform="wechat") for n in range(900)]
    shown = [event(f"u{n % 60:02d}", "exposure", f"i{n % 7}", n / 20 - 0.01, position=1 + n % 3) for n in range(900)]
    opened = [event(f"u{n % 60:02d}", "click", f"i{n % 7}", n / 20, position=1 + n % 3) for n in range(0, 900, 4)]
    met = [event(f"u{n:02d}", "share_open", None, 9, referrer_user_id=f"u{n // 2:02d}") for n in range(1, 60)]
    everything = [*seen, *shown, *opened, *met]
    rows(lake, everything)
    rows(alone, [one for one in everything if one["user_id"] < "u30"])
    history, only = (History(one.snapshot("shop"), SETTINGS, AS_OF, connect()) for one in (lake, alone))
    folder = build(lake.snapshot("shop"), SETTINGS, AS_OF, tmp_path / "now").path
    dataset = history.dataset(folder)
    some = of_visitors(dataset, np.flatnonzero(dataset.users < b"u30").astype(np.int32))
    only.dataset()
    moment = (START + timedelta(days=30) - EPOCH) // timedelta(microseconds=1)
    found, expected = history.at(some, moment), only.at(some, moment)
    for one, other in ((found.user_features, expected.user_features), (found.friends, expected.friends)):
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.toarray(), other.toarray())
    assert found.exposures is not None
    assert expected.exposures is not None
    np.testing.assert_array_equal(found.exposures.looked.toarray(), expected.exposures.looked.toarray())
    for one, other in zip(history.looks(some, 0, moment), only.looks(some, 0, moment), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_was_let_go_is_read_anew(lake: Lake) -> None:
    history = History(lake.snapshot("shop"), SETTINGS, AS_OF, connect())
    before = history.dataset()
    history.release()
    np.testing.assert_array_equal(history.dataset().ts_us, before.ts_us)


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
