"""What the lake needs of Delta Lake: create a table, list its live files, commit files written elsewhere.

DuckDB writes the Parquet files (sorted, in bounded memory); `deltalake` only commits them, so that a reader sees all of
a write or none of it. Each commit carries its landing id as a Delta transaction (`txn`), which survives checkpoints and
answers later whether that landing happened.

Protocol: https://github.com/delta-io/delta/blob/master/PROTOCOL.md
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake._internal import RemoveAction
from deltalake.transaction import AddAction


@dataclass(frozen=True, slots=True)
class DataFile:
    """One live Parquet file of a table. A time or day is None where the table keeps no such statistic."""

    path: str
    rows: int
    bytes: int
    day: date | None = None
    first_ts: datetime | None = None
    last_ts: datetime | None = None
    last_sent_day: date | None = None


def open_table(folder: Path) -> DeltaTable | None:
    """The Delta table in `folder` as it is now; None when there is none."""
    if not (folder / "_delta_log").is_dir() or not DeltaTable.is_deltatable(str(folder)):
        return None
    return DeltaTable(str(folder))


def create_table(folder: Path, schema: pa.Schema, by_day: bool) -> DeltaTable:
    """The Delta table in `folder`, made when it is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    return DeltaTable.create(str(folder), schema, mode="ignore", partition_by=["day"] if by_day else None)


def live_files(table: DeltaTable) -> list[DataFile]:
    """The files that make up the table at its version, with their statistics."""
    files = (
        DataFile(
            path=unquote(add["path"]),
            rows=add["num_records"],
            bytes=add["size_bytes"],
            day=add.get("partition.day"),
            first_ts=add.get("min.ts"),
            last_ts=add.get("max.ts"),
            last_sent_day=add.get("max.sent_day"),
        )
        for add in pa.table(table.get_add_actions(flatten=True)).to_pylist()
    )
    return sorted(files, key=lambda file: file.path)


def commit(table: DeltaTable, added: Sequence[DataFile], removed: Sequence[DataFile], landing: str | None) -> None:
    """Commits files already written under the table's folder, all or nothing.

    With `landing` the rows are new and the commit records that id; without it the same rows were only laid out anew.
    """
    now_ms = int(time.time() * 1000)
    is_new = landing is not None
    adds = [_add_action(file, now_ms, is_new) for file in added]
    removes = [RemoveAction(file.path, is_new, now_ms, file.bytes, _partition(file)) for file in removed]
    properties = CommitProperties(app_transactions=[Transaction(landing, 1)] if landing else None)
    partition_by = table.metadata().partition_columns
    table.create_write_transaction(
        [*adds, *removes], "append", table.schema(), partition_by, commit_properties=properties
    )


def delete_unused(folder: Path, keep_hours: int) -> list[str]:
    """Deletes from disk what no version of the last `keep_hours` refers to, files of crashed writers too."""
    table = DeltaTable(str(folder))

    def vacuum(dry_run: bool) -> list[str]:
        return list(table.vacuum(keep_hours, dry_run, enforce_retention_duration=False, full=True))

    return vacuum(dry_run=False) if vacuum(dry_run=True) else []


def landed(table: DeltaTable | None, landing: str) -> bool:
    """Whether the landing with this id was committed to the table."""
    return table is not None and table.transaction_version(landing) is not None


def _add_action(file: DataFile, now_ms: int, is_new: bool) -> AddAction:
    least: dict[str, Any] = {}
    most: dict[str, Any] = {}
    if file.first_ts is not None and file.last_ts is not None:
        least["ts"], most["ts"] = _stamp(file.first_ts), _stamp(file.last_ts)
    if file.last_sent_day is not None:
        most["sent_day"] = file.last_sent_day.isoformat()
    stats = {"numRecords": file.rows, "minValues": least, "maxValues": most, "nullCount": {}}
    return AddAction(file.path, file.bytes, _partition(file), now_ms, is_new, json.dumps(stats))


def _partition(file: DataFile) -> dict[str, str | None]:
    return {} if file.day is None else {"day": file.day.isoformat()}


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
