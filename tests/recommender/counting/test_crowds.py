"""Lists of stores, entrances, hours and articles: planted differences are found, absent ones make no list at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest

from portraits.build import past_of
from portraits.engine import connect
from portraits.history import EVENTS
from portraits.lake import Lake
from portraits.past import Past
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot
from recommender.answers.occasions import Listed
from recommender.counting.crowds import FEWEST_VISITORS, LEAST_GAIN, Counts, best_pull, crowds, lists, takings
from recommender.history.dataset import Dataset, as_ids
from recommender.history.reading import History

START = datetime(2026, 3, 1, tzinfo=UTC)
AS_OF = START + timedelta(days=60)
SETTINGS = AppSettings("shop")  # its clock is eight hours ahead
Rows = list[dict[str, Any]]


def act(user: str, item: str | None, day: float, kind: str = "item_view", **more: Any) -> dict[str, Any]:
    ts = START + timedelta(days=day)
    event = {"event_id": f"{user}-{item}-{day}-{kind}", "user_id": user, "ts": ts, "type": kind, "item_id": item}
    return event | {"platform": "wechat"} | more


def common(many: int = 300) -> Rows:
    """Visitors who take one of six items, the first ones most, at all hours."""
    return [act(f"u{n}", f"item{min(n % 6, n % 4)}", 30 + (n // 6 % 24) / 24 + n / 1e4) for n in range(many)]


def in_store(store: str, item: str, many: int = 60) -> Rows:
    own = [act(f"{store}-{n}", item, 31 + (n % 24) / 24, store_id=store) for n in range(many)]
    return own + [act(f"{store}-{n}", "item0", 32 + (n % 24) / 24, store_id=store) for n in range(0, many, 3)]


def at_hour(hour: int, item: str, many: int = 90) -> Rows:
    """By the app's clock."""
    return [act(f"h{n}", item, 33 + ((hour - 8) % 24 + 0.5) / 24 + n % 5) for n in range(many)]


def by_entrance(scene: str, item: str, many: int = 60) -> Rows:
    return [act(f"e{scene}-{n}", item, 34 + (n % 24) / 24, scene=scene) for n in range(many)]


def after(content: str, item: str, many: int = 50) -> Rows:
    moments = [36 + (n % 24) / 24 + n / 1e4 for n in range(many)]
    read = [act(f"r{content}-{n}", None, at, "content_view", content_id=content) for n, at in enumerate(moments)]
    return read + [act(f"r{content}-{n}", item, at + 0.005) for n, at in enumerate(moments)]


def snapshot(folder: Path, rows: Rows) -> Snapshot:
    lake = Lake(folder)
    lake.append_events("shop", pa.Table.from_pylist(rows, EVENTS.arrow_schema()))
    return lake.snapshot("shop")


def found_in(folder: Path, rows: Rows) -> tuple[Dataset, dict[str, Listed]]:
    history = History(snapshot(folder, rows), SETTINGS, AS_OF, connect())
    past = past_of(history.snapshot, SETTINGS, AS_OF, history.con)
    dataset = history.dataset()
    return dataset, {one.key: one for one in crowds(past, dataset)}


WORLD = (
    common()
    + in_store("s1", "local")
    + in_store("s2", "item1")
    + at_hour(8, "bun")
    + at_hour(20, "wine")
    + by_entrance("1011", "scanned")
    + by_entrance("1007", "shared")
    + after("c1", "kettle")
    + after("c2", "item3")
)


@pytest.mark.parametrize(
    ("key", "first", "visitors"),
    [
        ("store:s1", "local", 60),
        ("store:s2", "item1", 60),
        ("hour:8", "bun", 90),
        ("hour:9", "bun", 90),
        ("hour:20", "wine", 90),
        ("scene:wechat:1011", "scanned", 60),
        ("scene:wechat:1007", "shared", 60),
        ("readers:c1", "kettle", 50),
        ("readers:c2", "item3", 50),
    ],
)
def test_a_planted_crowd_is_found(tmp_path: Path, key: str, first: str, visitors: int) -> None:
    dataset, found = found_in(tmp_path, WORLD)
    listed = found[key]
    assert dataset.items[listed.items[0]].decode() == first
    assert listed.support[0] == visitors
    assert listed.scores[0] == 1
    assert listed.weight > 0
    everything = {dataset.items[item].decode() for item in listed.items}
    assert "item0" in everything, "what is popular everywhere stands below"


@pytest.mark.parametrize(
    ("kind", "without"),
    [
        ("store", lambda row: row.get("store_id") is None),
        ("scene", lambda row: row.get("scene") is None),
        ("hour", lambda row: row["item_id"] not in ("bun", "wine")),
        ("readers", lambda row: row["type"] != "content_view"),
    ],
)
def test_without_the_events_the_lists_go(tmp_path: Path, kind: str, without: Callable[[dict[str, Any]], bool]) -> None:
    _, found = found_in(tmp_path, [row for row in WORLD if without(row)])
    assert not [key for key in found if key.startswith(f"{kind}:")]
    assert found


def test_where_places_do_not_matter_there_are_no_lists(tmp_path: Path) -> None:
    """Every store, entrance and hour takes the same: nothing is foretold by them."""
    rows = [{**row, "store_id": f"s{n // 24 % 4}", "scene": f"10{n // 24 % 5}"} for n, row in enumerate(common(900))]
    assert found_in(tmp_path, rows)[1] == {}


def test_a_reason_rests_on_enough_visitors_and_on_the_place(tmp_path: Path) -> None:
    dataset, found = found_in(tmp_path, [*WORLD, act("one", "odd", 31, store_id="s1")])
    listed = found["store:s1"]
    support = {dataset.items[item].decode(): n for item, n in zip(listed.items, listed.support.tolist(), strict=True)}
    assert not support.get("odd"), f"one visitor is fewer than {FEWEST_VISITORS}"
    assert support["item2"] == 0, "popular, but not because of this store"


def test_a_store_with_too_few_visitors_has_no_list(tmp_path: Path) -> None:
    _, found = found_in(tmp_path, WORLD + in_store("s3", "item4", 8))
    assert "store:s1" in found
    assert "store:s3" not in found


def test_one_visitor_counts_once_by_the_strongest_act(tmp_path: Path) -> None:
    rows = [act("a", "x", 59, "purchase"), *(act("a", "x", 58 + n / 10) for n in range(5)), act("b", "x", 29)]
    taken = snapshot(tmp_path, rows)
    past = past_of(taken, SETTINGS, AS_OF, connect())
    strength = {"purchase": 1.0, "item_view": 0.3}
    until = int((START + timedelta(days=59)).timestamp() * 1e6) + 1
    table = takings(past, strength, until)
    rows = [row for row in table.to_pyarrow().to_pylist() if row["key"] == ""]
    assert {row["half"]: (row["visitors"], row["nano"]) for row in rows} == {
        0: (1, 1_000_000_000),
        1: (1, pytest.approx(0.3e9 / 2, rel=1e-9)),
    }


def test_the_pull_is_the_one_that_foretells_the_other_half() -> None:
    """Two stores with wholly different goods pull little; two that take alike pull as much as can be."""
    items = np.arange(40)
    row, item = np.repeat([0, 1], 20), items
    apart = np.array([np.full(40, 20.0), np.full(40, 20.0)])
    counts = Counts(as_ids(["store:a", "store:b"]), row, item, apart, np.full(40, 40))
    pull, gain = best_pull(counts, apart)
    assert pull == 1.0
    assert gain == pytest.approx(np.log(2), rel=0.02)
    rng = np.random.default_rng(0)
    same = rng.poisson(20.0, (2, 80)).astype(float)
    alike = Counts(counts.keys, np.repeat([0, 1], 40), np.tile(items, 2), same, np.full(80, 40))
    everybody = same[:, :40] + same[:, 40:]
    assert best_pull(alike, everybody)[1] < LEAST_GAIN
    assert lists(alike, everybody, np.ones(40, bool)) == []


@pytest.mark.spark
@pytest.mark.law
def test_the_same_counts_on_spark(spark: ibis.BaseBackend, tmp_path: Path) -> None:
    taken = snapshot(tmp_path, WORLD)

    def rows(past: Past) -> Any:
        table = takings(past, {"item_view": 0.3}, int(AS_OF.timestamp() * 1e6))
        return table.order_by("key", "item_id", "half").to_pyarrow().to_pylist()

    assert rows(past_of(taken, SETTINGS, AS_OF, spark)) == rows(past_of(taken, SETTINGS, AS_OF, connect()))
