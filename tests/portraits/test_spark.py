"""Ibis on Spark answers as Ibis on DuckDB does: what `portraits.spark` makes alike, piece by piece."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import portraits
from portraits.engine import connect, engine
from portraits.errors import MissingExtra, NothingThere
from portraits.local import microseconds, to_us

on_spark = pytest.mark.spark
MOMENT = datetime(2025, 3, 30, 1, 59, 59, 999_999, tzinfo=UTC)
ROWS = pa.table(
    {
        "user_id": pa.array(["b", "𠮷", "a", "ä"]),
        "ts": pa.array([MOMENT, None, datetime(1969, 12, 31, 23, tzinfo=UTC), MOMENT], pa.timestamp("us", "UTC")),
        "n": pa.array([3, None, -(2**62), 0], pa.int64()),
        "tags": pa.array([["x", "y"], [], None, ["z"]], pa.list_(pa.string())),
    }
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """ROWS by day, as the lake has them."""
    root = tmp_path_factory.mktemp("log")
    paths = [root / f"day=2025-03-{day}" / "part.parquet" for day in (30, 31)]
    for n, path in enumerate(paths):
        path.parent.mkdir()
        pq.write_table(ROWS.slice(2 * n, 2), path)
    return [str(path) for path in paths]


@on_spark
@pytest.mark.parametrize(
    "ask",
    [
        lambda t: t,
        lambda t: t.mutate(us=microseconds(t.ts)),
        lambda t: t.mutate(tenth=t.n * 0.1, tiny=ibis.literal(1e-300), third=ibis.literal(1 / 3)),
        lambda t: t.group_by("user_id").aggregate(high=t.count(where=t.n > 1), lists=t.count(where=t.tags.notnull())),
        lambda t: t.filter(t.n > 10**18).aggregate(none=ibis._.count(where=ibis._.n > 1), nothing=ibis._.n.sum()),
        lambda t: t.mutate(day_after=t.day + ibis.interval(days=1)),
        lambda t: t.filter(t.day == date(2025, 3, 30)).select("user_id", "day"),
        lambda t: t.select("user_id", entry=ibis.struct({"ts": t.ts, "n": t.n})),
        lambda t: t.inner_join(ibis.memtable(pa.table({"user_id": ["a"], "seen": [MOMENT]})), "user_id"),
    ],
    ids=["rows", "microseconds", "floats", "counts", "nothing", "dates", "partition", "nested", "memory"],
)
def test_same_answer_and_types(spark: Any, files: list[str], ask: Any) -> None:
    found, expected = (ask(con.read_parquet(files, hive_partitioning=True)).cache() for con in (spark, connect()))
    found, expected = (table.order_by(table.columns[0]).to_pyarrow() for table in (found, expected))
    assert found.schema.names == expected.schema.names
    assert found.schema.types == expected.schema.types
    assert found.to_pylist() == [
        {name: pytest.approx(value, rel=1e-12) if isinstance(value, float) else value for name, value in row.items()}
        for row in expected.to_pylist()
    ]


@on_spark
def test_whole_numbers_do_not_wrap(spark: Any, files: list[str]) -> None:
    rows = spark.read_parquet(files, hive_partitioning=True)
    with pytest.raises(Exception, match="overflow"):
        rows.mutate(n=rows.n * 4).to_pyarrow()


@on_spark
def test_one_file_in_order(spark: Any, files: list[str], tmp_path: Path) -> None:
    """... of the types, rows and row groups that the embedded engine writes, and nothing beside it."""
    for name, con in (("spark", spark), ("duckdb", connect())):
        table = con.read_parquet(files, hive_partitioning=True)
        table.order_by("user_id").to_parquet(tmp_path / name, compression="zstd", row_group_size=2_048)
    found, expected = pq.read_table(tmp_path / "spark"), pq.read_table(tmp_path / "duckdb")
    assert found.schema == expected.schema
    assert found.to_pylist() == expected.to_pylist()
    assert [row["user_id"] for row in found.to_pylist()] == ["a", "b", "ä", "𠮷"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["duckdb", "spark"]


@on_spark
def test_an_empty_table_is_a_file_too(spark: Any, tmp_path: Path) -> None:
    table = spark.create_table("nobody", ROWS.schema.empty_table(), temp=True)
    table.order_by("user_id").to_parquet(tmp_path / "empty.parquet")
    assert pq.read_table(tmp_path / "empty.parquet").schema.names == ROWS.schema.names
    assert table.count().execute() == 0


@on_spark
def test_an_answer_is_pandas_where_it_is_asked_for(spark: Any, files: list[str]) -> None:
    rows = spark.read_parquet(files, hive_partitioning=True)
    assert rows.n.max().execute() == 3
    assert list(rows.order_by("user_id").execute().user_id) == ["a", "b", "ä", "𠮷"]
    assert to_us(MOMENT) == microseconds(rows.ts).max().execute()


@on_spark
def test_a_session_that_is_there_is_left_open(spark: Any) -> None:
    with engine("local[1]") as con:
        assert con.sql("SELECT 1 AS one").to_pyarrow().to_pylist() == [{"one": 1}]
    assert spark.sql("SELECT 2 AS two").to_pyarrow().to_pylist() == [{"two": 2}]


def test_no_master_is_said_at_once() -> None:
    pytest.importorskip("pyspark", reason="needs the extra 'spark'")
    with pytest.raises(NothingThere, match=r"spark://127.0.0.1:1.*HUAXIANG_ENGINE"), engine("spark://127.0.0.1:1"):
        pass


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    monkeypatch.delattr(portraits, "spark", raising=False)
    for module in [name for name in sys.modules if name in ("portraits.spark", "ibis.backends.pyspark")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(MissingExtra, match=r"huaxiang\[spark\]"), engine("spark://somewhere:7077"):
        pass


def test_the_embedded_engine_needs_nothing() -> None:
    with engine() as con:
        assert con.sql("SELECT 1 AS one").to_pyarrow().to_pylist() == [{"one": 1}]
