"""Files of user-item pairs that somebody else made: CSV, TSV, JSONL or Parquet (gzip too), as numbers.

Columns are found by their usual names, whatever the case; a type behind a colon ("user_id:token") is not part of the
name. A time is a number (Unix time in seconds, milliseconds, microseconds or nanoseconds, or any number that orders the
rows) or a date. Everything is read by Arrow's own readers: no row becomes a Python object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from portraits.errors import UnreadableFile
from recommender.history.dataset import Ids, Int32, Int64

NAMES: Mapping[str, tuple[str, ...]] = {
    "user": ("user", "user_id", "userid", "uid", "visitor_id", "visitorid", "customer_id", "customer", "session_id"),
    "item": ("item", "item_id", "itemid", "iid", "product_id", "product", "sku", "movie_id", "article_id"),
    "ts": ("ts", "timestamp", "time", "datetime", "date", "ts_us", "unixtime"),
}
"""What each column may be called; the first name that a file has is taken."""

DELIMITERS = {"csv": ",", "txt": ",", "tsv": "\t", "tab": "\t", "inter": "\t"}
JSON_LINES = ("jsonl", "ndjson", "json")
FIRST_UNIX = 1e8
"""Smaller numbers are an order, not a time: 1973 in seconds."""
UNITS = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (np.inf, 1e-3))
"""Below which number a Unix time is in which unit: microseconds in one (seconds, milli-, micro-, nanoseconds)."""
NO_TIME = ("", "na", "n/a", "nan", "nat", "null", "none")
"""How files say that a row has no time, whatever the case."""


@dataclass(frozen=True)
class Pairs:
    """Rows of one file, in its order. user, item: int32[N] rows of vocabularies; ts: float64[N] as the file has it
    (dates as microseconds since 1970), None without such a column. dropped: rows that were left out, by reason."""

    user: Int32
    item: Int32
    ts: np.ndarray[Any, np.dtype[np.float64]] | None
    dropped: Mapping[str, int]


@dataclass(frozen=True)
class Vocabularies:
    """Ids of all files together, sorted."""

    users: Ids
    items: Ids


def read_pairs(*paths: Path) -> tuple[Vocabularies, list[Pairs]]:
    """The rows of several files in common numbers.

    Raises UnreadableFile naming the file: not what its name says, no column for user or item, a time that is none.
    """
    tables = [_columns(path) for path in paths]
    users, user_codes = _coded([table["user"] for table, _ in tables])
    items, item_codes = _coded([table["item"] for table, _ in tables])
    found = [
        Pairs(user, item, table["ts"].to_numpy() if "ts" in table.column_names else None, dropped)
        for user, item, (table, dropped) in zip(user_codes, item_codes, tables, strict=True)
    ]
    return Vocabularies(users, items), found


def microseconds(*columns: np.ndarray[Any, np.dtype[np.float64]] | None) -> tuple[str, list[Int64 | None]]:
    """The kind of time ("real", "order", "none") and the columns in its numbers: Unix times as microseconds, whatever
    else orders rows by its rank among all. All columns must be of the same unit."""
    given = [column for column in columns if column is not None and len(column)]
    if not given:
        return "none", [None] * len(columns)
    together = np.concatenate(given)
    middle = float(np.median(together))
    if middle < FIRST_UNIX:
        ranks = np.unique(together)
        return "order", [None if one is None else np.searchsorted(ranks, one).astype(np.int64) for one in columns]
    factor = next(factor for below, factor in UNITS if middle < below)
    return "real", [None if one is None else np.round(one * factor).astype(np.int64) for one in columns]


def _columns(path: Path) -> tuple[pa.Table, Mapping[str, int]]:
    """Columns user and item as text, ts as float64 where there is one; rows without an id or a time left out and
    counted."""
    try:
        whole = _read(path)
    except (OSError, pa.ArrowException) as problem:
        raise UnreadableFile(str(path), _first_line(problem)) from None
    names = [name.partition(":")[0].strip().lstrip("\ufeff").lower() for name in whole.column_names]
    taken = {role: next((known for known in NAMES[role] if known in names), None) for role in NAMES}
    twice = [name for name in taken.values() if name is not None and names.count(name) > 1]
    if twice:
        raise UnreadableFile(str(path), f"more than one column is named {' and '.join(twice)}: leave one of each")
    missing = [role for role in ("user", "item") if taken[role] is None]
    if missing:
        way_out = f"its columns are {', '.join(whole.column_names)}; wanted are user, item and perhaps ts"
        raise UnreadableFile(str(path), f"no column {' and '.join(missing)}: {way_out}")
    columns = {role: whole.column(names.index(name)) for role, name in taken.items() if name is not None}
    ids = {role: _ids(path, taken[role], columns[role]) for role in ("user", "item")}
    has_id = pc.and_(*(pc.greater(pc.binary_length(column), 0) for column in ids.values()))
    dropped = {"rows without an id": len(whole) - int(pc.sum(has_id).as_py() or 0)}
    kept = {role: column.filter(has_id) for role, column in ids.items()}
    if "ts" not in columns:
        return pa.table(kept), dropped
    times = _times(path, taken["ts"], columns["ts"].filter(has_id))
    if len(times) and times.null_count == len(times):
        raise UnreadableFile(str(path), f"column {taken['ts']} holds no time in any row: mend it or leave it out")
    timed = pc.is_valid(times)
    dropped["rows without a time"] = int(times.null_count)
    return pa.table({**kept, "ts": times}).filter(timed), dropped


def _read(path: Path) -> pa.Table:
    words = path.name.lower().removesuffix(".gz").removesuffix(".gzip").rsplit(".", 1)
    kind = words[-1] if len(words) > 1 else ""
    if kind in ("parquet", "pq"):
        return pa.parquet.read_table(path)
    if kind in JSON_LINES:
        return pa.json.read_json(pa.input_stream(path, "detect"))
    if kind not in DELIMITERS:
        raise pa.ArrowInvalid("the name must end in .csv, .tsv, .jsonl or .parquet (.gz after it for gzip)")
    parse = pa.csv.ParseOptions(delimiter=DELIMITERS[kind])
    with pa.csv.open_csv(pa.input_stream(path, "detect"), parse_options=parse) as first:
        names = first.schema.names
    # As text: an id "007" is not the number 7, and "NA" is an id.
    convert = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    return pa.csv.read_csv(pa.input_stream(path, "detect"), parse_options=parse, convert_options=convert)


def _ids(path: Path, name: str | None, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Ids as text, "" where there is none."""
    try:
        return _text(column)
    except pa.ArrowException as problem:
        wanted = f"column {name} holds {column.type}, wanted is one text or number a row ({_first_line(problem)})"
        raise UnreadableFile(str(path), wanted) from None


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values as text, "" where there is none; a number that a gap made a float is written as the integer it was."""
    column = _plain(column)
    if pa.types.is_floating(column.type):
        column = _finite(column)
        if pc.all(pc.equal(column, pc.floor(column))).as_py():
            column = column.cast(pa.int64())
    return pc.utf8_trim_whitespace(pc.fill_null(column.cast(pa.string()), ""))


def _times(path: Path, name: str | None, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """float64: numbers as they are, dates as microseconds; null where a row has none, or one that is not finite."""
    try:
        return _finite(_numbers(_plain(column)))
    except pa.ArrowException as problem:
        wanted = f"column {name} holds {column.type}, neither a number nor a date ({_first_line(problem)})"
        raise UnreadableFile(str(path), f"{wanted}; write times like 1700000000 or 2023-11-14 22:13:20") from None


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).cast(pa.float64())
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column.cast(pa.float64())
    words = pc.utf8_trim_whitespace(column.cast(pa.string()))
    words = pc.if_else(pc.is_in(pc.utf8_lower(words), pa.array(NO_TIME)), None, words)
    try:
        return words.cast(pa.float64())
    except pa.ArrowInvalid:
        dates = pc.replace_substring_regex(words, r"^(\d{4})/(\d\d)/(\d\d)", r"\1-\2-\3")
    try:
        read = dates.cast(pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:
        read = dates.cast(pa.timestamp("us"))
    return read.cast(pa.int64()).cast(pa.float64())


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without a dictionary."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _finite(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers, null for NaN and the infinities."""
    return pc.if_else(pc.is_finite(column), column, None)


def _coded(columns: Sequence[pa.ChunkedArray]) -> tuple[Ids, list[Int32]]:
    """All values of several columns, sorted as bytes, and the numbers of each column's."""
    together = pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string())
    words = pc.unique(together).cast(pa.binary())
    words = words.take(pc.sort_indices(words))
    codes = [pc.index_in(column.cast(pa.binary()), words).to_numpy().astype(np.int32) for column in columns]
    values = words.to_pylist()
    return (np.array(values, np.bytes_) if values else np.empty(0, "S1")), codes


def _first_line(problem: Exception) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0]
