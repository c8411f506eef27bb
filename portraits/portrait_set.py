"""A set of portraits as the day reads it: Parquet files sorted by visitor and a manifest; no engine is needed.

`build.build` writes the folder. Its files are the portraits themselves, whatever the stages of the build leave for the
day (each visitor's behaviour, how personas are told apart), and the same laid out for questions about everyone
(`segments.tables`); every one is in the manifest with its checksum.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from portraits.errors import BrokenBundle
from portraits.field import Field

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends import BaseBackend

FORMAT = 3
TABLE_FILE = "portraits.parquet"
MANIFEST_FILE = "portraits.json"
DELETED_FILE = "deleted.json"
"""Which deletions of tags the set was built with: user_id -> tag -> microseconds; absent where there were none."""


class PortraitSet:
    """The portraits of one app as of one moment, read from the folder that `build` wrote.

    Raises BrokenBundle where the folder is not one; `verify` also where a file is not the one that was written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = _manifest(path)
        self.as_of = datetime.fromisoformat(self.manifest["as_of"])
        self.rows: int = self.manifest["rows"]

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """The columns of these portraits: what each means, its type and its empty value."""
        return {told["name"]: Field.from_dict(told) for told in self.manifest["fields"]}

    @cached_property
    def deleted(self) -> Mapping[str, Mapping[str, int]]:
        """The deletions of tags that the set was built with (see `portraits.deleted`), by user_id."""
        if DELETED_FILE not in self.manifest["files"]:
            return {}
        return dict(json.loads((self.path / DELETED_FILE).read_text("utf-8")))

    def verify(self) -> None:
        """Compares every file with its checksum. Raises BrokenBundle."""
        for name, checksum in self.manifest["files"].items():
            path = self.path / name
            try:
                whole = sha256(path) == checksum
            except OSError as problem:
                raise BrokenBundle(str(path), problem.strerror or "cannot be read") from None
            if not whole:
                raise BrokenBundle(str(path), "its checksum is not the one in its manifest")

    def get(self, user_id: str) -> dict[str, Any] | None:
        """One visitor's portrait, None where there is none. Reads one row group."""
        found = self.people.rows(user_id).to_pylist()
        return found[0] if found else None

    def of(self, ids: Iterable[str]) -> dict[str, Any] | None:
        """The portrait of a person by the first of these ids that has one: a link may be younger than the set."""
        return next((found for user_id in ids if (found := self.get(user_id)) is not None), None)

    def table(self, con: BaseBackend) -> ir.Table:
        """All portraits, as a table of `con`."""
        return con.read_parquet(str(self.path / TABLE_FILE))

    @cached_property
    def people(self) -> SortedFile:
        """The portraits, by visitor."""
        return self.sorted_file(TABLE_FILE)

    def sorted_file(self, name: str) -> SortedFile:
        """A file of the set that is sorted by user_id."""
        return SortedFile(self.path / name, self.manifest["last_users"][name])


class SortedFile:
    """A Parquet file sorted by user_id. `last_users`: the greatest user_id of each row group, which is its index."""

    def __init__(self, path: Path, last_users: Sequence[str]) -> None:
        self._path = path
        self._last_users = last_users

    def rows(self, user_id: str) -> pa.Table:
        """The rows of one visitor. Reads the row groups that may hold them: one, for all but a few.

        Raises BrokenBundle: the file was whole once and cannot be read any more.
        """
        first = bisect_left(self._last_users, user_id)
        last = first
        while last < len(self._last_users) and self._last_users[last] == user_id:
            last += 1
        groups = list(range(first, min(last + 1, len(self._last_users))))
        try:
            rows = self._file.read_row_groups(groups)
        except (OSError, pa.ArrowException) as problem:
            raise BrokenBundle(str(self._path), str(problem)) from None
        return rows.filter(pc.equal(rows["user_id"], user_id))

    @cached_property
    def _file(self) -> pq.ParquetFile:
        return pq.ParquetFile(self._path)


def last_users(path: Path) -> list[str]:
    """The index of a `SortedFile`, in the order Python compares text."""
    file = pq.ParquetFile(path)
    return [file.read_row_group(n, ["user_id"])["user_id"][-1].as_py() for n in range(file.num_row_groups)]


def sha256(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Writes what the set says of itself, with the checksum of that."""
    told = {**manifest, "sha256": _digest_of(manifest)}
    (folder / MANIFEST_FILE).write_text(json.dumps(told, indent=1), "utf-8")


def _digest_of(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / MANIFEST_FILE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BrokenBundle(str(path), f"{MANIFEST_FILE} cannot be read ({error})") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT or not (path / TABLE_FILE).is_file():
        raise BrokenBundle(str(path), f"not a portrait set of format {FORMAT}")
    if manifest.pop("sha256", None) not in (None, _digest_of(manifest)):
        raise BrokenBundle(str(path), f"{MANIFEST_FILE} changed since it was written (SHA-256 differs)")
    return manifest
