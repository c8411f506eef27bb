"""Whether anything is left of a visitor who was forgotten: every place that could hold an id is read through.

An id is known by its keyed hash alone (`portraits.forgotten.mark`), so every text that is found is taken apart into
what may be an id, and hashed: linked ids are found although nobody remembers them. Searched are all rows of the app in
the store, and all files of the app's lake, portraits, bundles and runs as they lie on the disk, not as a table's log
lists them: Parquet (also files that a table no longer names), arrays, DuckDB's files and text. Not searched are copies
that were taken elsewhere, and pages of SQLite that are no row's any more: it overwrites what is deleted, and a receipt
is only done once its log was emptied.

The answer is a receipt that can be kept: it names nobody, says when and what was searched, and is signed with the
installation's secret where it has one.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from portraits.errors import NothingThere
from portraits.storage import quoted
from serving.publish import bundle_folder, portraits_folder
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.forgotten import Status

BATCH_ROWS = 65_536


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
    for table, text in store.texts(app_id):
        rows += 1
        if person.named_in(text):
            left[f"store: {table}"] = None
    for path in _files(process, app_id):
        files += 1
        if any(map(person.named_in, _texts(path))):
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
            yield from sorted(path for path in root.rglob("*") if path.is_file())


def _texts(path: Path) -> Iterator[str]:
    """Every text in a file."""
    return READERS.get(path.suffix, _of_text)(path)


def _of_parquet(path: Path) -> Iterator[str]:
    file = pq.ParquetFile(path)
    for key, value in (file.metadata.metadata or {}).items():
        if key != b"ARROW:schema":
            yield value.decode("utf-8", "replace")
    for batch in file.iter_batches(BATCH_ROWS):
        for column in batch.columns:
            yield from _of_array(column)


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


def _of_numpy(path: Path) -> Iterator[str]:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.dtype.kind == "S":
        yield from (text.decode("utf-8", "replace") for text in array.ravel().tolist())
    elif array.dtype == np.uint8 and array.ndim == 1:
        yield array.tobytes().decode("utf-8", "replace")


def _of_duckdb(path: Path) -> Iterator[str]:
    con = duckdb.connect()
    try:
        con.execute(f"ATTACH {quoted(str(path))} AS searched (READ_ONLY)")
        tables = con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'searched'").fetchall()
        for (table,) in tables:
            found = con.execute(f'SELECT * FROM searched."{table}"')  # noqa: S608 - a name of the file's own
            for batch in found.fetch_record_batch(BATCH_ROWS):
                for column in batch.columns:
                    yield from _of_array(column)
    finally:
        con.close()


def _of_text(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        yield from lines


READERS: Mapping[str, Callable[[Path], Iterator[str]]] = {
    ".parquet": _of_parquet,
    ".npy": _of_numpy,
    ".duckdb": _of_duckdb,
}
"""How files are read by the end of their names; all others are text."""
