"""One app's portraits as of T: the package's batch entry.

`fields` turns a `Past` into the portrait table: one aggregation for each grain, joined by visitor, then the row-level
fields. `build` writes it, atomically: a folder appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from bisect import bisect_left
from collections.abc import Collection
from datetime import datetime
from functools import cached_property, reduce
from itertools import groupby
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow.compute as pc
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend

from portraits.engine import connect
from portraits.errors import BrokenBundle, InvalidValue
from portraits.features import REGISTRY, Feature
from portraits.features.registry import GRAINS
from portraits.lake import Snapshot
from portraits.past import Past
from portraits.settings import AppSettings

FORMAT = 1
TABLE_FILE = "portraits.parquet"
MANIFEST_FILE = "portraits.json"
ROW_LEVEL = ("portrait", "everyone")
ROW_GROUP = 8_192
"""Portraits a row group: `PortraitSet.get` reads one group."""


def build(
    history: Snapshot, settings: AppSettings, as_of: datetime, out: Path, con: Backend | None = None
) -> PortraitSet:
    """Writes the portraits of everyone with an event before `as_of` to the folder `out`, replacing what is there.

    `as_of` is an aware moment; visitors who refused (users.consent = false) and those with nothing but test traffic
    get none. What a crash left beside `out` is swept up by the next build; two at once into one folder are the
    caller's to prevent. Raises InvalidValue for a naive `as_of`.
    """
    if as_of.tzinfo is None:
        raise InvalidValue("as_of", as_of, "a time with an offset")
    con = con or connect()
    table = fields(past_of(history, settings, as_of, con)).order_by("user_id")
    building = out.with_name(f".{out.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    table.to_parquet(building / TABLE_FILE, compression="zstd", row_group_size=ROW_GROUP)
    manifest = {
        "format": FORMAT,
        "app_id": settings.app_id,
        "as_of": as_of.isoformat(),
        "rows": pq.ParquetFile(building / TABLE_FILE).metadata.num_rows,
        "last_users": _last_users(building / TABLE_FILE),
        "fields": list(REGISTRY),
        "sha256": _sha256(building / TABLE_FILE),
        "lake": history.versions,
    }
    (building / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1))
    _replace(building, out)
    return PortraitSet(out)


def past_of(history: Snapshot, settings: AppSettings, as_of: datetime, con: Backend) -> Past:
    """The `Past` that a lake's snapshot holds for T."""
    bounds = history.bounds()
    return Past(
        lake_events=history.events(con),
        lake_items=history.catalogue(con, "items", as_of),
        lake_users=history.catalogue(con, "users", as_of),
        settings=settings,
        as_of=as_of,
        first=bounds[0] if bounds else as_of,
        size=bounds[2] if bounds else 0,
        real_time=history.time_kind() == "real",
    )


def fields(past: Past, wanted: Collection[Feature] = tuple(REGISTRY.values())) -> ir.Table:
    """The portrait table: user_id and the wanted fields, one row a visitor, in no particular order.

    `wanted` (for benchmarks: a part of the registry, in its order) holds what its row-level fields look at; visitors
    are those of its first grain. Lists of evidence are joined last: they are wide, and row-level fields never look at
    them.
    """
    known = [field for field in wanted if past.real_time or not field.clock]
    grains = [name for name in GRAINS if name not in ROW_LEVEL and any(field.grain == name for field in known)]
    parts = [_aggregate(past, name, [field for field in known if field.grain == name]) for name in grains]
    portrait = reduce(_join, (part.drop(_lists(part)) for part in parts))
    empty = {field.name: field.empty for field in known if field.name in portrait.columns and field.empty is not None}
    portrait = portrait.fill_null(empty).cache()
    for grain, group in groupby(known, key=lambda field: field.grain):
        if grain in ROW_LEVEL:
            portrait = _derive(portrait, grain, list(group), past)
    portrait = reduce(_join, (part.select("user_id", *_lists(part)) for part in parts if _lists(part)), portrait)
    unknown = [field.missing() for field in wanted if field not in known]
    return portrait.mutate(unknown).select("user_id", *(field.name for field in wanted))


def _aggregate(past: Past, grain: str, features: list[Feature]) -> ir.Table:
    """One row a visitor: all features of a grain in one aggregation."""
    return ibis.union(
        *(
            table.group_by("user_id").aggregate([field.expression(table, past.now) for field in features]).cache()
            for table in past.pieces(grain)
        )
    )


def _derive(portrait: ir.Table, grain: str, features: list[Feature], past: Past) -> ir.Table:
    """`portrait` with row-level features. Windows over everyone run on the few columns that they need."""
    if grain == "portrait":
        for field in features:
            portrait = portrait.mutate(field.expression(portrait, past.now))
        return portrait
    placed = portrait.select("user_id", *(field.expression(portrait, past.now) for field in features))
    return _join(portrait, placed.cache())


def _lists(part: ir.Table) -> list[str]:
    return [name for name in part.columns if name in REGISTRY and REGISTRY[name].is_list]


def _join(left: ir.Table, right: ir.Table) -> ir.Table:
    return left.left_join(right, "user_id").drop("user_id_right")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _last_users(path: Path) -> list[str]:
    """The greatest user_id of each row group: the index of `PortraitSet.get`, in the order Python compares text."""
    file = pq.ParquetFile(path)
    return [file.read_row_group(n, ["user_id"])["user_id"][-1].as_py() for n in range(file.num_row_groups)]


def _replace(built: Path, out: Path) -> None:
    """Moves the finished folder to its name; what was there before goes away."""
    old = built.with_name(f"{built.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    built.rename(out)
    shutil.rmtree(old, ignore_errors=True)


class PortraitSet:
    """The portraits of one app as of one moment, read from the folder that `build` wrote.

    Raises BrokenBundle where the folder is not one; `verify` also where the table is not the one that was written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = _manifest(path)
        self.as_of = datetime.fromisoformat(self.manifest["as_of"])
        self.rows: int = self.manifest["rows"]
        self._last_users: list[str] = self.manifest["last_users"]

    def verify(self) -> None:
        """Compares the table with its checksum. Raises BrokenBundle."""
        if _sha256(self.path / TABLE_FILE) != self.manifest["sha256"]:
            raise BrokenBundle(str(self.path / TABLE_FILE), "its checksum is not the one in its manifest")

    def get(self, user_id: str) -> dict[str, Any] | None:
        """One visitor's portrait, None where there is none. Reads one row group."""
        group = bisect_left(self._last_users, user_id)
        if group == len(self._last_users):
            return None
        rows = self._file.read_row_group(group)
        found = rows.filter(pc.equal(rows["user_id"], user_id)).to_pylist()
        return found[0] if found else None

    def table(self, con: Backend) -> ir.Table:
        """All portraits, as a table of `con`."""
        rows: ir.Table = con.read_parquet(str(self.path / TABLE_FILE))
        return rows

    @cached_property
    def _file(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.path / TABLE_FILE)


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST_FILE).read_text())
    except (OSError, ValueError) as error:
        raise BrokenBundle(str(path), f"{MANIFEST_FILE} cannot be read ({error})") from error
    if manifest.get("format") != FORMAT or not (path / TABLE_FILE).is_file():
        raise BrokenBundle(str(path), f"not a portrait set of format {FORMAT}")
    return manifest
