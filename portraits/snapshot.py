"""Reading an app's lake: a snapshot, pinned at the moment it was made.

`portraits.lake` says how the lake is laid out, and writes it.
"""

# ruff: noqa: S608  (SQL is made of the schema's own names; values from outside are quoted or bound)

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import ibis
import pyarrow as pa
from ibis import ir
from ibis.backends import BaseBackend
from ibis.backends.duckdb import Backend

from portraits import delta, quarantine, storage
from portraits.errors import UnknownName
from portraits.history import CATALOGUES, LOGS, TABLES, Table
from portraits.storage import TimeKind

UNREAL_BEFORE = date(1971, 1, 1)
"""Before it no mini program was: an import without time puts its events at 1970-01-01."""


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
        table = catalogue_table(name)
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


def catalogue_table(name: str) -> Table:
    """The catalogue of this name. Raises UnknownName."""
    if name not in CATALOGUES:
        raise UnknownName("catalogue", name, CATALOGUES)
    return CATALOGUES[name]
