"""From staged Parquet to one commit of the lake: duplicates out, conflicts to quarantine, the rest sorted in.

Staged rows carry the contract's columns (of a table by day only those that hold something need be there) and: `line`
and `part` (the row of the file and which of its events), `content` (a 63-bit hash of the row as sent), `made` (the id
was made from the content), `day` (UTC day of ts) and `sent_day` (UTC day of ts as sent: an event from the future is
stored today, yet is known again by the day it was sent for).

Work goes by groups of days of about `CHUNK_ROWS` rows, so memory does not grow with the file. An id is unique within
its UTC day, so each group is compared with the lake's files of the same days only.
"""

# ruff: noqa: S608  (SQL is made of the schema's own names; values from outside are quoted or bound)

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from deltalake import DeltaTable

from portraits import delta, quarantine
from portraits.history import Table
from portraits.storage import (
    DUCKDB_TYPES,
    ROW_GROUP,
    catalogue_schema,
    count,
    log_schema,
    quoted,
    quoted_list,
    write_log_file,
    write_parquet,
)

CHUNK_ROWS = 1_000_000
DUPLICATE, ACCEPTED, CONFLICT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Landed:
    """What became of staged rows: `accepted + duplicates + conflicts` = rows, of which `events` new rows were made."""

    accepted: int
    duplicates: int
    conflicts: int
    events: int


@dataclass(frozen=True, slots=True)
class Target:
    """Where a landing goes: the app's folder, the contract's table, and the id and source it is recorded under."""

    folder: Path
    table: Table
    landing: str
    source: str
    at: datetime

    @property
    def table_folder(self) -> Path:
        return self.folder / self.table.name


def land_log(
    con: duckdb.DuckDBPyConnection,
    target: Target,
    stage: Path,
    on_conflicts: Callable[[int], None] | None = None,
) -> Landed:
    """Appends the staged rows of a table by day that are not in it yet, as one commit.

    `on_conflicts` hears how many rows conflict before the commit, and may raise.
    """
    lake = delta.open_table(target.table_folder)
    live = [] if lake is None else delta.live_files(lake)
    con.execute("CREATE OR REPLACE TEMP TABLE outcomes (line BIGINT, verdict TINYINT)")
    added: list[delta.DataFile] = []
    try:
        for number, (first, last) in enumerate(_chunks(_day_sizes(con, stage))):
            _take_chunk(con, stage, first, last)
            _judge_chunk(con, target, _files_sent_between(target, live, first, last))
            _stage_conflicts(con, target, stage / f"quarantine-{number}.parquet")
            added += _write_days(con, target, number)
        landed = _landed(con, sum(file.rows for file in added))
        if on_conflicts is not None:
            on_conflicts(landed.conflicts)
    except BaseException:
        for file in added:
            (target.table_folder / file.path).unlink(missing_ok=True)
        raise
    _commit(con, target, stage, added, lake)
    return landed


def _day_sizes(con: duckdb.DuckDBPyConnection, stage: Path) -> list[tuple[date, int]]:
    if not any(stage.glob("rows-*.parquet")):
        return []
    rows = con.execute(f"SELECT sent_day, count(*) FROM {_staged(stage)} GROUP BY 1 ORDER BY 1").fetchall()
    return [(day, size) for day, size in rows]


def _staged(stage: Path) -> str:
    return f"read_parquet({quoted(str(stage / 'rows-*.parquet'))}, union_by_name=true)"


def _chunks(sizes: Sequence[tuple[date, int]]) -> Iterator[tuple[date, date]]:
    """Runs of days that together hold about CHUNK_ROWS rows; a day is never cut."""
    start, held = 0, 0
    for index, (_, rows) in enumerate(sizes):
        if held and held + rows > CHUNK_ROWS:
            yield sizes[start][0], sizes[index - 1][0]
            start, held = index, 0
        held += rows
    if held:
        yield sizes[start][0], sizes[-1][0]


def _take_chunk(con: duckdb.DuckDBPyConnection, stage: Path, first: date, last: date) -> None:
    """A view and no table: its few narrow columns are read to judge, and then all of it once to be written."""
    con.execute(
        f"CREATE OR REPLACE TEMP VIEW chunk AS SELECT * FROM {_staged(stage)} "
        f"WHERE sent_day BETWEEN DATE '{first}' AND DATE '{last}'"
    )


def _files_sent_between(target: Target, live: Sequence[delta.DataFile], first: date, last: date) -> list[str]:
    """Files that may hold rows sent for these days: stored on one of them, or earlier when clamped from the future."""
    chosen = []
    for file in live:
        day = file.day or date.min
        sent_until = max(day, file.last_sent_day or day)
        if day <= last and sent_until >= first:
            chosen.append(str(target.table_folder / file.path))
    return chosen


def _judge_chunk(con: duckdb.DuckDBPyConnection, target: Target, files: Sequence[str]) -> None:
    """Gives each row of `chunk` its id and a verdict, by the id's first row and by the lake."""
    key = target.table.key
    known = (
        f"SELECT sent_day, {key} AS id, any_value(content) AS content FROM read_parquet({quoted_list(files)}) "
        f"SEMI JOIN (SELECT DISTINCT sent_day, id AS {key} FROM ids) USING (sent_day, {key}) GROUP BY ALL"
        if files
        else "SELECT NULL::DATE AS sent_day, NULL::VARCHAR AS id, NULL::BIGINT AS content WHERE false"
    )
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE verdicts AS
        WITH counted AS (
            SELECT line, part, sent_day, content, made, {key} AS given,
                   row_number() OVER same AS nth, first_value(content) OVER same AS first_content
            FROM chunk WINDOW same AS (PARTITION BY sent_day, {key} ORDER BY line, part)
        ), ids AS (
            SELECT *, CASE WHEN made AND nth > 1 THEN given || '-' || nth ELSE given END AS id FROM counted
        ), known AS ({known})
        SELECT line, part, id,
               CASE WHEN known.content = ids.content THEN {DUPLICATE}
                    WHEN known.content IS NOT NULL THEN {CONFLICT}
                    WHEN made OR nth = 1 THEN {ACCEPTED}
                    WHEN ids.content = first_content THEN {DUPLICATE}
                    ELSE {CONFLICT} END::TINYINT AS verdict
        FROM ids LEFT JOIN known USING (sent_day, id)
        """
    )
    con.execute("INSERT INTO outcomes SELECT line, verdict FROM verdicts")


def _stage_conflicts(con: duckdb.DuckDBPyConnection, target: Target, out: Path) -> None:
    if not con.execute(f"SELECT 1 FROM verdicts WHERE verdict = {CONFLICT} LIMIT 1").fetchone():
        return
    held = {name for (name, *_) in con.execute("DESCRIBE chunk").fetchall()}
    names = ", ".join(
        f'"{column.name}" := ' + (f'"{column.name}"' if column.name in held else f"NULL::{DUCKDB_TYPES[column.kind]}")
        for column in target.table.columns
        if column.name != "received_at"
    )
    con.execute(
        f"""
        COPY (
            SELECT line, '{target.table.key}' AS "column", id AS value, '{quarantine.CONFLICT}' AS reason,
                   left(to_json(struct_pack({names}))::VARCHAR, {quarantine.ROW_LIMIT}) AS "row"
            FROM chunk JOIN verdicts USING (line, part) WHERE verdict = {CONFLICT}
        ) TO {quoted(str(out))} (FORMAT parquet)
        """
    )


def _write_days(con: duckdb.DuckDBPyConnection, target: Target, number: int) -> list[delta.DataFile]:
    """One Parquet file a day of the accepted rows, sorted by visitor and time; not yet committed."""
    key = target.table.key
    accepted = f"FROM chunk JOIN verdicts USING (line, part) WHERE verdict = {ACCEPTED}"
    days = con.execute(f"SELECT day, count(*), min(ts), max(ts), max(sent_day) {accepted} GROUP BY 1 ORDER BY 1")
    facts = {found[0]: found[1:] for found in _rows(days)}
    query = f"SELECT * EXCLUDE (line, part, id, made, verdict) REPLACE (id AS {key}) {accepted}"
    rows = con.execute(f"{query} ORDER BY day, user_id, ts, {key}").fetch_record_batch(ROW_GROUP)
    files = []
    for day, parts in groupby(_by_day(rows), itemgetter(0)):
        path = f"day={day}/{target.landing}-{number}.parquet"
        size = write_log_file(target.table, (part for _, part in parts), target.table_folder / path)
        row_count, first_ts, last_ts, last_sent = facts[day]
        files.append(delta.DataFile(path, row_count, size, day, first_ts, last_ts, last_sent))
    return files


def _by_day(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[date, pa.RecordBatch]]:
    """Batches sorted by day, cut where one day ends and the next begins."""
    for batch in batches:
        days = batch.column("day").to_numpy(zero_copy_only=False)
        cuts = np.unique([0, *(np.flatnonzero(days[1:] != days[:-1]) + 1), len(days)]).tolist()
        for start, end in pairwise(cuts):
            yield days[start].item(), batch.slice(start, end - start)


def _landed(con: duckdb.DuckDBPyConnection, events: int) -> Landed:
    """Rows by verdict; of a row that made several events the worst verdict counts."""
    counts = dict(
        con.execute(
            "SELECT verdict, count(*) FROM (SELECT line, max(verdict) AS verdict FROM outcomes GROUP BY 1) GROUP BY 1"
        ).fetchall()
    )
    return Landed(counts.get(ACCEPTED, 0), counts.get(DUPLICATE, 0), counts.get(CONFLICT, 0), events)


def land_catalogue(con: duckdb.DuckDBPyConnection, target: Target, stage: Path) -> Landed:
    """Appends the staged catalogue rows that changed, as one commit.

    Staged rows carry `valid_from` and `deleted`. The last line for a key and moment is the truth, the lines it
    replaces count as duplicates, and so does a row equal to the one true just before it.
    """
    lake = delta.open_table(target.table_folder)
    live = [] if lake is None else delta.live_files(lake)
    change = 0 if lake is None else lake.version() + 1
    _find_changes(con, target, stage, [str(target.table_folder / file.path) for file in live])
    rows = count(con, "staged")
    changed = count(con, "changes")
    added = []
    if changed:
        columns = ", ".join([*(f'"{name}"' for name in target.table.names), "content", "valid_from", "deleted"])
        path = f"{target.landing}.parquet"
        query = f"SELECT {columns}, {change}::BIGINT AS change FROM changes ORDER BY {target.table.key}, valid_from"
        added.append(delta.DataFile(path, changed, write_parquet(con, query, target.table_folder / path)))
    _commit(con, target, stage, added, lake)
    return Landed(changed, rows - changed, 0, changed)


def _find_changes(con: duckdb.DuckDBPyConnection, target: Target, stage: Path, files: Sequence[str]) -> None:
    key = target.table.key
    staged = f"SELECT * FROM {_staged(stage)}" if any(stage.glob("rows-*.parquet")) else f"{_no_rows(target.table)}"
    con.execute(f"CREATE OR REPLACE TEMP TABLE staged AS {staged}")
    known = (
        f"SELECT {key}, valid_from, change, 0::BIGINT AS line, content, deleted "
        f"FROM read_parquet({quoted_list(files)}) SEMI JOIN staged USING ({key}) UNION ALL BY NAME "
        if files
        else ""
    )
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE changes AS
        WITH latest AS (
            SELECT {key}, valid_from, {2**62}::BIGINT AS change, line, content, deleted FROM staged
            QUALIFY row_number() OVER (PARTITION BY {key}, valid_from ORDER BY line DESC) = 1
        ), told AS ({known} SELECT * FROM latest), compared AS (
            SELECT *, lag(content) OVER before AS content_before, lag(deleted) OVER before AS deleted_before
            FROM told WINDOW before AS (PARTITION BY {key} ORDER BY valid_from, change)
        )
        SELECT staged.* FROM staged SEMI JOIN (
            SELECT line FROM compared WHERE change = {2**62}
            AND (content IS DISTINCT FROM content_before OR deleted IS DISTINCT FROM deleted_before)
        ) AS fresh USING (line)
        """
    )


def _no_rows(table: Table) -> str:
    typed = [f'NULL::{DUCKDB_TYPES[c.kind]} AS "{c.name}"' for c in table.columns]
    extra = "NULL::TIMESTAMPTZ AS valid_from, NULL::BOOLEAN AS deleted, NULL::BIGINT AS content, NULL::BIGINT AS line"
    return f"SELECT {', '.join(typed)}, {extra} WHERE false"


def _commit(
    con: duckdb.DuckDBPyConnection,
    target: Target,
    stage: Path,
    added: Sequence[delta.DataFile],
    lake: DeltaTable | None,
) -> None:
    """First the quarantine, then the rows: until the second commit both are as they were for every reader."""
    refusal = quarantine.Refusal(target.at, target.landing, target.table.name, target.source)
    refused = quarantine.store(con, target.folder, stage, refusal)
    if not added and not refused:
        return
    if lake is None:
        by_day = target.table.name in ("events", "decisions")
        schema = log_schema(target.table) if by_day else catalogue_schema(target.table)
        lake = delta.create_table(target.table_folder, schema, by_day)
    delta.commit(lake, added, (), target.landing)


def _rows(result: duckdb.DuckDBPyConnection) -> Iterator[tuple[date, int, datetime, datetime, date]]:
    """Rows by way of Arrow: DuckDB's own fetch of a time with zone needs another package."""
    for row in result.fetch_arrow_table().to_pylist():
        day, rows, first_ts, last_ts, last_sent = row.values()
        yield day, rows, first_ts.astimezone(UTC), last_ts.astimezone(UTC), last_sent
