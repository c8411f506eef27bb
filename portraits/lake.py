"""The history lake: Parquet by app and UTC day under Delta Lake.

`<root>/<app_id>/<table>/` is one Delta table. `events` and `decisions` are partitioned by `day` (UTC) and sorted by
(user_id, ts) within a file; catalogues are an append-only history with `valid_from` and `deleted`; `quarantine` holds
what could not be taken. Delta is chosen because a commit is one atomic rename of a log entry, because Spark reads the
same folder, and because a reader can pin a version: it sees the old state or the new one, never half.

One writer an app at a time (a file lock that dies with its process); any number of readers, at any time.
"""

# ruff: noqa: S608  (SQL is made of the schema's own names; values from outside are quoted or bound)

from __future__ import annotations

import fcntl
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO

import duckdb
import ibis
import pyarrow as pa
from ibis import ir
from ibis.backends import BaseBackend
from ibis.backends.duckdb import Backend

from portraits import compaction, delta, landing, quarantine, storage
from portraits.engine import connect
from portraits.errors import AnotherRunning, UnknownName
from portraits.history import CATALOGUES, LOGS, TABLES, Table
from portraits.landing import Landed, Target
from portraits.settings import check_app_id
from portraits.staging import stage_handed
from portraits.storage import TimeKind

UNREAL_BEFORE = date(1971, 1, 1)
KEEP_HOURS = 48
ORDERS = {
    **{name: f"user_id, ts, {TABLES[name].key}" for name in LOGS},
    **{name: f"{table.key}, valid_from, change" for name, table in CATALOGUES.items()},
    "quarantine": "source, line",
}
"""How rows are sorted within a file."""
LOCK_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of the rows handed over: their sum is how many there were. Conflicts are in the quarantine."""

    accepted: int
    duplicates: int
    conflicts: int


class Snapshot:
    """One app's lake, pinned at the moment it was made: later writes do not show.

    `versions` holds the Delta version of each table that exists. Tables are read by the engine of the connection given,
    the embedded one or Spark, from the same files.
    """

    def __init__(self, folder: Path, app_id: str) -> None:
        self.app_id = app_id
        self._folder = folder
        tables = {name: delta.open_table(folder / name) for name in (*TABLES, "quarantine")}
        self._tables = {name: table for name, table in tables.items() if table is not None}
        self.versions = {name: table.version() for name, table in self._tables.items()}

    def files(self, table: str) -> list[Path]:
        """The Parquet files of a table at this snapshot, in order of their names (days first)."""
        return [self._folder / table / file.path for file in self._data_files(table)]

    def events(self, con: BaseBackend) -> ir.Table:
        """All events: the contract's columns, and `day` (UTC date of ts), `sent_day`, `content`."""
        return self._log(con, "events")

    def decisions(self, con: BaseBackend) -> ir.Table:
        """All decisions, with the same further columns as events."""
        return self._log(con, "decisions")

    def catalogue(self, con: BaseBackend, name: str, as_of: datetime | None = None) -> ir.Table:
        """Rows of a catalogue true at `as_of` (None: the latest), one for each key, the contract's columns.

        A row's first version counts as true since forever: a catalogue is usually imported long after the events that
        speak of it, and the first thing known about an item is a better guess for its past than nothing.
        """
        table = _catalogue(name)
        rows = self._read(con, name, storage.catalogue_schema(table))
        key = table.key
        by_time = [rows.valid_from, rows.change]
        rows = rows.mutate(version=ibis.row_number().over(group_by=key, order_by=by_time))
        if as_of is not None:
            rows = rows.filter((rows.version == 0) | (rows.valid_from <= ibis.literal(as_of.astimezone(UTC))))
        newest = ibis.row_number().over(group_by=key, order_by=[rows.version.desc()])
        rows = rows.mutate(newest=newest).filter(lambda t: (t.newest == 0) & ~t.deleted)
        return rows.select(*table.names)

    def quarantine(self, con: Backend) -> ir.Table:
        """Rows that could not be taken (columns: `portraits.quarantine.SCHEMA`)."""
        table = self._tables.get("quarantine")
        return con.sql(f"SELECT * FROM {quarantine.visible(con.con, self._folder, table, self._tables)}")

    def bounds(self) -> tuple[datetime, datetime, int] | None:
        """First and last ts of the events and how many there are, from statistics; None without events."""
        files = self._data_files("events")
        first = [file.first_ts for file in files if file.first_ts is not None]
        last = [file.last_ts for file in files if file.last_ts is not None]
        if not first:
            return None
        return min(first).astimezone(UTC), max(last).astimezone(UTC), sum(file.rows for file in files)

    def time_kind(self) -> TimeKind:
        """Whether `ts` means time. Imports without time put events at 1970-01-01, where no mini program was."""
        unreal = [f.last_ts for f in self._data_files("events") if f.day and f.day < UNREAL_BEFORE and f.last_ts]
        if not unreal:
            return "real"
        return "order" if max(unreal).timestamp() > 0 else "none"

    def _log(self, con: BaseBackend, name: str) -> ir.Table:
        return self._read(con, name, storage.log_schema(TABLES[name]))

    def _read(self, con: BaseBackend, name: str, schema: pa.Schema) -> ir.Table:
        files = [str(path) for path in self.files(name)]
        if not files:
            # Not a memtable: that belongs to no connection, and what is cached from it would land in another.
            return con.create_table(ibis.util.gen_name("empty"), schema.empty_table(), temp=True)
        rows: ir.Table = con.read_parquet(files, hive_partitioning=name in LOGS, union_by_name=False)
        return rows

    def _data_files(self, table: str) -> list[delta.DataFile]:
        if table not in (*TABLES, "quarantine"):
            raise UnknownName("table", table, (*TABLES, "quarantine"))
        return delta.live_files(self._tables[table]) if table in self._tables else []


class Lake:
    """All apps' history under one root folder. `wait_s` is how long a writer waits for another of the same app."""

    def __init__(self, root: Path, wait_s: float = 60.0) -> None:
        self.root = root
        self.wait_s = wait_s

    def apps(self) -> list[str]:
        """Apps that have a folder here, sorted."""
        return sorted(path.name for path in self.root.iterdir() if path.is_dir()) if self.root.is_dir() else []

    def folder(self, app_id: str) -> Path:
        """The app's own folder."""
        return self.root / check_app_id(app_id)

    def snapshot(self, app_id: str) -> Snapshot:
        """A reader of everything committed until now."""
        return Snapshot(self.folder(app_id), app_id)

    def time_kind(self, app_id: str) -> TimeKind:
        """Whether the app's `ts` means time: 'real', 'order' (of rows in a file) or 'none'."""
        return self.snapshot(app_id).time_kind()

    def append_events(self, app_id: str, rows: pa.Table | pa.RecordBatchReader, source: str = "events") -> Appended:
        """Adds events that passed `checking.check`; see `append`."""
        return self.append(app_id, "events", rows, source)

    def append(self, app_id: str, table: str, rows: pa.Table | pa.RecordBatchReader, source: str) -> Appended:
        """Adds rows to `events` or `decisions`, each key once within its UTC day; safe to repeat.

        `rows` are in the contract's types; columns may be left out, required ones not. Events whose ts was clamped are
        known again by what was sent: `sent_ts` and `sent_properties` (of all rows, or of none) say that. The same key
        with other content goes to the quarantine under `source`. One atomic commit: after a crash the rows are all
        there or none is.
        """
        if table not in LOGS:
            raise UnknownName("table", table, LOGS)
        with self.staging(app_id) as stage, _engine(stage) as con:
            stage_handed(con, TABLES[table], rows, stage)
            landed = self.land(con, app_id, table, stage, source)
        return Appended(landed.accepted, landed.duplicates, landed.conflicts)

    def upsert(
        self,
        app_id: str,
        table: str,
        rows: pa.Table | pa.RecordBatchReader,
        valid_from: datetime | None = None,
        source: str = "catalogue",
    ) -> Appended:
        """Adds catalogue rows that differ from what is true already; safe to repeat.

        Rows may carry their own `valid_from` and `deleted`; else `valid_from` (None: now) and false hold for all.
        """
        spec = _catalogue(table)
        with self.staging(app_id) as stage, _engine(stage) as con:
            stage_handed(con, spec, rows, stage, valid_from or datetime.now(UTC))
            landed = self.land(con, app_id, table, stage, source)
        return Appended(landed.accepted, landed.duplicates, landed.conflicts)

    def land(
        self,
        con: duckdb.DuckDBPyConnection,
        app_id: str,
        table: str,
        stage: Path,
        source: str,
        *,
        on_conflicts: Callable[[int], None] | None = None,
    ) -> Landed:
        """Commits what an importer staged (see `portraits.landing`), as the app's only writer meanwhile.

        `on_conflicts` hears how many rows conflict before anything is committed, and may raise.
        """
        target = Target(self.folder(app_id), TABLES[table], uuid.uuid4().hex, source, datetime.now(UTC))
        with self.writing(app_id):
            if table in LOGS:
                return landing.land_log(con, target, stage, on_conflicts)
            return landing.land_catalogue(con, target, stage)

    @contextmanager
    def writing(self, app_id: str) -> Iterator[None]:
        """Holds the app's writer lock. Raises AnotherRunning when another writer keeps it longer than `wait_s`."""
        folder = self.folder(app_id)
        folder.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + self.wait_s
        with (folder / ".lock").open("w") as file:
            while not _try_lock(file):
                if time.monotonic() >= until:
                    raise AnotherRunning("writer of the lake", app_id)
                time.sleep(LOCK_POLL_S)
            yield

    @contextmanager
    def staging(self, app_id: str) -> Iterator[Path]:
        """A folder of its own for a writer to prepare in; gone afterwards, and swept up by the next after a crash."""
        parent = self.folder(app_id) / ".staging"
        parent.mkdir(parents=True, exist_ok=True)
        stage = parent / uuid.uuid4().hex
        with (parent / "sweeping").open("w") as sweeping:
            fcntl.flock(sweeping, fcntl.LOCK_EX)
            _sweep(parent)
            lock = stage.with_suffix(".lock").open("w")
            fcntl.flock(lock, fcntl.LOCK_EX)
        with lock:
            stage.mkdir()
            try:
                yield stage
            finally:
                shutil.rmtree(stage, ignore_errors=True)
                stage.with_suffix(".lock").unlink(missing_ok=True)

    def is_staging(self, app_id: str) -> bool:
        """Whether a writer is preparing rows for the app now: what it took in may be older than what is known."""
        parent = self.folder(app_id) / ".staging"
        for lock in parent.glob("*.lock"):
            with suppress(FileNotFoundError), lock.open("r") as file:
                if not _try_lock(file):
                    return True
        return False

    def compact(self, app_id: str, keep_hours: int = KEEP_HOURS) -> int:
        """Rewrites days (and catalogues) of several files as one sorted file each; how many files went into it.

        Files that no version since `keep_hours` ago refers to are deleted from disk, those of crashed writers too:
        a reader may hold a snapshot that long.
        """
        folder = self.folder(app_id)
        rewritten = 0
        with self.writing(app_id), self.staging(app_id) as stage, _engine(stage) as con:
            for name in (*TABLES, "quarantine"):
                table = delta.open_table(folder / name)
                if table is not None:
                    rewritten += compaction.compact(con, folder / name, table, ORDERS[name])
                    delta.delete_unused(folder / name, keep_hours)
        return rewritten


def _catalogue(name: str) -> Table:
    if name not in CATALOGUES:
        raise UnknownName("catalogue", name, CATALOGUES)
    return CATALOGUES[name]


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sweep(parent: Path) -> None:
    """Removes staging folders whose writer died: a lock that can be taken has no owner."""
    for lock in parent.glob("*.lock"):
        with lock.open("w") as file:
            if _try_lock(file):
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)


@contextmanager
def _engine(stage: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    backend = connect(temp=stage / "spill")
    try:
        yield backend.con
    finally:
        backend.disconnect()
