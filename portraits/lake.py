"""The history lake: Parquet by app and UTC day under Delta Lake.

`<root>/<app_id>/<table>/` is one Delta table. `events` and `decisions` are partitioned by `day` (UTC) and sorted by
(user_id, ts) within a file; catalogues are an append-only history with `valid_from` and `deleted`; `quarantine` holds
what could not be taken. Delta is chosen because a commit is one atomic rename of a log entry, because Spark reads the
same folder, and because a reader can pin a version: it sees the old state or the new one, never half.

One writer an app at a time (a file lock that dies with its process); any number of readers, at any time.
"""

from __future__ import annotations

import fcntl
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import duckdb
import pyarrow as pa

from portraits import compaction, delta, landing
from portraits.engine import connect
from portraits.errors import AnotherRunning, UnknownName
from portraits.history import CATALOGUES, LOGS, TABLES
from portraits.landing import Landed, Target
from portraits.settings import check_app_id
from portraits.snapshot import Snapshot, catalogue_table
from portraits.staging import stage_handed
from portraits.storage import TimeKind

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
        spec = catalogue_table(table)
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
