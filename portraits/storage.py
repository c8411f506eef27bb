"""How rows are stored: schemas of the lake's tables, their types in DuckDB, the content hash, writing Parquet."""

# ruff: noqa: S608  (SQL is made of the schema's own names; values from outside are quoted or bound)

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from portraits.history import ARROW_TYPES, Kind, Table

TimeKind = Literal["real", "order", "none"]
"""What `ts` means: time, the order of rows in a file, or nothing."""

DUCKDB_TYPES = {
    Kind.ID: "VARCHAR",
    Kind.TEXT: "VARCHAR",
    Kind.TIME: "TIMESTAMPTZ",
    Kind.INTEGER: "BIGINT",
    Kind.DECIMAL: "DECIMAL(18,4)",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.LIST: "VARCHAR[]",
    Kind.JSON: "VARCHAR",
}


ROW_GROUP = 122_880
"""Rows of a Parquet row group, as DuckDB has them."""

CONTENT = pa.field("content", pa.int64())
DAY = pa.field("day", pa.date32())
LOG_EXTRA = (CONTENT, pa.field("sent_day", pa.date32()), DAY)
CATALOGUE_EXTRA = (
    CONTENT,
    pa.field("valid_from", pa.timestamp("us", tz="UTC")),
    pa.field("deleted", pa.bool_()),
    pa.field("change", pa.int64()),
)


def log_schema(table: Table) -> pa.Schema:
    """Schema of a table partitioned by day (events, decisions)."""
    return pa.schema([*table.arrow_schema(), *LOG_EXTRA])


def catalogue_schema(table: Table) -> pa.Schema:
    """Schema of a catalogue's history: the contract's columns, and since when each row was true."""
    return pa.schema([*table.arrow_schema(), *CATALOGUE_EXTRA])


def content_text(table: Table, present: Iterable[str]) -> str:
    """SQL for a row's content as text: name=value of every column that is not null, key and received_at left out."""
    known = set(present) - {table.key, "received_at"}
    parts = [f"'{c.name}=' || {_as_text(c.name, c.kind)}" for c in table.columns if c.name in known]
    return f"concat_ws(chr(31), {', '.join(parts)})" if parts else "''"


def content_hash(text: str) -> str:
    """SQL for a text's content hash: 63 bits of its MD5, which unlike DuckDB's `hash` never changes its mind."""
    return f"(md5_number({text}) >> 65)::BIGINT"


def _as_text(name: str, kind: Kind) -> str:
    if kind is Kind.TIME:
        return f'epoch_us("{name}")::VARCHAR'
    if kind is Kind.LIST:
        return f'to_json("{name}")::VARCHAR'
    return f'"{name}"::VARCHAR'


def write_parquet(con: duckdb.DuckDBPyConnection, query: str, path: Path, compression: str = "zstd") -> int:
    """Writes a query's rows to one Parquet file and returns its size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    con.execute(f"COPY ({query}) TO {quoted(str(path))} (FORMAT parquet, COMPRESSION {compression})")
    return path.stat().st_size


def write_log_file(table: Table, batches: Iterable[pa.RecordBatch], path: Path) -> int:
    """Writes rows of a table by day to one Parquet file and returns its size in bytes.

    The batches' columns are picked by name; a column they lack is null. Arrow and not DuckDB writes it, because one
    sorted stream becomes many small files, and a COPY for each costs more than what it copies.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([field for field in log_schema(table) if field != DAY])
    repeated = [field.name for field in schema if field.name not in (table.key, CONTENT.name)]
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=repeated, store_schema=False) as writer:
        for batch in batches:
            given = set(batch.schema.names)
            arrays = [
                batch.column(field.name) if field.name in given else pa.nulls(len(batch), field.type)
                for field in schema
            ]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
    return path.stat().st_size


def count(con: duckdb.DuckDBPyConnection, name: str) -> int:
    """How many rows a table of this connection holds."""
    row = con.execute(f"SELECT count(*) FROM {name}").fetchone()
    return int(row[0]) if row else 0


def duckdb_type(arrow: pa.DataType) -> str:
    """The DuckDB type of one of the contract's Arrow types."""
    return next(DUCKDB_TYPES[kind] for kind, known in ARROW_TYPES.items() if known == arrow)


def quoted(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def quoted_list(values: Iterable[str]) -> str:
    """Texts as an SQL list."""
    return "[" + ", ".join(quoted(value) for value in values) + "]"
