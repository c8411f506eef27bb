"""Files of user-item pairs that somebody else made, as numbers.

Columns are found by their usual names, whatever the case, blanks and underlines; a type behind a colon
("user_id:token") is not part of the name. Without a header line user and item stand first, and the time is the first
column after them that holds Unix times or dates. Every row counts as an interaction: a rating is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from portraits.errors import UnreadableFile
from recommender.history.dataset import Ids, Int32
from recommender.history.pair_times import Clock, holds_times, is_date, read_times
from recommender.history.table_files import TableFile, first_line, open_tables

NAMES: Mapping[str, tuple[str, ...]] = {
    "user": (
        *("user", "userid", "uid", "visitorid", "visitor", "customerid", "customer", "reviewerid", "reviewer"),
        *("memberid", "member", "householdid", "householdkey", "accountid", "sessionid"),
    ),
    "item": (
        *("item", "itemid", "iid", "productid", "product", "sku", "parentasin", "asin", "goodsid", "articleid"),
        *("movieid", "movie", "videoid", "trackid", "songid", "artistid", "bookid", "isbn", "businessid", "venueid"),
        *("poi", "poiid", "locationid", "location", "placeid", "newsid", "gameid", "appid", "recipeid", "stockcode"),
    ),
    "ts": (
        *("ts", "timestamp", "tsus", "unixtime", "unixreviewtime", "datetime", "time", "date", "eventtime"),
        *("createdat", "checkintime", "reviewtime", "tdat", "orderdate", "invoicedate"),
    ),
}
"""What each column may be called, without blanks, underlines, hyphens and capitals; the first that a file has."""


@dataclass(frozen=True)
class Pairs:
    """Rows of one file, in its order. user, item: int32[N] rows of vocabularies; clock: when. dropped: rows that were
    left out, by reason. form: see `TableFile`. unread: names of the columns that were not looked at."""

    user: Int32
    item: Int32
    clock: Clock
    dropped: Mapping[str, int]
    form: str
    unread: Sequence[str]


@dataclass(frozen=True)
class Vocabularies:
    """Ids of all files together, sorted."""

    users: Ids
    items: Ids


@dataclass(frozen=True)
class _Columns:
    """What was taken of a file: text, text, times."""

    user: pa.ChunkedArray
    item: pa.ChunkedArray
    clock: Clock
    dropped: Mapping[str, int]
    form: str
    unread: Sequence[str]


def read_pairs(*paths: Path) -> tuple[Vocabularies, list[Pairs]]:
    """The rows of several files in common numbers.

    Raises UnreadableFile naming the file: not what its name says, no column for user or item, a time that is none.
    """
    tables = [_columns(table) for table in open_tables(paths, lambda names: {"user", "item"} <= _roles(names).keys())]
    users, user_codes = _coded([table.user for table in tables])
    items, item_codes = _coded([table.item for table in tables])
    found = [
        Pairs(user, item, table.clock, table.dropped, table.form, table.unread)
        for user, item, table in zip(user_codes, item_codes, tables, strict=True)
    ]
    return Vocabularies(users, items), found


def read_users(path: Path) -> pa.StringArray:
    """The different user ids of a file with a header line, in its order: trimmed text, numbers as they are written.

    Raises UnreadableFile when it cannot be read or has no column of users.
    """
    (table,) = open_tables([path], lambda names: "user" in _roles(names))
    place = _taken(table, ["user"])["user"]
    ids = pc.unique(_ids(path, table.names[place], table.read([place])[0]))
    return ids.filter(pc.not_equal(ids, ""))


def _roles(names: Sequence[str]) -> dict[str, int]:
    """Where each column stands that has one of its usual names."""
    plain = [_plain_name(name) for name in names]
    known = {role: next((name for name in NAMES[role] if name in plain), None) for role in NAMES}
    return {role: plain.index(name) for role, name in known.items() if name is not None}


def _plain_name(name: str) -> str:
    words = name.partition(":")[0].lstrip("\ufeff").lower()
    return "".join(letter for letter in words if letter not in "_- \t\"'")


def _taken(table: TableFile, needed: Sequence[str]) -> dict[str, int]:
    """The place of each column of a file with names."""
    places = _roles(table.names) if table.form != "places" else {}
    plain = [_plain_name(name) for name in table.names]
    twice = [table.names[place] for place in places.values() if plain.count(plain[place]) > 1]
    if twice:
        raise UnreadableFile(str(table.path), f"more than one column is named {' and '.join(twice)}: leave one of each")
    missing = [role for role in needed if role not in places]
    if missing:
        has = "it has no header line" if table.form == "places" else f"its columns are {', '.join(table.names)}"
        wanted = "user, item and perhaps ts" if "item" in needed else "user_id"
        raise UnreadableFile(str(table.path), f"no column {' and '.join(missing)}: {has}; wanted are {wanted}")
    return places


def _columns(table: TableFile) -> _Columns:
    """Columns user and item as text, and times where there are any; rows without an id or a time left out and
    counted."""
    places = _by_place(table) if table.form == "places" else _taken(table, ["user", "item"])
    columns = dict(zip(places, table.read(list(places.values())), strict=True))
    ids = {role: _ids(table.path, table.names[places[role]], columns[role]) for role in ("user", "item")}
    has_id = pc.and_(*(pc.greater(pc.binary_length(column), 0) for column in ids.values()))
    dropped = {"rows without an id": len(has_id) - int(pc.sum(has_id).as_py() or 0)}
    user, item = (ids[role].filter(has_id) for role in ("user", "item"))
    clock = Clock(table.path)
    if "ts" in places:
        kind, times = read_times(table.path, table.names[places["ts"]], columns["ts"].filter(has_id))
        timed = pc.is_valid(times)
        dropped["rows without a time"] = int(times.null_count)
        user, item = user.filter(timed), item.filter(timed)
        clock = Clock(table.path, kind, times.filter(timed).to_numpy())
    unread = [name for place, name in enumerate(table.names) if place not in places.values()]
    return _Columns(user, item, clock, dropped, table.form, unread)


def _by_place(table: TableFile) -> dict[str, int]:
    """Places in a file without a header line."""
    if len(table.names) < 2:
        raise UnreadableFile(str(table.path), "one column and no header line: wanted are user, item and perhaps ts")
    columns = table.read(range(len(table.names)))
    if is_date(columns[1]):
        way_out = "write a header line such as user,ts,item"
        raise UnreadableFile(str(table.path), f"no header line, and a time where the item is looked for: {way_out}")
    ts = next((place for place in range(2, len(columns)) if holds_times(columns[place])), None)
    return {"user": 0, "item": 1} | ({} if ts is None else {"ts": ts})


def _ids(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Ids as text, "" where there is none."""
    try:
        return _text(column)
    except pa.ArrowException as problem:
        wanted = f"column {name} holds {column.type}, wanted is one text or number a row ({first_line(problem)})"
        raise UnreadableFile(str(path), wanted) from None


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values as text, "" where there is none; a number that a gap made a float is written as the integer it was."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, None)
        if pc.all(pc.equal(column, pc.floor(column))).as_py():
            column = column.cast(pa.int64())
    return pc.utf8_trim_whitespace(pc.fill_null(column.cast(pa.string()), ""))


def _coded(columns: Sequence[pa.ChunkedArray]) -> tuple[Ids, list[Int32]]:
    """All values of several columns, sorted as bytes, and the numbers of each column's."""
    together = pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string())
    words = pc.unique(together).cast(pa.binary())
    words = words.take(pc.sort_indices(words))
    codes = [pc.index_in(column.cast(pa.binary()), words).to_numpy().astype(np.int32) for column in columns]
    values = words.to_pylist()
    return (np.array(values, np.bytes_) if values else np.empty(0, "S1")), codes
