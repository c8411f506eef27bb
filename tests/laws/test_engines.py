"""The same answer on every engine: DuckDB and a real Spark cluster read one lake and give equal portraits, segments
and arrays to learn from.

Whole numbers, texts, moments and lists are equal to the last row; floats to a billionth, since engines may add them
up in another order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, is_dataclass, replace
from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import planted_deals
import planted_history as planted
import planted_links
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
import small_shop
import spark_cluster

from portraits.build import build, fields, past_of
from portraits.engine import connect
from portraits.features import REGISTRY
from portraits.history import CATALOGUES, CONTENTS, EVENTS, ITEMS, OFFERS, STORES, USERS
from portraits.lake import Lake
from portraits.local import to_us
from portraits.portrait_set import TABLE_FILE, PortraitSet
from portraits.rules import Moment, parse
from portraits.sample.history import history
from portraits.segments.evaluate import evaluate, lines
from portraits.segments.tables import tables_of
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot
from recommender.answers.catalogue import Catalogue
from recommender.answers.pipeline import recommend
from recommender.bundles.bundle import Bundle
from recommender.candidates.similar import Similar
from recommender.counting.counted import counted
from recommender.history.dataset import Dataset
from recommender.history.reading import History
from recommender.spark_training import largest_products
from recommender.types import Query
from serving.nightly import run_night
from serving.publish import bundle_folder, portraits_folder

pytestmark = [pytest.mark.law, pytest.mark.spark]

BOUGHT = {"type": "purchase"}
RULES: dict[str, dict[str, Any]] = {
    "often": {"did": BOUGHT, "times": {"op": ">=", "value": 2}, "within_days": 30},
    "not_lately": {"not": {"did": {"type": ["item_view", "cart"], "category": "food > tea"}, "within_days": 7}},
    "spent": {
        "did": {**BOUGHT, "brand": ["b0", "b1"]},
        "amount": {"op": "between", "value": [600, 2_000]},
        "within_days": 180,
    },
    "days": {"did": {"type": "page_view"}, "days": {"op": ">", "value": 1}, "within_days": 180},
    "soft": {"did": {"type": "item_view", "tag": "soft"}, "within_days": 180},
    "newly": {"first": BOUGHT, "within_days": 40},
    "path": {"sequence": [{"type": "item_view"}, {"type": "cart"}, BOUGHT], "within_days": 180},
    "quick": {"sequence": [{"type": "item_view"}, {"type": "item_view"}], "within_days": 180, "gap_days": 1},
    "drawn": {"tag": "food > tea", "in": "categories", "weight": 0.3, "confidence": 0.01, "events": 1},
    "seen": {"field": "last_seen", "op": "within_days", "value": 60},
    "due": {"field": "due_date", "op": "before_days", "value": 10},
    "known": {
        "and": [{"field": "first_order", "op": "known"}, {"field": "top_brand", "op": "starts_with", "value": "b"}]
    },
    "dear": {
        "or": [{"field": "order_value", "op": ">", "value": 900.5}, {"field": "rfm", "op": "in", "value": ["555"]}]
    },
}


SHOP_END = datetime(2025, 12, 20, tzinfo=UTC)
"""The sample shop's: its last month is after the moment of the planted history."""


@dataclass(frozen=True)
class Sides:
    """The features of one history as each engine writes them."""

    duckdb: pa.Table
    spark: pa.Table


@dataclass(frozen=True)
class Story:
    """A history and the moment at which it is asked."""

    snapshot: Snapshot
    settings: AppSettings
    as_of: datetime


def planted_lake(lake: Lake) -> Story:
    """Everything a portrait must get right, ids of one person among it, and a future that must not show."""
    late = [{**row, "ts": row["ts"] + timedelta(days=300)} for row in planted.events(seed=99)]
    lake.append_events("planted", planted.arrow(EVENTS, planted.events() + planted.numbered(late, "late")))
    catalogues = {ITEMS: planted.items(), USERS: planted.users(), STORES: planted.stores()}
    catalogues |= {CONTENTS: planted.contents(), OFFERS: planted_deals.offers()}
    for table, rows in catalogues.items():
        lake.upsert("planted", table.name, planted.arrow(table, rows), planted.START)
    linked = [("u01", "a"), ("u21", "a"), ("u05", "b"), ("u06", "b"), ("u03", "c"), ("u09", "c")]
    links = [planted_links.link(n, user_id=user, unionid=union) for n, (user, union) in enumerate(linked)]
    lake.upsert("planted", "identities", planted_links.arrow(links), planted.START)
    return Story(lake.snapshot("planted"), planted.SETTINGS, planted.AS_OF)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The planted history amid the sample shop at a hundred thousand events, a month before its end.

    Spark takes as long to think about forty visitors as about four thousand: both are asked about at once.
    """
    root = tmp_path_factory.mktemp("story")
    written, lake = root / "files", Lake(root / "lake")
    history(0, 100_000, written, end=SHOP_END)
    for part in sorted((written / "events").glob("*.parquet")):
        lake.append_events("planted", pq.read_table(part))
    for name in CATALOGUES:
        if (file := written / f"{name}.parquet").exists():
            lake.upsert("planted", name, pq.read_table(file), SHOP_END)
    return planted_lake(lake)


@pytest.fixture(scope="module")
def sides(story: Story, spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Sides:
    root = tmp_path_factory.mktemp("sides")
    found = {}
    for name, con in (("duckdb", connect()), ("spark", spark)):
        table = fields(past_of(story.snapshot, story.settings, story.as_of, con)).order_by("user_id")
        table.to_parquet(root / name, compression="zstd", row_group_size=8_192)
        found[name] = pq.read_table(root / name)
    return Sides(**found)


def equal(one: Any, other: Any) -> bool:
    """Floats to a billionth, at any depth; everything else exactly."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    return type(one) is type(other) and bool(one == other)


def test_same_columns_and_visitors(sides: Sides) -> None:
    assert sides.spark.schema.equals(sides.duckdb.schema)
    assert sides.spark["user_id"].to_pylist() == sides.duckdb["user_id"].to_pylist()
    assert len(sides.duckdb) > 1_000
    assert {"u00", "微信🎁"} < set(sides.duckdb["user_id"].to_pylist())


def differing(one: pa.Table, other: pa.Table, name: str) -> dict[str, list[Any]]:
    """The visitors to whom two tables give different values of a field, with both."""
    columns = (column.to_pylist() for column in (one["user_id"], one[name], other[name]))
    return {user: pair for user, *pair in zip(*columns, strict=True) if not equal(*pair)}


@pytest.mark.parametrize("name", REGISTRY)
def test_equal_to_the_last_row(sides: Sides, name: str) -> None:
    found = differing(sides.duckdb, sides.spark, name)
    assert not found, f"{name} differs for {len(found)} visitors: {dict(list(found.items())[:3])}"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[Snapshot, PortraitSet]:
    root = tmp_path_factory.mktemp("people")
    of = planted_lake(Lake(root / "lake"))
    return of.snapshot, build(of.snapshot, of.settings, of.as_of, root / "v1")


def test_segments_have_the_same_members(spark: Any, people: tuple[Snapshot, PortraitSet]) -> None:
    """Portraits, tags, behaviour windows, firsts and sequences: one rule, everyone at once, on either engine."""
    snapshot, portraits = people
    rules = {name: parse(rule, portraits.fields) for name, rule in RULES.items()}
    whole = parse({"and": [RULES["known"], {"or": [RULES["often"], RULES["path"]]}]}, portraits.fields)
    moment = Moment(to_us(portraits.as_of), ZoneInfo(planted.SETTINGS.time_zone), lambda _: None)
    answers = []
    for con in (connect(), spark):
        tables = tables_of(con, portraits, snapshot)
        asked = (evaluate(rules, tables, moment), lines(whole, tables, moment))
        answers.append([table.order_by("user_id").to_pyarrow().to_pylist() for table in asked])
    assert answers[1] == answers[0]
    members = {name: sum(row[name] for row in answers[0][0]) for name in RULES}
    assert all(0 < count < portraits.rows for count in members.values()), members


@dataclass(frozen=True)
class Lesson:
    """What one engine reads and counts for the recommender."""

    dataset: Dataset
    counted: dict[str, Any]


@pytest.fixture(scope="module")
def lessons(story: Story, spark: Any) -> list[Lesson]:
    """Of the embedded engine, and of Spark."""
    found = []
    for con in (connect(), spark):
        history = History(story.snapshot, story.settings, story.as_of, con)
        dataset = history.dataset()
        found.append(Lesson(dataset, counted(history, dataset)))
    return found


def assert_alike(one: Any, other: Any) -> None:
    """Arrays, sparse matrices, and values that hold such: integers and bytes equal, floats to a millionth."""
    assert type(one) is type(other)
    if is_dataclass(one):
        for part in dataclass_fields(one):
            assert_alike(getattr(one, part.name), getattr(other, part.name))
    elif isinstance(one, tuple):
        for ours, theirs in zip(one, other, strict=True):
            assert_alike(ours, theirs)
    elif isinstance(one, sp.csr_matrix):
        assert one.shape == other.shape
        for part in ("indptr", "indices", "data"):
            assert_alike(getattr(one, part), getattr(other, part))
    elif isinstance(one, np.ndarray) and one.dtype.kind == "f":
        np.testing.assert_allclose(other, one, rtol=1e-6)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(other, one)
    else:
        assert one == other


def test_the_same_dataset(lessons: list[Lesson]) -> None:
    """Row numbers, interactions, and what is known beside them."""
    here, there = (lesson.dataset for lesson in lessons)
    assert len(here.user) > 1_000
    assert_alike(here, there)


def test_the_same_counts(lessons: list[Lesson]) -> None:
    """Bought together, and lists for places, hours and articles."""
    here, there = (lesson.counted for lesson in lessons)
    assert here["together_items"].max() > 0
    assert len(here["occasions"]) > 10
    assert here.keys() == there.keys()
    for name, array in here.items():
        assert_alike(array, there[name])


def test_the_same_neighbours(lessons: list[Lesson], spark: Any) -> None:
    here, there = (lesson.dataset for lesson in lessons)
    similar = Similar().fit(here, 0)
    other = Similar().fit(there, 0, partial(largest_products, spark))
    assert similar.similarity_.nnz > 0
    assert_alike(similar.similarity_.sorted_indices(), other.similarity_.sorted_indices())


def test_a_night_on_spark(cluster: spark_cluster.Cluster, spark: Any, tmp_path: Path) -> None:
    """HUAXIANG_ENGINE moves the features, the counting and the heavy training there; what is published says nothing of
    it."""
    process, store, lake = small_shop.open_small_shop(tmp_path)
    store.save_app(replace(store.app("shop"), tuning_trials=0))
    night = run_night(replace(process, engine=cluster.url), store, lake, "shop", as_of=small_shop.END)
    assert night.status == "published"
    assert night.version is not None
    published = PortraitSet(portraits_folder(process, "shop", night.version))
    here = build(lake.snapshot("shop"), store.app("shop"), small_shop.END, tmp_path / "here")
    assert published.rows == here.rows > 30
    assert published.manifest["files"].keys() == here.manifest["files"].keys()
    there, ours = (pq.read_table(folder / TABLE_FILE) for folder in (published.path, here.path))
    assert there.schema.equals(ours.schema)
    for name in ours.column_names:
        found = differing(ours, there, name)
        assert not found, f"{name} differs for {len(found)} visitors: {dict(list(found.items())[:3])}"
    for user in ("u001", "u002"):
        assert equal(published.get(user), here.get(user))
    bundle = Bundle.open(bundle_folder(process, "shop", night.version))
    shelf = recommend(bundle, Catalogue.from_bundle(bundle), Query("u001", 5, small_shop.END)).items
    assert len({ranked.item_id for ranked in shelf}) == 5
