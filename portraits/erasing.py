"""A visitor leaves the lake: every file that holds one is written anew without, and the old files go at once.

A compaction leaves old files for two days because a reader may hold them. Here that ends: what is kept for readers is
kept of the visitor. A reader that had the lake open fails with a missing file and can be run again.

What goes: the visitor's events, decisions, rows of users and identities with their whole history, quarantined rows that
name them (`refused_ids`), and their place in every night of segments. Of another visitor's event only who brought them
(`referrer_user_id`) and what is the visitor's id in the free text (`without_ids`) is taken out.
"""

# ruff: noqa: S608  (SQL is made of the schema's own names; paths are quoted, ids are in a table)

from __future__ import annotations

import re
import uuid
from collections.abc import Collection
from datetime import UTC
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from portraits import delta
from portraits.engine import connect
from portraits.forgotten import FREE_TEXT, REFERRER, refused_ids, spellings, without_ids
from portraits.history import LOGS
from portraits.identity import KINDS
from portraits.lake import ORDERS, Lake
from portraits.segments import nights
from portraits.storage import quoted, quoted_list, write_parquet

NAMED = {"events": ("user_id",), "decisions": ("user_id",), "users": ("user_id",), "identities": KINDS}
"""Columns by which a row of a table is a visitor's own."""


def erase(lake: Lake, app_id: str, ids: Collection[str]) -> int:
    """Takes visitors out of an app's lake; how many files held one. Safe to repeat. Raises AnotherRunning."""
    folder = lake.folder(app_id)
    rewritten = 0
    with lake.writing(app_id), lake.staging(app_id) as stage:
        backend = connect(temp=stage / "spill")
        con = backend.con
        try:
            con.register("given", pa.table({"id": pa.array(sorted(ids), pa.string())}))
            con.execute("CREATE TEMP TABLE gone AS SELECT id FROM given")
            con.execute("CREATE TEMP TABLE cleaned (col VARCHAR, old VARCHAR, new VARCHAR)")
            _find_mentions(con, folder / "events", frozenset(ids))
            for name in NAMED:
                rewritten += _rewrite_table(con, folder / name, name)
        finally:
            backend.disconnect()
        rewritten += _rewrite_quarantine(folder / "quarantine", frozenset(ids))
        rewritten += nights.forget(folder / nights.FOLDER, ids)
    return rewritten


def _find_mentions(con: duckdb.DuckDBPyConnection, folder: Path, ids: frozenset[str]) -> None:
    """Fills `cleaned` with the free texts of events that name a visitor, and what is left of each."""
    table = delta.open_table(folder)
    files = [] if table is None else [str(folder / file.path) for file in delta.live_files(table)]
    if not files:
        return
    source = f"read_parquet({quoted_list(files)}, hive_partitioning = false)"
    pattern = "|".join(sorted(re.escape(form) for one in ids for form in spellings(one)))
    for column in FREE_TEXT:
        asked = f"SELECT DISTINCT {column} FROM {source} WHERE regexp_matches({column}, ?)"
        told = [(text, without_ids(column, text, ids)) for (text,) in con.execute(asked, [pattern]).fetchall()]
        changed = [(column, old, new) for old, new in told if old != new]
        if changed:
            con.executemany("INSERT INTO cleaned VALUES (?, ?, ?)", changed)


def _rewrite_table(con: duckdb.DuckDBPyConnection, folder: Path, name: str) -> int:
    table = delta.open_table(folder)
    if table is None:
        return 0
    files = {str(folder / file.path): file for file in delta.live_files(table)}
    holding = []
    if files:
        columns = (*NAMED[name], REFERRER) if name == "events" else NAMED[name]
        named = " OR ".join(f'"{column}" IN (SELECT id FROM gone)' for column in columns)
        if name == "events":
            cleaned = "SELECT old FROM cleaned WHERE col ="
            named += "".join(f" OR {column} IN ({cleaned} '{column}')" for column in FREE_TEXT)
        found = f"read_parquet({quoted_list(files)}, filename = true, hive_partitioning = false)"
        holding = [path for (path,) in con.execute(f"SELECT DISTINCT filename FROM {found} WHERE {named}").fetchall()]
    removed = [files[path] for path in sorted(holding)]
    added = [new for file in removed if (new := _without(con, folder, name, file)) is not None]
    _commit(folder, table, added, removed)
    return len(removed)


def _without(con: duckdb.DuckDBPyConnection, folder: Path, name: str, file: delta.DataFile) -> delta.DataFile | None:
    """The file written again without its forgotten rows; None when none is left."""
    source = f"read_parquet({quoted(str(folder / file.path))}, hive_partitioning = false)"
    theirs = " OR ".join(f'coalesce("{column}" IN (SELECT id FROM gone), false)' for column in NAMED[name])
    kept = f"FROM {source} WHERE NOT ({theirs})"
    none = "NULL AS first, NULL AS last, NULL AS sent"
    moments = "min(ts) AS first, max(ts) AS last, max(sent_day) AS sent" if name in LOGS else none
    facts = con.execute(f"SELECT count(*) AS rows, {moments} {kept}").fetch_arrow_table().to_pylist()[0]
    rows, first, last, sent = facts.values()
    if not rows:
        return None
    others = [f"CASE WHEN {REFERRER} IN (SELECT id FROM gone) THEN NULL ELSE {REFERRER} END AS {REFERRER}"]
    others += [
        f"CASE WHEN {column} IN (SELECT old FROM cleaned WHERE col = '{column}') "
        f"THEN (SELECT any_value(new) FROM cleaned WHERE col = '{column}' AND old = {column}) "
        f"ELSE {column} END AS {column}"
        for column in FREE_TEXT
    ]
    columns = f"* REPLACE ({', '.join(others)})" if name == "events" else "*"
    path = str(Path(file.path).with_name(f"{uuid.uuid4().hex}.parquet"))
    size = write_parquet(con, f"SELECT {columns} {kept} ORDER BY {ORDERS[name]}", folder / path)
    if name not in LOGS:
        return delta.DataFile(path, rows, size)
    return delta.DataFile(path, rows, size, file.day, first.astimezone(UTC), last.astimezone(UTC), sent)


def _rewrite_quarantine(folder: Path, ids: frozenset[str]) -> int:
    table = delta.open_table(folder)
    if table is None:
        return 0
    added, removed = [], []
    for file in delta.live_files(table):
        rows = pq.read_table(folder / file.path)
        told = rows.select(["column", "value", "row"]).to_pylist()
        kept = [ids.isdisjoint(refused_ids(*(text or "" for text in one.values()))) for one in told]
        if all(kept):
            continue
        removed.append(file)
        left = rows.filter(pa.array(kept, pa.bool_()))
        if len(left):
            path = f"{uuid.uuid4().hex}.parquet"
            pq.write_table(left, folder / path, compression="zstd")
            added.append(delta.DataFile(path, len(left), (folder / path).stat().st_size))
    _commit(folder, table, added, removed)
    return len(removed)


def _commit(folder: Path, table: DeltaTable, added: list[delta.DataFile], removed: list[delta.DataFile]) -> None:
    """Makes the new files the table's, and deletes every other: those of compactions and crashed writers hold the
    visitor too. The caller is the app's only writer."""
    if removed:
        delta.commit(table, added, removed, uuid.uuid4().hex)
    live = {folder / file.path for file in delta.live_files(DeltaTable(str(folder)))}
    for path in folder.rglob("*.parquet"):
        if path not in live and "_delta_log" not in path.parts:
            path.unlink()
