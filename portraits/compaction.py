"""Small files of many imports made into one sorted file a day, so that readers open few files and skip most rows."""

# ruff: noqa: S608  (SQL is made of the schema's own names; paths are quoted)

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import duckdb
from deltalake import DeltaTable

from portraits import delta
from portraits.storage import quoted_list, write_parquet


def compact(con: duckdb.DuckDBPyConnection, folder: Path, table: DeltaTable, order: str) -> int:
    """Rewrites the files of each day (of the whole table where it has no days) as one; how many files went into it."""
    by_day: dict[date | None, list[delta.DataFile]] = {}
    for file in delta.live_files(table):
        by_day.setdefault(file.day, []).append(file)
    added, removed = [], []
    for day, files in by_day.items():
        if len(files) > 1:
            added.append(_merged(con, folder, day, files, order))
            removed += files
    if added:
        delta.commit(table, added, removed, None)
    return len(removed)


def _merged(
    con: duckdb.DuckDBPyConnection, folder: Path, day: date | None, files: Sequence[delta.DataFile], order: str
) -> delta.DataFile:
    name = f"{uuid.uuid4().hex}.parquet"
    path = name if day is None else f"day={day}/{name}"
    source = f"read_parquet({quoted_list(str(folder / file.path) for file in files)}, hive_partitioning = false)"
    size = write_parquet(con, f"SELECT * FROM {source} ORDER BY {order}", folder / path)
    first = [file.first_ts for file in files if file.first_ts]
    last = [file.last_ts for file in files if file.last_ts]
    sent = [file.last_sent_day for file in files if file.last_sent_day]
    rows = sum(file.rows for file in files)
    return delta.DataFile(
        path, rows, size, day, min(first, default=None), max(last, default=None), max(sent, default=None)
    )
