"""The contract's check over whole batches: plainly good values by SQL, all others by `checking.check` itself.

For each column there is SQL for its typed value and SQL that is true when the value is *plainly* good (an ordinary
number, a time as RFC 3339 writes it, a short text). A row that is not plainly good is judged in Python by the very
function that judges events over HTTP. So verdict, value and reason agree by construction as long as what is plain is
right, and a file of odd but valid values is merely slower.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

from portraits.checking import Rejection, check, clamp_future, take
from portraits.history import EARLIEST, ID_LIMIT, LATEST, LIST_LIMIT, TEXT_LIMIT, Column, Kind, Table
from portraits.storage import DUCKDB_TYPES

TIME_PATTERN = r"\d{4}-\d{2}-\d{2}[T ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-](0\d|1[0-3]):[0-5]\d)"
DECIMAL_PATTERN = r"[0-9]{1,11}(\.[0-9]{1,12})?"
WHOLE = re.compile(r"(-?\d+)(\.0+)?")
INTEGER_TYPES = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT")
TRUE, FALSE = ("true", "1", "t", "yes"), ("false", "0", "f", "no")
LIST_SEPARATOR = "|"
EXACT_IN_DOUBLE = 2**53
CLAMPED = ("kept_ts", "kept_received_at", "kept_properties")


@dataclass(frozen=True, slots=True)
class Plain:
    """SQL for a column: its value in the contract's type, and whether that value is plainly good (null is)."""

    value: str
    good: str


def register(con: duckdb.DuckDBPyConnection) -> None:
    """Gives a connection the one function of ours that the SQL calls."""
    con.create_function(
        "canonical_json", _canonical_json, ["VARCHAR"], "VARCHAR", type="arrow", null_handling="special"
    )


def _canonical_json(texts: pa.Array) -> pa.Array:
    return pa.array([None if text is None else _canonical(text) for text in texts.to_pylist()], pa.string())


@functools.lru_cache(maxsize=65_536)
def _canonical(text: str) -> str | None:
    taken = take(Column("properties", Kind.JSON, ""), text)
    return None if isinstance(taken, Rejection) else str(taken)


def plain(column: Column, name: str, kind: str) -> Plain:
    """How a value of DuckDB type `kind`, held in SQL column `name`, becomes a value of `column`."""
    if kind == "JSON" and column.kind is not Kind.JSON:
        return _from_json(column, name)
    if kind in ("VARCHAR", "JSON"):
        return _from_text(column, name)
    return _from_native(column, name, kind)


def _from_text(column: Column, name: str) -> Plain:
    """A value that is text. An empty text is a missing value."""
    value = f"nullif({name}, '')"
    match column.kind:
        case Kind.ID | Kind.TEXT:
            good = _short(name, ID_LIMIT if column.kind is Kind.ID else TEXT_LIMIT)
        case Kind.INTEGER:
            value = f"TRY_CAST({name} AS BIGINT)"
            good = f"{value}::VARCHAR = {name} AND {_bounded(column, value)}"
        case Kind.DECIMAL:
            value = f"TRY_CAST({name} AS DECIMAL(18,4))"
            good = f"regexp_full_match({name}, '{DECIMAL_PATTERN}') AND {_bounded(column, value)}"
        case Kind.TIME:
            value = f"TRY_CAST({name} AS TIMESTAMPTZ)"
            good = f"regexp_full_match({name}, '{TIME_PATTERN}') AND {_within_time(value)}"
        case Kind.BOOLEAN:
            value = f"CASE WHEN lower({name}) IN {TRUE} THEN true WHEN lower({name}) IN {FALSE} THEN false END"
            good = f"lower({name}) IN {TRUE + FALSE}"
        case Kind.LIST:
            parts = f"list_transform(string_split({value}, '{LIST_SEPARATOR}'), lambda x: trim(x))"
            value = f"list_filter({parts}, lambda x: x <> '')"
            few = f"len({value}) <= {LIST_LIMIT} AND {_in_words(column, value)}"
            good = f"{_short(name, TEXT_LIMIT)} AND NOT starts_with({name}, '[') AND {few}"
        case Kind.JSON:
            value = f"canonical_json(nullif({name}::VARCHAR, ''))"
            good = f"{value} IS NOT NULL"
    return Plain(value, f"({name} IS NULL OR {name}::VARCHAR = '' OR ({good}))")


def _from_json(column: Column, name: str) -> Plain:
    """A JSON value: what matters is its own type, as in a request. Null and '' are missing values."""
    text = f"({name} ->> '$')"
    kind = f"json_type({name})"
    value, good = (plain := _from_text(column, text)).value, plain.good
    match column.kind:
        case Kind.BOOLEAN:
            good = f"{kind} = 'BOOLEAN'"
        case Kind.INTEGER:
            good = f"{kind} IN ('BIGINT', 'UBIGINT') AND {good}"
        case Kind.DECIMAL:
            good = f"{kind} IN ('BIGINT', 'UBIGINT', 'DOUBLE', 'VARCHAR') AND {good}"
        case Kind.LIST:
            value = f"CASE WHEN {kind} = 'ARRAY' THEN {name}::VARCHAR[] END"
            entries = f"json_extract({name}, '$[*]')"
            entry = "(x ->> '$')"
            is_text = f"lambda x: json_type(x) = 'VARCHAR' AND {_short(entry, TEXT_LIMIT)}"
            few = f"len({entries}) <= {LIST_LIMIT}"
            texts = f"len(list_filter({entries}, {is_text})) = len({entries})"
            good = f"{kind} = 'ARRAY' AND {few} AND {texts} AND {_in_words(column, value)}"
        case _:
            good = f"{kind} = 'VARCHAR' AND {good}"
    return Plain(value, f"({text} IS NULL OR {text} = '' OR ({good}))")


def _from_native(column: Column, name: str, kind: str) -> Plain:
    """A value of a typed column (Parquet, or a mapping's SQL)."""
    whole = kind in INTEGER_TYPES
    number = whole or kind in ("FLOAT", "DOUBLE") or kind.startswith("DECIMAL")
    value, good = f"TRY_CAST(NULL AS {DUCKDB_TYPES[column.kind]})", "false"
    match column.kind:
        case Kind.ID | Kind.TEXT if whole or kind == "UUID":
            return _from_text(column, f"{name}::VARCHAR")
        case Kind.INTEGER if number:
            value = f"TRY_CAST({name} AS BIGINT)"
            same = "true" if whole else f"{value} = {name} AND abs({name}) < {EXACT_IN_DOUBLE}"
            good = f"{same} AND {_bounded(column, value)}"
        case Kind.DECIMAL if number:
            return _from_text(column, f"{name}::VARCHAR")
        case Kind.TIME if kind == "TIMESTAMP WITH TIME ZONE":
            value, good = name, _within_time(name)
        case Kind.BOOLEAN if kind == "BOOLEAN":
            value, good = name, "true"
        case Kind.LIST if kind == "VARCHAR[]":
            value = name
            fitting = f"len(list_filter({name}, lambda x: {_short('x', TEXT_LIMIT)}))"
            good = f"{fitting} = len({name}) AND len({name}) <= {LIST_LIMIT} AND {_in_words(column, value)}"
        case Kind.JSON if kind.startswith(("STRUCT", "MAP")):
            return _from_text(column, f"to_json({name})::VARCHAR")
    return Plain(value, f"({name} IS NULL OR ({good}))")


def _short(text: str, limit: int) -> str:
    return f"length({text}) <= {limit} AND NOT contains({text}, chr(0))"


def _bounded(column: Column, value: str) -> str:
    least = f"{value} IS NOT NULL" if column.minimum is None else f"{value} >= {column.minimum}"
    return least if column.maximum is None else f"{least} AND {value} <= {column.maximum}"


def _in_words(column: Column, value: str) -> str:
    """SQL: whether all entries of a list may be there."""
    return f"len(list_filter({value}, lambda x: x IN {column.words})) = len({value})" if column.words else "true"


def _within_time(value: str) -> str:
    return f"({value} >= TIMESTAMPTZ '{EARLIEST.isoformat()}' AND {value} < TIMESTAMPTZ '{LATEST.isoformat()}')"


def judge(
    table: Table, values: Mapping[str, Any], key_is_made: bool, received_at: datetime | None
) -> dict[str, Any] | Rejection:
    """One row by `checking.check`, from values of any source (`None` and '' are missing).

    With `received_at` (events) the row also says how it is kept: a time from the future is clamped.
    """
    record = {column.name: _as_sent(column, values.get(column.name)) for column in table.columns}
    return judge_record(table, record, key_is_made, received_at)


def judge_record(
    table: Table, record: Mapping[str, Any], key_is_made: bool, received_at: datetime | None
) -> dict[str, Any] | Rejection:
    """The same for a record whose values are as JSON gives them."""
    made = key_is_made and record.get(table.key) in (None, "")
    row = check(table, {**record, table.key: "made"} if made else record)
    if isinstance(row, Rejection):
        return row
    if made:
        row[table.key] = None
    if received_at is not None:
        kept = clamp_future(row, min(row["received_at"] or received_at, received_at))
        row.update({f"kept_{name}": kept[name] for name in ("ts", "received_at", "properties")})
    return row


def _as_sent(column: Column, value: Any) -> Any:
    """A value from a text or typed file as a request would have sent it."""
    if isinstance(value, str):
        return _text_as_sent(column.kind, value)
    match column.kind:
        case Kind.ID | Kind.TEXT if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        case Kind.INTEGER if isinstance(value, (float, Decimal)) and _is_whole(value):
            return int(value)
        case Kind.TIME if isinstance(value, date) and not isinstance(value, datetime):
            return value.isoformat()
        case _:
            return value


def _is_whole(value: float | Decimal) -> bool:
    return -EXACT_IN_DOUBLE < value < EXACT_IN_DOUBLE and value == int(value)


def _text_as_sent(kind: Kind, text: str) -> Any:
    match kind:
        case Kind.INTEGER if whole := WHOLE.fullmatch(text):
            return int(whole[1])
        case Kind.BOOLEAN if text.lower() in TRUE + FALSE:
            return text.lower() in TRUE
        case Kind.LIST if text.startswith("["):
            return _json_or_text(text)
        case Kind.LIST:
            return [part.strip() for part in text.split(LIST_SEPARATOR) if part.strip()] if text else None
        case _:
            return text


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def judged_table(table: Table, rows: Iterable[Mapping[str, Any]], clamps: bool) -> pa.Table:
    """Rows that `judge` took, as Arrow: the contract's columns, `_line`, `_part`, and what clamping keeps."""
    fields = [*table.arrow_schema(), pa.field("_line", pa.int64()), pa.field("_part", pa.int64())]
    if clamps:
        time = pa.timestamp("us", tz="UTC")
        fields += [pa.field(name, kind) for name, kind in zip(CLAMPED, (time, time, pa.string()), strict=True)]
    return pa.Table.from_pylist(list(rows), schema=pa.schema(fields))
