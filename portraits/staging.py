"""Rows on their way into the lake, in the form that `portraits.landing` takes: SQL that gives them that form.

Two ways in: rows of a file (`Staging`), typed and checked by SQL, or one by one where SQL was not enough; and rows
that are handed over already checked and typed (`stage_handed`).
"""

# ruff: noqa: S608  (SQL is made of the schema's own names; values from outside are quoted or bound)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from portraits import checking_files, storage
from portraits.checking_files import Plain
from portraits.errors import InvalidValue
from portraits.history import BASIS_POINTS, BY_SHARE, LOGS, OFFERS, Table
from portraits.mapping import made_key
from portraits.reading import LINE


@dataclass(frozen=True)
class Staging:
    """SQL for the rows of one import into `table`. `at`: when it began, which is when its rows were received."""

    app_id: str
    table: Table
    at: datetime

    def checked(self, rows: str, kinds: Mapping[str, str]) -> str:
        """SQL of rows as they are staged, and `_plain`: whether each is plainly good.

        `rows` is SQL of rows as `shaping.Shape` has them, `kinds` the DuckDB types of their columns of the contract.
        Of rows that are not plainly good nothing but `line` and `part` is to be used.
        """
        columns = ((self.table.column(name), kind) for name, kind in kinds.items())
        plains = {column.name: checking_files.plain(column, f'"{column.name}"', kind) for column, kind in columns}
        typed = ", ".join(
            f'{plains[c.name].value if c.name in plains else "NULL"}::{storage.DUCKDB_TYPES[c.kind]} AS "{c.name}"'
            for c in self.table.columns
        )
        query = f'SELECT {typed}, "{LINE}", _part, {self._is_good(plains)} AS _plain FROM ({rows})'
        return self._staged(query, [name for name in self.table.names if name in plains], clamps=False)

    def judged(self, rows: str) -> str:
        """SQL of rows as they are staged, from the name of a table as `checking_files.judged_table` makes it."""
        return self._staged(f"SELECT *, true AS _plain FROM {rows}", list(self.table.names), self.clamps)

    @property
    def clamps(self) -> bool:
        """Whether judged rows also say how they are kept (see `checking.clamp_future`)."""
        return self.table.name == "events"

    def _is_good(self, plains: Mapping[str, Plain]) -> str:
        """SQL: every value is plainly good, none that is required is missing, and they do not contradict each other
        (see `checking.check`)."""
        needed = [c.name for c in self.table.columns if c.required and c.name != made_key(self.table)]
        given = [f"({plains[name].value}) IS NOT NULL" if name in plains else "false" for name in needed]
        conditions = ["_broken IS NULL", *(plain.good for plain in plains.values()), *given]
        if self.table.name == "events" and "ts" in plains:
            conditions.append(f"{plains['ts'].value} <= {self._received(plains)}")
        if {"starts", "ends"} <= plains.keys():
            conditions.append(f"coalesce({plains['starts'].value} < {plains['ends'].value}, true)")
        if self.table is OFFERS and {"kind", "value"} <= plains.keys():
            whole = f"{plains['kind'].value} NOT IN {BY_SHARE} OR {plains['value'].value} <= {BASIS_POINTS}"
            conditions.append(f"coalesce({whole}, true)")
        return f"coalesce({' AND '.join(conditions)}, false)"

    def _received(self, plains: Mapping[str, Plain]) -> str:
        """SQL of when an event was received: what the file says, or now; never later than now."""
        now = f"TIMESTAMPTZ '{self.at.isoformat()}'"
        return f"least(coalesce({plains['received_at'].value}, {now}), {now})" if "received_at" in plains else now

    def _staged(self, typed: str, present: list[str], clamps: bool) -> str:
        """SQL of rows as they are staged, from SQL of their typed values. `present`: columns that hold something."""
        key = self.table.key
        names = {name: f'"{name}"' for name in self.table.names}
        if self.table.name in LOGS:
            names = {name: text for name, text in names.items() if name in {*present, key, "received_at"}}
        made = "false"
        if made_key(self.table):
            made = f"{key} IS NULL"
            names[key] = f"coalesce({key}, md5('{self.app_id}' || chr(31) || _text)) AS {key}"
        extra = f"{made} AS made"
        if self.table.name in LOGS:
            day = f"CASE WHEN _plain THEN {'kept_ts' if clamps else 'ts'}::DATE END"
            extra += f", CASE WHEN _plain THEN ts::DATE END AS sent_day, {day} AS day"
        else:
            extra += f", TIMESTAMPTZ '{self.at.isoformat()}' AS valid_from, false AS deleted"
        if clamps:
            names |= {name: f'kept_{name} AS "{name}"' for name in ("ts", "received_at", "properties")}
        elif self.table.name == "events":
            now = f"TIMESTAMPTZ '{self.at.isoformat()}'"
            names["received_at"] = f"least(coalesce(received_at, {now}), {now}) AS received_at"
        text = f"CASE WHEN _plain THEN {storage.content_text(self.table, present)} END"
        return (
            f'SELECT {", ".join(names.values())}, "{LINE}" AS line, _part AS part, {extra}, '
            f"{storage.content_hash('_text')} AS content, _plain FROM (SELECT *, {text} AS _text FROM ({typed}))"
        )


def stage_handed(
    con: duckdb.DuckDBPyConnection,
    table: Table,
    rows: pa.Table | pa.RecordBatchReader,
    stage: Path,
    valid_from: datetime | None = None,
) -> None:
    """Writes checked and typed rows as the one staged file, numbered in their order.

    `valid_from`: since when the rows of a catalogue are true, where they do not say so themselves. Raises InvalidValue
    when a required column is not there.
    """
    given = set(rows.schema.names)
    for column in table.columns:
        if column.required and column.name not in given:
            raise InvalidValue(column.name, None, f"a column of {table.name}")
    con.register("handed", rows)
    con.execute("SET preserve_insertion_order = true")
    sent = {"sent_ts": "ts", "sent_properties": "properties"} if "sent_ts" in given else {}
    typed = [
        f'"{c.name}"::{storage.DUCKDB_TYPES[c.kind]} AS "{c.name}"'
        if c.name in given
        else f'NULL::{storage.DUCKDB_TYPES[c.kind]} AS "{c.name}"'
        for c in table.columns
    ]
    con.execute(
        f"CREATE TEMP TABLE numbered AS SELECT {', '.join((*typed, *sent))}, {_extra(table, given)}, "
        "row_number() OVER ()::BIGINT AS line FROM handed",
        [valid_from] if "valid_from" not in given and table.name not in LOGS else [],
    )
    con.execute("SET preserve_insertion_order = false")
    text = storage.content_text(table, table.names)
    for name, kept_as in sent.items():
        text = text.replace(f'"{kept_as}"', name)
    kept = f"* EXCLUDE ({', '.join(sent)})" if sent else "*"
    query = f"SELECT {kept}, {storage.content_hash(text)} AS content FROM numbered"
    storage.write_parquet(con, query, stage / "rows-0.parquet", "snappy")
    con.execute("DROP TABLE numbered")


def _extra(table: Table, given: set[str]) -> str:
    """SQL of what handed rows need beside the contract's columns."""
    if table.name in LOGS:
        sent = "sent_ts" if "sent_ts" in given else "ts"
        return f"0 AS part, false AS made, ts::DATE AS day, {sent}::DATE AS sent_day"
    since = "valid_from::TIMESTAMPTZ" if "valid_from" in given else "?::TIMESTAMPTZ"
    deleted = "deleted::BOOLEAN" if "deleted" in given else "false"
    return f"{since} AS valid_from, {deleted} AS deleted"
