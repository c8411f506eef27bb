"""Rows that could not be taken: kept with their place and reason, never dropped in silence.

A quarantined row is stored once however often its file is imported: rows equal in everything but `at` and `landing`
are the same row. It counts only if its landing was committed to the table it was meant for, so a crash between the two
commits leaves no lie.
"""

# ruff: noqa: S608  (SQL is made of fixed names; values from outside are quoted or bound)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from portraits import delta
from portraits.history import TABLES
from portraits.storage import count, duckdb_type, quoted, quoted_list, write_parquet

VALUE_LIMIT = 200
ROW_LIMIT = 1_000
CONFLICT = "conflict: this id is known with other content"

SCHEMA = pa.schema(
    [
        pa.field("at", pa.timestamp("us", tz="UTC")),
        pa.field("landing", pa.string()),
        pa.field("table", pa.string()),
        pa.field("source", pa.string()),
        pa.field("line", pa.int64()),
        pa.field("column", pa.string()),
        pa.field("value", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("row", pa.string()),
    ]
)
"""When; which landing; for which table; file (or 'events' for the online store); line number from 1; column, its value
(cut to 200 characters), the reason in words, and the row's text (cut to 1,000 characters)."""

STAGED = pa.schema([field for field in SCHEMA if field.name not in ("at", "landing", "table", "source")])
"""What an importer stages: the rest is the same for a whole landing."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What all refused rows of a landing share."""

    at: datetime
    landing: str
    table: str
    source: str


def store(con: duckdb.DuckDBPyConnection, app: Path, stage: Path, refusal: Refusal) -> int:
    """Stores the staged refused rows that are not known from an earlier landing; how many there were."""
    if not any(stage.glob("quarantine-*.parquet")):
        return 0
    folder = app / "quarantine"
    lake = delta.open_table(folder)
    known = visible(con, app, lake, {name: delta.open_table(app / name) for name in TABLES})
    same = ", ".join(f'"{name}"' for name in ("table", "source", "line", "column", "value", "reason", "row"))
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE refused AS
        WITH told AS (
            SELECT DISTINCT ?::TIMESTAMPTZ AS "at", ? AS landing, ? AS "table", ? AS source, line, "column", value,
                   reason, "row"
            FROM read_parquet({quoted(str(stage / "quarantine-*.parquet"))})
        ) SELECT * FROM told WHERE ({same}) NOT IN (SELECT ({same}) FROM {known})
        """,
        [refusal.at, refusal.landing, refusal.table, refusal.source],
    )
    rows = count(con, "refused")
    if rows:
        path = f"{refusal.landing}.parquet"
        size = write_parquet(con, "SELECT * FROM refused ORDER BY line", folder / path)
        lake = lake or delta.create_table(folder, SCHEMA, by_day=False)
        delta.commit(lake, [delta.DataFile(path, rows, size)], (), refusal.landing)
    return rows


def visible(
    con: duckdb.DuckDBPyConnection, app: Path, lake: DeltaTable | None, tables: Mapping[str, DeltaTable | None]
) -> str:
    """SQL for the quarantined rows whose landing was committed to its own table too."""
    files = [] if lake is None else [str(app / "quarantine" / file.path) for file in delta.live_files(lake)]
    if not files:
        typed = ", ".join(f'NULL::{duckdb_type(field.type)} AS "{field.name}"' for field in SCHEMA)
        return f"(SELECT {typed} WHERE false)"
    landings = con.execute(f'SELECT DISTINCT landing, "table" FROM read_parquet({quoted_list(files)})').fetchall()
    done = [landing for landing, name in landings if delta.landed(tables.get(name), landing)]
    landed = f"list_contains({quoted_list(done)}::VARCHAR[], landing)"
    return f"(SELECT * FROM read_parquet({quoted_list(files)}) WHERE {landed})"
