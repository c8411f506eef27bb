"""Membership by night: what is written is read, retention, forgetting."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from portraits.errors import NothingThere
from portraits.segments import nights
from portraits.segments.nights import Definition, LineTold, forget, schema, write_night
from portraits.segments.nights import nights as all_nights

T = datetime(2026, 3, 1, 4, tzinfo=UTC)
LINE = LineTold(1, True, {"en": "orders > 0", "zh": "订单数 > 0"})
DEFINITIONS = {"buyers": Definition(3, {"field": "orders", "op": ">", "value": 0}, (LINE,))}


def rows(*people: tuple[str, int]) -> list[pa.RecordBatch]:
    columns = [[user for user, _ in people], ["new"] * len(people), [bits for _, bits in people]]
    return pa.table(columns, schema=schema(DEFINITIONS)).to_batches()


def test_a_night_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_night(tmp_path, T, DEFINITIONS, rows(("ann", 1), ("bob", 0), ("eve", 3)))
    (night,) = all_nights(tmp_path)
    assert (night.as_of, night.base, night.members) == (T, 3, {"buyers": 2})
    assert night.definitions == DEFINITIONS
    with pytest.raises(NothingThere, match="sellers"):
        night.definition("sellers")


def test_a_night_that_is_repeated_replaces_itself(tmp_path: Path) -> None:
    write_night(tmp_path, T, DEFINITIONS, rows(("ann", 1)))
    write_night(tmp_path, T, DEFINITIONS, rows(("ann", 0), ("bob", 1)))
    assert [(night.base, night.members["buyers"]) for night in all_nights(tmp_path)] == [(2, 1)]


def test_an_app_without_visitors_has_nights_too(tmp_path: Path) -> None:
    assert write_night(tmp_path, T, DEFINITIONS, []).members == {"buyers": 0}


def test_old_nights_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nights, "KEEP_NIGHTS", 3)
    for day in range(5):
        write_night(tmp_path, T + timedelta(days=day), DEFINITIONS, rows(("ann", 1)))
    assert [night.as_of.day for night in all_nights(tmp_path)] == [3, 4, 5]


def test_a_night_of_long_ago_is_written_and_goes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nights, "KEEP_NIGHTS", 2)
    for day in (3, 4):
        write_night(tmp_path, T + timedelta(days=day), DEFINITIONS, rows(("ann", 1)))
    old = write_night(tmp_path, T, DEFINITIONS, rows(("bob", 1)))
    assert old.path.exists()
    assert all_nights(tmp_path)[0].as_of == T
    write_night(tmp_path, T + timedelta(days=5), DEFINITIONS, rows(("ann", 1)))
    assert not old.path.exists()


@pytest.mark.law
def test_a_forgotten_visitor_is_in_no_file(tmp_path: Path) -> None:
    write_night(tmp_path, T, DEFINITIONS, rows(("ann", 1), ("bob", 1)))
    write_night(tmp_path, T + timedelta(days=1), DEFINITIONS, rows(("bob", 1)))
    (tmp_path / ".half.parquet.tmp").write_bytes(b"ann")
    assert forget(tmp_path, ["ann", "nobody"]) == 1
    assert [night.members["buyers"] for night in all_nights(tmp_path)] == [1, 1]
    for path in tmp_path.iterdir():
        assert pq.read_table(path)["user_id"].to_pylist() == ["bob"]
