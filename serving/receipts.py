"""Whether anything is left of a visitor who was forgotten: every place that could hold an id is read through.

An id is known by its keyed hash alone (`portraits.forgotten.mark`), so whatever may be an id is hashed: linked ids are
found although nobody remembers them. That is what stands in columns of ids, what is a text or a part of a URL as a
whole where one visitor may write of another (`mentions`), whom a refused row names (`refused_ids`), and every text of
a column that is neither the contract's nor a portrait's; an item, a price or a word of a sentence that is written as
the id is says nothing of the visitor. Searched are all rows of the app in the store, and all files of the app's lake,
portraits, bundles and runs as they lie on the disk, not as a table's log lists them: Parquet (also files that a table
no longer names), arrays, DuckDB's files and text. Not searched are the logs of tables and what lists the parts of a
version, copies that were taken elsewhere, and pages of SQLite that are no row's any more: it overwrites what is
deleted, and a receipt is only done once its log was emptied.

The answer is a receipt that can be kept: it names nobody, says when and what was searched, and is signed with the
installation's secret where it has one.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from portraits import behaviour, quarantine
from portraits.dictionary import FIELDS
from portraits.errors import NothingThere
from portraits.forgotten import FREE_TEXT, ID_COLUMNS, NAMES_OTHERS, mentions, refused_ids
from portraits.history import TABLES
from portraits.portrait_set import DELETED_FILE
from portraits.storage import quoted
from serving.publish import bundle_folder, portraits_folder
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.forgotten import Status
from serving.stores.mentions import NAMED as NAMED_IN
from serving.stores.rights import SWITCHES

BATCH_ROWS = 65_536
NAMED = frozenset({*ID_COLUMNS, NAMES_OTHERS})
"""Columns that hold a visitor's id and nothing else, wherever they are."""
REFUSED = ("column", "value", "row")
"""Columns of a refused row, which are read together."""
OTHERS = (
    frozenset(column.name for table in TABLES.values() for column in table.columns)
    | frozenset(FIELDS)
    | frozenset(quarantine.SCHEMA.names)
    | frozenset({*behaviour.COLUMNS, "field", "tag"})
) - {*NAMED, *FREE_TEXT}
"""Columns whose texts are no visitor's id, however they are written."""
ARRAYS = frozenset({"items", "brands", "categories", "tags", "stores", "titles_bytes"})
"""Arrays of a bundle that are told of items."""
LISTS = frozenset({"manifest.json", "portraits.json", "model.yaml", "latest"})
"""Files that say what a version is made of."""
IDS_OF: Mapping[str, tuple[str, ...]] = {"links": ("value",), "people": ("id",), "forgotten": ("id",)}
"""Columns of the store that hold ids, beside those that are named so."""


@dataclass(frozen=True, slots=True)
class Check:
    """What a search found. person: the keyed hash of the id that was asked for. left: where something is, by table or
    file; empty: nothing is. rows, files: how many were read. signature: see `sign`."""

    app_id: str
    person: str
    at: str
    status: Status
    left: tuple[str, ...]
    rows: int
    files: int
    signature: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"left": list(self.left)}


def check(process: ProcessSettings, store: Store, app_id: str, user_id: str) -> Check:
    """Searches everything. Deletes nothing. Raises UnknownApp; NothingThere for who was never forgotten."""
    record = store.record(app_id, user_id)
    if record is None:
        raise NothingThere("forgetting", user_id, f"ask for it with: huaxiang forget {user_id} --app {app_id}")
    person = store.forgotten_with(app_id, user_id)
    left: dict[str, None] = {}
    rows = files = 0
    for table, row in store.texts(app_id):
        rows += 1
        if person.among(of_row(table, row)):
            left[f"store: {table}"] = None
    for path in _files(process, app_id):
        files += 1
        if any(map(person.among, _ids(path))):
            left[str(path.relative_to(process.home))] = None
    at = datetime.now(UTC).isoformat(timespec="seconds")
    found = Check(app_id, store.mark(app_id, user_id), at, record.status, tuple(left), rows, files)
    return Check(**{**asdict(found), "signature": sign(found.to_dict(), process.secret)})


def sign(told: Mapping[str, Any], secret: str) -> str:
    """The signature of a check as `Check.to_dict` tells it, whatever it says of its signature; '' without a secret."""
    if not secret:
        return ""
    body = json.dumps({**told, "signature": ""}, sort_keys=True, ensure_ascii=False).encode()
    return hmac.new(secret.encode(), b"forgotten\x00" + body, hashlib.sha256).hexdigest()


def _files(process: ProcessSettings, app_id: str) -> Iterator[Path]:
    """Every file of the app, hidden and unfinished ones too."""
    for root in (
        process.lake / app_id,
        portraits_folder(process, app_id, "any").parent,
        bundle_folder(process, app_id, "any").parent,
        process.runs / app_id,
    ):
        if root.is_dir():
            yield from sorted(path for path in root.rglob("*") if path.is_file() and not _is_list(path))


def of_row(table: str, row: Mapping[str, str]) -> set[str]:
    """What may be a visitor's id in a row of the store (column -> text)."""
    found = {text for name, text in row.items() if name in NAMED or name in IDS_OF.get(table, ())}
    if table == "catalogue" and row["name"] in (*NAMED_IN, SWITCHES):
        found.add(row["key"])
    if table == "rejected":
        return found | refused_ids(*(row.get(name, "") for name in REFUSED))
    return found.union(*(_of_json(text) for text in row.values() if text[0] in "{["))


def _is_list(path: Path) -> bool:
    return path.name in LISTS or "_delta_log" in path.parts


def _ids(path: Path) -> Iterator[set[str]]:
    """What in a file may be a visitor's id."""
    return READERS.get(path.suffix, _of_text)(path)


def _of_parquet(path: Path) -> Iterator[set[str]]:
    file = pq.ParquetFile(path)
    for key, value in (file.metadata.metadata or {}).items():
        if key != b"ARROW:schema":
            yield _of_json(value.decode("utf-8", "replace"))
    for batch in file.iter_batches(BATCH_ROWS):
        yield from _of_batch(batch)


def _of_batch(batch: pa.RecordBatch) -> Iterator[set[str]]:
    if set(REFUSED) <= set(batch.schema.names):
        for row in batch.select(REFUSED).to_pylist():
            yield refused_ids(*(row[name] or "" for name in REFUSED))
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name in FREE_TEXT:
            yield from (mentions(name, text) for text in _of_array(column))
        elif name not in OTHERS:
            yield set(_of_array(column))


def _of_array(array: pa.Array) -> Iterator[str]:
    """Each text of an array once, however deep it lies."""
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield from (text for text in array.unique().to_pylist() if text)
    elif pa.types.is_dictionary(kind):
        yield from _of_array(array.dictionary)
    elif pa.types.is_map(kind):
        yield from _of_array(array.keys)
        yield from _of_array(array.items)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _of_array(array.flatten())
    elif pa.types.is_struct(kind):
        for part in array.flatten():
            yield from _of_array(part)


def _of_numpy(path: Path) -> Iterator[set[str]]:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if path.stem in ARRAYS:
        return
    if array.dtype.kind == "S":
        yield {text.decode("utf-8", "replace") for text in array.ravel().tolist()}
    elif array.dtype == np.uint8 and array.ndim == 1:
        yield _words(array.tobytes().decode("utf-8", "replace"))


def _of_duckdb(path: Path) -> Iterator[set[str]]:
    con = duckdb.connect()
    try:
        con.execute(f"ATTACH {quoted(str(path))} AS searched (READ_ONLY)")
        tables = con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'searched'").fetchall()
        for (table,) in tables:
            found = con.execute(f'SELECT * FROM searched."{table}"')  # noqa: S608 - a name of the file's own
            for batch in found.fetch_record_batch(BATCH_ROWS):
                yield from _of_batch(batch)
    finally:
        con.close()


def _of_deletions(path: Path) -> Iterator[set[str]]:
    """Of the file of deleted tags, whose keys are ids; of any other JSON what is named as an id."""
    text = path.read_text("utf-8", "replace")
    if path.name == DELETED_FILE:
        yield set(json.loads(text))
    else:
        yield _of_json(text)


def _of_text(path: Path) -> Iterator[set[str]]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        yield from map(_words, lines)


def _of_json(text: str) -> set[str]:
    """What stands in JSON under the name of a column of ids, or in a text where one visitor may write of another."""
    try:
        return set(_told(json.loads(text)))
    except ValueError:
        return set()


def _told(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _told(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            if isinstance(one, str) and name in FREE_TEXT:
                yield from mentions(name, one)
            elif isinstance(one, str | int) and (name in NAMED or (name == "value" and value.get("field") in NAMED)):
                yield str(one)
            else:
                yield from _told(one)


def _words(line: str) -> set[str]:
    """Of plain text, which nobody here writes: each word but numbers, and the line as a whole."""
    return {word for word in BETWEEN.split(line) if not word.isdigit()} | {line.strip()}


READERS: Mapping[str, Callable[[Path], Iterator[set[str]]]] = {
    ".parquet": _of_parquet,
    ".npy": _of_numpy,
    ".duckdb": _of_duckdb,
    ".json": _of_deletions,
}
"""How files are read by the end of their names; all others are text."""
BETWEEN = re.compile(r"[\s,;:|\"'{}\[\]]+")
