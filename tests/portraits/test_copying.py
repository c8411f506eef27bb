"""The files of a lake as of one moment: copied, they are that lake."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from portraits.copying import files_of
from portraits.engine import connect
from portraits.lake import Lake


def add(lake: Lake, number: int) -> None:
    """One event, a day each."""
    moment = datetime(2026, 3, number + 1, 12, tzinfo=UTC)
    row = {"event_id": f"e{number}", "user_id": "ann", "ts": moment, "type": "launch"}
    lake.append_events("shop", pa.Table.from_pylist([row]))


def copied(lake: Lake, files: list[Path], to: Path) -> Lake:
    for file in files:
        (to / "shop" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(lake.folder("shop") / file, to / "shop" / file)
    return Lake(to)


def event_ids(lake: Lake) -> list[str]:
    return sorted(lake.snapshot("shop").events(connect()).event_id.to_pyarrow().to_pylist())


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    for number in range(3):
        add(lake, number)
    return lake


def test_what_is_written_later_is_not_of_the_moment(lake: Lake, tmp_path: Path) -> None:
    files = files_of(lake.folder("shop"))
    add(lake, 3)
    lake.compact("shop")
    assert event_ids(copied(lake, files, tmp_path / "copy")) == ["e0", "e1", "e2"]


def test_a_log_with_a_checkpoint_and_entries_after_it(lake: Lake, tmp_path: Path) -> None:
    DeltaTable(str(lake.folder("shop") / "events")).create_checkpoint()
    add(lake, 3)
    copy = copied(lake, files_of(lake.folder("shop")), tmp_path / "copy")
    assert event_ids(copy) == ["e0", "e1", "e2", "e3"]
    add(copy, 4)
    assert event_ids(copy) == ["e0", "e1", "e2", "e3", "e4"]


def test_other_files_are_copied_hidden_ones_are_not(lake: Lake) -> None:
    folder = lake.folder("shop")
    for name in ("segments/night.parquet", ".staging/half.parquet", "events/never-committed.parquet"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    names = {file.as_posix() for file in files_of(folder)}
    assert "segments/night.parquet" in names
    assert not {".staging/half.parquet", "events/never-committed.parquet", ".lock"} & names
