"""One app's portraits as of T: the package's batch entry.

`fields` turns a `Past` into the portrait table: one aggregation for each grain, joined by visitor, then the row-level
fields. `build` writes it together with what the stages add, atomically: a folder appears whole or not at all.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from pathlib import Path

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends import BaseBackend

from portraits.deleted import Moments
from portraits.dictionary import FIELDS
from portraits.engine import connect, is_embedded
from portraits.errors import InvalidValue
from portraits.features import REGISTRY, Feature
from portraits.features.registry import GRAINS
from portraits.past import Past
from portraits.people import Persons
from portraits.portrait_set import FORMAT, TABLE_FILE, PortraitSet, last_users, sha256, write_manifest
from portraits.segments.tables import lay_out
from portraits.settings import AppSettings
from portraits.since import Deletions
from portraits.snapshot import Snapshot
from portraits.stages import STAGES, Draft

ROW_LEVEL = ("portrait", "everyone")
EVERYONE = "events"
"""The grain in which every visitor has a row."""
ROW_GROUP = 8_192
"""Portraits a row group: `PortraitSet.get` reads one group."""
FEATURES_FILE = ".features.parquet"
NOTHING: Mapping[str, Moments] = {}


def build(
    history: Snapshot,
    settings: AppSettings,
    as_of: datetime,
    out: Path,
    con: BaseBackend | None = None,
    *,
    previous: PortraitSet | None = None,
    deleted: Mapping[str, Moments] = NOTHING,
) -> PortraitSet:
    """Writes the portraits of everyone with an event before `as_of` to the folder `out`, replacing what is there.

    `as_of` is an aware moment; visitors who refused (users.consent = false) and those with nothing but test traffic
    get none. `previous` is the set of the night before, from which personas take their names. What a crash left beside
    `out` is swept up by the next build; two at once into one folder are the caller's to prevent. Raises InvalidValue
    for a naive `as_of`.

    `deleted`: tags that visitors deleted, by user_id (any linked id): see `portraits.since`.

    `con` (None: the embedded engine) makes the features, which read the whole history; the stages, which look at one
    row a visitor, finish the set here.
    """
    if as_of.tzinfo is None:
        raise InvalidValue("as_of", as_of, "a time with an offset")
    con = con or connect()
    past = past_of(history, settings, as_of, con)
    building = out.with_name(f".{out.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    features = building / FEATURES_FILE
    fields(past).order_by("user_id").to_parquet(features, compression="zstd", row_group_size=ROW_GROUP)
    if not is_embedded(con):
        con = connect()
        past = past_of(history, settings, as_of, con)
    deletions = Deletions.united(deleted, Persons(history, con, as_of).links.people) if deleted else Deletions({})
    draft = Draft(history, settings, past, con, features, building, previous)
    if deletions:
        _finish_without(deletions, draft)
    else:
        _write_portraits(features, _of_stages(draft), building)
    features.unlink()
    lay_out(con, building, past.lake_items)
    _write_manifest(building, history, settings, as_of)
    _replace(building, out)
    return PortraitSet(out)


def _of_stages(draft: Draft) -> list[pa.Table]:
    """What the stages add, where they add columns."""
    return [columns for stage in STAGES if (columns := stage(draft)).num_columns]


def _finish_without(deletions: Deletions, draft: Draft) -> None:
    """Writes the portraits with the deleted tags as they are since, the stages seeing nothing else."""
    folder = draft.folder
    since = fields_since(draft.past, draft.table(), deletions.cuts).order_by("user_id").to_pyarrow()
    told, shown = folder / ".told.parquet", folder / ".shown.parquet"
    deletions.replaced(draft.features, since, told)
    deletions.shown_to_models(draft.features, since, shown)
    added = _of_stages(replace(draft, features=shown, cuts=deletions.cuts_of_models))
    users = pq.read_table(told, columns=["user_id"])["user_id"]
    said = [deletions.without(columns.add_column(0, "user_id", users), since) for columns in added]
    _write_portraits(told, [columns.drop(["user_id"]) for columns in said], folder)
    told.unlink()
    shown.unlink()
    deletions.save(folder)


def _write_portraits(features: Path, added: Sequence[pa.Table], folder: Path) -> None:
    """The features and the columns of the stages as one file, a row group at a time."""
    file = pq.ParquetFile(features)
    schema = pa.schema([*file.schema_arrow, *(field for columns in added for field in columns.schema)])
    start = 0
    with pq.ParquetWriter(folder / TABLE_FILE, schema, compression="zstd") as writer:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group)
            for columns in added:
                for name, values in zip(columns.column_names, columns.slice(start, len(rows)).columns, strict=True):
                    rows = rows.append_column(name, values)
            writer.write_table(rows.cast(schema))
            start += len(rows)


def _write_manifest(folder: Path, history: Snapshot, settings: AppSettings, as_of: datetime) -> None:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    by_visitor = [path for path in files if path.suffix == ".parquet"]
    manifest = {
        "format": FORMAT,
        "app_id": settings.app_id,
        "as_of": as_of.isoformat(),
        "rows": pq.ParquetFile(folder / TABLE_FILE).metadata.num_rows,
        "fields": [field.to_dict() for field in FIELDS.values()],
        "files": {path.name: sha256(path) for path in files},
        "last_users": {path.name: last_users(path) for path in by_visitor},
        "lake": history.versions,
    }
    write_manifest(folder, manifest)


def past_of(history: Snapshot, settings: AppSettings, as_of: datetime, con: BaseBackend) -> Past:
    """The `Past` that a lake's snapshot holds for T, every linked id in it that of its person."""
    bounds = history.bounds()
    in_pieces = is_embedded(con)  # Spark cuts up what does not fit by itself
    persons = Persons(history, con, as_of)
    return Past(
        lake_events=persons.merged(history.events(con), "user_id", "referrer_user_id"),
        lake_items=history.catalogue(con, "items", as_of),
        lake_users=persons.users(history.catalogue(con, "users", as_of)),
        lake_stores=history.catalogue(con, "stores", as_of),
        lake_contents=history.catalogue(con, "contents", as_of),
        lake_offers=history.catalogue(con, "offers", as_of),
        settings=settings,
        as_of=as_of,
        first=bounds[0] if bounds else as_of,
        size=bounds[2] if bounds and in_pieces else 0,
        real_time=history.time_kind() == "real",
    )


def fields(past: Past, wanted: Collection[Feature] = tuple(REGISTRY.values())) -> ir.Table:
    """The portrait table: user_id and the wanted fields of the registry, one row a visitor, in no particular order.

    Grains that no wanted field needs are not made. Lists of evidence are joined last: they are wide, and row-level
    fields never look at them.
    """
    known = _known(wanted, past)
    parts = _parts(past, known)
    return _told(past, _base(parts, known), parts, known, wanted)


def fields_since(past: Past, features: ir.Table, cuts: pa.Table) -> ir.Table:
    """The same of some visitors from what they did since a moment of their own (`Past.since`), in the midst of
    everyone else as `features` has them; no row for who did nothing since."""
    known = _known(REGISTRY.values(), past)
    cut = past.since(cuts)
    users = ibis.memtable(cuts.select(["user_id"]))
    parts = [part.semi_join(users, "user_id").cache() for part in _parts(cut, known)]
    own = _base(parts, known)
    mixed = features.anti_join(users, "user_id").select(*own.columns).union(own).cache()
    return _told(cut, mixed, parts, known, REGISTRY.values()).semi_join(own, "user_id")


def _known(wanted: Collection[Feature], past: Past) -> list[Feature]:
    return [field for field in _needed(wanted, past) if past.real_time or not field.clock]


def _parts(past: Past, known: Sequence[Feature]) -> list[ir.Table]:
    """One table a grain; everyone has a row in the first."""
    grains = [name for name in GRAINS if name not in ROW_LEVEL and any(field.grain == name for field in known)]
    parts = [_aggregate(past, name, [field for field in known if field.grain == name]) for name in grains]
    if EVERYONE not in grains:
        parts.insert(0, past.events.select("user_id").distinct())
    return parts


def _base(parts: Sequence[ir.Table], known: Sequence[Feature]) -> ir.Table:
    """The parts side by side, without lists, before row-level fields."""
    portrait = _join([part.drop(_lists(part)) for part in parts])
    empty = {field.name: field.empty for field in known if field.name in portrait.columns and field.empty is not None}
    return portrait.fill_null(empty).cache()


def _told(
    past: Past, portrait: ir.Table, parts: Sequence[ir.Table], known: Sequence[Feature], wanted: Collection[Feature]
) -> ir.Table:
    """The wanted fields, from the base and its parts."""
    for grain, group in groupby(known, key=lambda field: field.grain):
        if grain in ROW_LEVEL:
            portrait = _derive(portrait, grain, list(group), past)
    portrait = _join([portrait, *(part.select("user_id", *_lists(part)) for part in parts if _lists(part))])
    unknown = [field.missing() for field in wanted if field not in known]
    return portrait.mutate(unknown).select("user_id", *(field.name for field in wanted))


def _needed(wanted: Collection[Feature], past: Past) -> list[Feature]:
    """The wanted fields and those that they look at, directly or not, in the order of the registry."""
    columns = {field.name: field.dtype for field in REGISTRY.values() if not field.is_list}
    portrait = ibis.table({"user_id": "string", **columns}, name="portrait")
    names = {field.name for field in wanted}
    for field in reversed(REGISTRY.values()):  # fields look at those before them
        if field.name in names and field.grain in ROW_LEVEL:
            names |= {column.name for column in field.expression(portrait, past.now).op().find(ops.Field)}
    return [field for field in REGISTRY.values() if field.name in names]


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
    if grain == "everyone":
        placed = portrait.select("user_id", *(field.expression(portrait, past.now) for field in features))
        return _join([portrait, placed.cache()])
    ready: list[ir.Value] = []
    for field in features:
        try:
            value = field.expression(portrait, past.now)
        except AttributeError:  # it looks at a field that is ready but not yet a column: one step for each is slow
            portrait, ready = portrait.mutate(ready), []
            value = field.expression(portrait, past.now)
        ready.append(value)
    return portrait.mutate(ready)


def _lists(part: ir.Table) -> list[str]:
    return [name for name in part.columns if name in REGISTRY and REGISTRY[name].is_list]


def _join(parts: Sequence[ir.Table]) -> ir.Table:
    """The rows of the first part, with the columns of the others. One chain: Ibis takes long over joins of joins."""
    first, *others = parts
    joined = first
    for n, part in enumerate(others):
        joined = joined.left_join(part.rename({f"_user_id_{n}": "user_id"}), [("user_id", f"_user_id_{n}")])
    return joined.select(*first.columns, *(name for part in others for name in part.columns if name != "user_id"))


def _replace(built: Path, out: Path) -> None:
    """Moves the finished folder to its name; what was there before goes away."""
    old = built.with_name(f"{built.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    built.rename(out)
    shutil.rmtree(old, ignore_errors=True)
