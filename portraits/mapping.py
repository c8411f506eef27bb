"""A mapping file: how rows of a merchant's own file become rows of the contract.

TOML. `[file]` says how to read it, `[leave_out]` names conditions for rows that are not wanted, `[columns]` fills the
contract's columns, and one or more `[[event]]` make several events of a row::

    table = "events"

    [leave_out]
    "no customer" = "CustomerID IS NULL"

    [columns]
    user_id = "CustomerID"                                # a column of the file
    type    = { constant = "purchase" }
    ts      = { column = "InvoiceDate", format = "%Y-%m-%d %H:%M:%S", zone = "Europe/London" }
    amount  = { sql = "UnitPrice::DECIMAL(18,4) * Quantity::DECIMAL(18,4)", decimals = 2 }

Conditions and `sql` are DuckDB expressions over the file's columns (text in CSV, their own types in Parquet, `_raw`
in JSONL; an empty text is null) and over `_line` (line number) and `_file` (the file's name up to its first dot).
`decimals = 2` turns pounds into pence, exactly; `epoch = "seconds"` reads numbers as times; `ts = "row order"` or
`"none"` is for files without time. An `[[event]]` has its own `columns`, may have a condition `when`, and with `each`
(an expression that gives a list) is made once for each entry, which its expressions call `each`.

A mapping is a program of whoever runs the import, with their rights: take it from nobody you would not run code from.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping as AbcMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from portraits.errors import InvalidValue, UnreadableFile
from portraits.history import TABLES, Kind, Table
from portraits.reading import FileOptions
from portraits.storage import TimeKind

EPOCH_FACTORS = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}
WITHOUT_TIME: AbcMapping[str, TimeKind] = {"row order": "order", "none": "none"}
MOST_DECIMALS = 8


@dataclass(frozen=True, slots=True)
class Field:
    """Where a column's value comes from (`column`, `constant` or `sql` with its text) and how it is read."""

    origin: str
    text: str
    decimals: int | None = None
    format: str | None = None
    zone: str | None = None
    epoch: str | None = None


@dataclass(frozen=True, slots=True)
class EventRule:
    """One event (or catalogue row) of a file's row."""

    columns: AbcMapping[str, Field]
    when: str | None = None
    each: str | None = None


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping file, checked."""

    table: Table
    options: FileOptions
    leave_out: AbcMapping[str, str]
    rules: tuple[EventRule, ...]
    time_kind: TimeKind = "real"
    origin: str = field(default="mapping", compare=False)

    @classmethod
    def load(cls, path: Path) -> Mapping:
        """Reads a mapping file. Raises UnreadableFile (no such file, not TOML) or InvalidValue naming the key."""
        try:
            return cls.parse(path.read_text("utf-8"), str(path))
        except OSError as error:
            raise UnreadableFile(str(path), f"the mapping cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UnreadableFile(str(path), "the mapping is not UTF-8") from None

    @classmethod
    def parse(cls, text: str, origin: str = "mapping") -> Mapping:
        """The same from its text."""
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UnreadableFile(origin, f"the mapping is not TOML: {error}") from None
        _known(data, "", ("table", "file", "leave_out", "columns", "event"))
        table = TABLES.get(str(data.get("table")))
        if table is None:
            raise InvalidValue("table", data.get("table"), f"one of {', '.join(TABLES)}")
        shared = _columns(data.get("columns", {}), table, "columns")
        rules = _rules(data, table, shared)
        kinds = {WITHOUT_TIME[f.text] for rule in rules for f in rule.columns.values() if f.origin == "order"}
        if len(kinds) > 1:
            raise InvalidValue("ts", "row order and none", "the same for every event")
        leave_out = _texts(data.get("leave_out", {}), "leave_out")
        return cls(table, _options(data), leave_out, rules, kinds.pop() if kinds else "real", origin)


def _known(data: AbcMapping[str, Any], where: str, keys: tuple[str, ...]) -> None:
    for key in data:
        if key not in keys:
            raise InvalidValue(f"{where}{key}", data[key], f"no such key; known: {', '.join(keys)}")


def _options(data: AbcMapping[str, Any]) -> FileOptions:
    options = _table_of(data.get("file", {}), "file")
    _known(options, "file.", ("delimiter", "encoding", "columns", "rest"))
    delimiter = options.get("delimiter")
    if delimiter is not None and (not isinstance(delimiter, str) or len(delimiter) != 1 or not delimiter.isascii()):
        raise InvalidValue("file.delimiter", delimiter, "one ASCII character")
    encoding = options.get("encoding", "utf-8")
    try:
        "".encode(encoding)
    except (LookupError, TypeError):
        raise InvalidValue("file.encoding", encoding, "an encoding that Python knows, e.g. gb18030") from None
    columns = options.get("columns", [])
    if not isinstance(columns, list) or not all(isinstance(name, str) and name for name in columns):
        raise InvalidValue("file.columns", columns, "a list of column names")
    rest = options.get("rest")
    if rest is not None and (not isinstance(rest, str) or not columns):
        raise InvalidValue("file.rest", rest, "a column name, beside file.columns")
    return FileOptions(delimiter, encoding, tuple(columns), rest)


def _rules(data: AbcMapping[str, Any], table: Table, shared: AbcMapping[str, Field]) -> tuple[EventRule, ...]:
    events = data.get("event", [{}])
    if not isinstance(events, list) or not events:
        raise InvalidValue("event", events, "one or more [[event]]")
    if "event" in data and table.name != "events":
        raise InvalidValue("event", table.name, "no [[event]] where table is not events")
    rules = []
    for number, event in enumerate(events, 1):
        where = f"event[{number}]."
        _known(event, where, ("when", "each", "columns"))
        own = _columns(event.get("columns", {}), table, f"{where}columns")
        for key in ("when", "each"):
            if key in event and not isinstance(event[key], str):
                raise InvalidValue(where + key, event[key], "SQL as text")
        columns = {**shared, **own}
        for column in table.columns:
            if column.required and column.name not in columns and column.name != made_key(table):
                raise InvalidValue(f"columns.{column.name}", None, f"a source: {table.name} cannot be without it")
        rules.append(EventRule(columns, event.get("when"), event.get("each")))
    return tuple(rules)


def made_key(table: Table) -> str | None:
    """The key that an import makes from the content where a file has none."""
    return table.key if table.name in ("events", "identities") else None


def _columns(data: Any, table: Table, where: str) -> dict[str, Field]:
    columns = {}
    for name, value in _table_of(data, where).items():
        if name not in table.names:
            raise InvalidValue(f"{where}.{name}", value, f"a column of {table.name}: {', '.join(table.names)}")
        columns[name] = _field(f"{where}.{name}", value, table.column(name).kind)
    return columns


def _field(where: str, value: Any, kind: Kind) -> Field:
    if isinstance(value, str):
        if kind is Kind.TIME and value in WITHOUT_TIME:
            return Field("order", value)
        return Field("column", value)
    data = _table_of(value, where)
    _known(data, f"{where}.", ("column", "constant", "sql", "decimals", "format", "zone", "epoch"))
    origins = [key for key in ("column", "constant", "sql") if key in data]
    if len(origins) != 1:
        raise InvalidValue(where, value, "exactly one of column, constant, sql")
    text = data[origins[0]]
    if origins[0] != "constant" and not isinstance(text, str):
        raise InvalidValue(f"{where}.{origins[0]}", text, "a text")
    decimals = data.get("decimals")
    if decimals is not None and (kind is not Kind.INTEGER or decimals not in range(MOST_DECIMALS + 1)):
        raise InvalidValue(f"{where}.decimals", decimals, f"0 to {MOST_DECIMALS}, on a column of whole minor units")
    _time_options(where, data, kind)
    constant = text if isinstance(text, str) else str(text).lower()
    return Field(origins[0], constant, decimals, data.get("format"), data.get("zone"), data.get("epoch"))


def _time_options(where: str, data: AbcMapping[str, Any], kind: Kind) -> None:
    for key in ("format", "zone", "epoch"):
        if key in data and (kind is not Kind.TIME or not isinstance(data[key], str)):
            raise InvalidValue(f"{where}.{key}", data[key], "a text, on a column of time")
    if "zone" in data:
        try:
            ZoneInfo(data["zone"])
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise InvalidValue(
                f"{where}.zone", data["zone"], "a name of the IANA database, e.g. Asia/Shanghai"
            ) from None
    if "epoch" in data and (data["epoch"] not in EPOCH_FACTORS or "format" in data or "zone" in data):
        raise InvalidValue(
            f"{where}.epoch", data["epoch"], f"one of {', '.join(EPOCH_FACTORS)}, without format or zone"
        )
    if "format" in data and "zone" not in data and "%z" not in data["format"]:
        raise InvalidValue(f"{where}.zone", None, "the time zone of the file's clock, e.g. Asia/Shanghai")


def _table_of(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidValue(where, value, "a TOML table")
    return value


def _texts(value: Any, where: str) -> dict[str, str]:
    texts = _table_of(value, where)
    for key, text in texts.items():
        if not isinstance(text, str):
            raise InvalidValue(f"{where}.{key}", text, "an SQL condition as text")
    return texts
