"""Reading the lake: pinned, exact in its bounds, in the contract's types, and empty where there is nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from portraits.engine import connect
from portraits.history import EVENTS, LOGS, TABLES
from portraits.lake import Lake

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "湖 lake")


def events(*rows: tuple[str, str, datetime, int]) -> pa.Table:
    """Events of (event_id, user_id, ts, amount)."""
    names = ("event_id", "user_id", "ts", "amount")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) | {"type": "purchase"} for row in rows])


def test_a_snapshot_stays_as_it_was(lake: Lake) -> None:
    lake.append_events("shop", events(("a", "u", NOON, 1)))
    before = lake.snapshot("shop")
    lake.append_events("shop", events(("b", "u", NOON, 1)))
    lake.append_events("shop", events(("a", "u", NOON, 7)))
    lake.compact("shop")
    con = connect()
    assert before.events(con).count().execute() == 1
    assert before.quarantine(con).count().execute() == 0
    assert lake.snapshot("shop").events(con).count().execute() == 2
    assert lake.snapshot("shop").versions["events"] > before.versions["events"]


def test_bounds_come_from_statistics_exactly(lake: Lake) -> None:
    assert lake.snapshot("shop").bounds() is None
    late = NOON + timedelta(microseconds=123457)
    lake.append_events("shop", events(("a", "u", late, 1), ("b", "u", NOON - DAY, 1)))
    assert lake.snapshot("shop").bounds() == (NOON - DAY, late, 2)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_missing_table_reads_as_empty_with_the_contracts_columns(lake: Lake, name: str) -> None:
    snapshot, con = lake.snapshot("shop"), connect()
    rows = getattr(snapshot, name)(con) if name in LOGS else snapshot.catalogue(con, name)
    assert set(TABLES[name].names) <= set(rows.columns)
    assert rows.count().execute() == 0


@pytest.mark.parametrize("kind", ["real", "order", "none"])
def test_time_kind_is_read_off_the_events(lake: Lake, kind: str) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    moments = {"real": [NOON], "order": [epoch, epoch + timedelta(seconds=9), NOON], "none": [epoch, NOON]}[kind]
    lake.append_events("shop", events(*((f"{i}", "u", moment, 1) for i, moment in enumerate(moments))))
    assert lake.time_kind("shop") == kind


def test_events_have_the_contracts_types(lake: Lake) -> None:
    lake.append_events("shop", events(("a", "u", NOON, 1)))
    schema = lake.snapshot("shop").events(connect()).to_pyarrow().schema
    assert [schema.field(name).type for name in EVENTS.names] == [field.type for field in EVENTS.arrow_schema()]
