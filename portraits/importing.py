"""Files + a mapping -> the lake, with a quarantine and an account of every row.

    accepted + duplicates + filtered + quarantined = rows read

A file streams through in batches: read (`reading`), shaped by the mapping (`shaping`), checked (`checking_files`), and
staged as Parquet. Only when all of it was read is it landed (`landing`), as one commit: until then, and after any error
or crash, the lake is as it was. Importing a file again changes nothing.
"""

# ruff: noqa: S608  (SQL is made of the schema's own names; values from outside are quoted or bound)

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping as AbcMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from portraits import checking_files, quarantine, shaping
from portraits.checking import Rejection
from portraits.engine import connect
from portraits.errors import InvalidValue, UnknownName
from portraits.forgotten import Forgotten
from portraits.history import TABLES
from portraits.lake import Lake
from portraits.mapping import Mapping, made_key
from portraits.reading import LINE, RAW, Batch, FileOptions, Source, open_file
from portraits.records import Refused
from portraits.refusals import Refusals
from portraits.settings import AppSettings
from portraits.shaping import PART, Shape
from portraits.staging import Staging
from portraits.storage import TimeKind

NO_EVENT = "makes no event"
KEEP_TRY = "SET disabled_optimizers = 'common_subexpressions'"
"""DuckDB 1.4 pulls an expression that occurs twice out of the TRY around it, and its errors with it."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The account of one file. `events`: rows the table gained. `filtered_by`: `filtered`, split by condition.

    `ignored_columns` are in the file but used by nothing.
    """

    rows: int
    accepted: int
    duplicates: int
    filtered: int
    quarantined: int
    events: int
    ignored_columns: tuple[str, ...]
    time_kind: TimeKind
    filtered_by: AbcMapping[str, int] = field(default_factory=dict)


def import_file(
    lake: Lake,
    settings: AppSettings,
    table: str,
    path: Path,
    mapping: Mapping | None = None,
    *,
    on_progress: Callable[[float], None] | None = None,
    forgotten: Callable[[], Forgotten] = Forgotten,
    told: Callable[[pa.Table], NDArray[np.bool_]] | None = None,
) -> ImportReport:
    """Imports one file into an app's table and says what became of each row.

    `forgotten` tells, once the import is under way, whose rows are refused; `told`, batch by batch, which rows tell
    what is known already under another id: these are duplicates. `on_progress` hears the share of the file that was
    read. Raises UnreadableFile (not what it is said to be, cut short, columns missing), InvalidValue (a
    mapping's key), QuarantineFull, AnotherRunning; the lake is then unchanged.
    """
    if table not in TABLES:
        raise UnknownName("table", table, TABLES)
    if mapping is not None and mapping.table.name != table:
        raise InvalidValue("table", mapping.table.name, f"{table}, the table to import into")
    size = max(path.stat().st_size, 1) if path.is_file() else 1
    on_bytes = (lambda done: on_progress(min(done / size, 1.0))) if on_progress else None
    source = open_file(path, mapping.options if mapping else FileOptions(), on_bytes)
    with lake.staging(settings.app_id) as stage:
        backend = connect(temp=stage / "spill")
        try:
            refusals = Refusals(path, settings.quarantine_limit, forgotten(), stage)
            staging = Staging(settings.app_id, TABLES[table], datetime.now(UTC))
            run = _Import(staging, source, mapping, refusals, told, con=backend.con, stage=stage)
            run.read()
            landed = lake.land(backend.con, settings.app_id, table, stage, path.name, on_conflicts=refusals.check_limit)
            repeated = run.repeated()
        finally:
            backend.disconnect()
    quarantined = refusals.broken + refusals.unwanted + landed.conflicts
    filtered = sum(run.left_out.values())
    return ImportReport(
        rows=run.rows,
        accepted=landed.accepted,
        duplicates=landed.duplicates + repeated,
        filtered=filtered,
        quarantined=quarantined,
        events=landed.events,
        ignored_columns=tuple(sorted(run.ignored)),
        time_kind=mapping.time_kind if mapping else "real",
        filtered_by=dict(run.left_out),
    )


class _Import:
    """One file on its way into a staging folder, and the counts of its rows."""

    def __init__(
        self,
        staging: Staging,
        source: Source,
        mapping: Mapping | None,
        refusals: Refusals,
        told: Callable[[pa.Table], NDArray[np.bool_]] | None,
        *,
        con: duckdb.DuckDBPyConnection,
        stage: Path,
    ) -> None:
        self.con = con
        self.staging = staging
        self.table = staging.table
        self.source = source
        self.mapping = mapping
        self.refusals = refusals
        self.told = told
        self.stage = stage
        self.rows = 0
        self.known: set[int] = set()
        self.left_out: Counter[str] = Counter()
        self.ignored: set[str] = set()
        self.parts = 0
        checking_files.register(con)

    def read(self) -> None:
        """Stages the whole file."""
        shape: Shape | None = None
        if self.mapping is not None:
            self.con.execute(KEEP_TRY)
        for batch in self.source.batches():
            self.rows += batch.count
            self.refusals.add(batch.refused)
            self.con.register("batch", batch.rows)
            if shape is None:
                shape = self._shape()
                self.ignored.update(shape.ignored)
            self._take(batch, shape)
            self.con.unregister("batch")
        if shape is None:
            self._shape_of_nothing()
        self.con.execute("RESET disabled_optimizers")

    def _shape_of_nothing(self) -> None:
        """A file without rows must still have the right columns."""
        empty = {LINE: pa.array([], pa.int64()), RAW: pa.array([], pa.string())}
        self.con.register("batch", pa.table(empty | {n: pa.array([], pa.string()) for n in self.source.columns}))
        self._shape()
        self.con.unregister("batch")

    def _shape(self) -> Shape:
        if self.mapping is None:
            return shaping.shape_as_named(self.source, self.table)
        return shaping.shape_by_mapping(self.con, self.source, self.mapping)

    def _take(self, batch: Batch, shape: Shape) -> None:
        """Shapes, checks and stages one batch."""
        if self.source.form == "jsonl" and self.mapping is None:
            self._note_keys()
        rows = self._check(shape)
        if self.mapping is not None:
            self._count_left_out(shape, batch.rows.num_rows, rows)
        rows = self.refusals.screen(rows)
        if not pc.all(rows["_plain"]).as_py():
            odd = rows.filter(pc.invert(rows["_plain"]))
            judged, refused = self._judge(batch, shape, odd.select(["line", "part"]))
            bad = {row.line for row in refused}
            self.refusals.add(refused)
            bad |= self.refusals.screen_judged([row for row in judged if row[LINE] not in bad])
            self._write_judged([row for row in judged if row[LINE] not in bad])
            lost = pc.is_in(rows["line"], pa.array(sorted(bad), pa.int64()))
            rows = rows.filter(pc.and_not(rows["_plain"], lost))
        self._write(rows)

    def _note_keys(self) -> None:
        """JSON has no header: what its objects hold beyond the contract is learnt as they come."""
        keys = self.con.execute(
            f'SELECT DISTINCT unnest(json_keys("{RAW}")) FROM batch WHERE json_valid("{RAW}")'
        ).fetchall()
        self.ignored.update({key for (key,) in keys} - set(self.table.names))

    def _check(self, shape: Shape) -> pa.Table:
        """The batch's rows as they are staged, and `_plain`: whether each is plainly good. What is not is judged."""
        described = self.con.execute(f"DESCRIBE {shape.rows}").fetchall()
        kinds = {name: kind for name, kind, *_ in described if not name.startswith("_")}
        return self.con.execute(self.staging.checked(shape.rows, kinds)).fetch_arrow_table()

    def _count_left_out(self, shape: Shape, rows: int, mapped: pa.Table) -> None:
        """Rows left out by the first condition that holds, and those that no rule makes anything of."""
        counts = self.con.execute(shape.sorts).fetchall() if shape.sorts else []
        for place, count in counts:
            if place is not None:
                self.left_out[shape.conditions[place]] += count
                rows -= count
        made = pc.count_distinct(mapped["line"]).as_py()
        if rows > made:
            self.left_out[NO_EVENT] += rows - made

    def _judge(self, batch: Batch, shape: Shape, which: pa.Table) -> tuple[list[dict[str, Any]], list[Refused]]:
        """Judges the rows that are not plainly good one by one, as a request's event is judged."""
        self.con.register("batch", batch.rows.filter(pc.is_in(batch.rows[LINE], pc.unique(which["line"]))))
        self.con.register("which", which)
        raw = f'batch."{RAW}"' if self.source.form != "parquet" else "to_json(batch)::VARCHAR"
        odd = self.con.execute(
            f'SELECT shaped.*, {raw} AS "{RAW}" FROM ({shape.rows}) AS shaped JOIN batch USING ("{LINE}") '
            f'SEMI JOIN which ON shaped."{LINE}" = which.line AND shaped._part = which.part'
        ).fetch_arrow_table()
        self.con.unregister("which")
        rows = (row for part in odd.to_batches(max_chunksize=1024) for row in part.to_pylist())
        verdicts = [(row[LINE], row["_part"], row[RAW], self._judge_row(row, shape)) for row in rows]
        judged = [
            verdict | {LINE: line, "_part": part} for line, part, _, verdict in verdicts if isinstance(verdict, dict)
        ]
        refused = [_refused(line, raw, verdict) for line, _, raw, verdict in verdicts if isinstance(verdict, Rejection)]
        return judged, refused

    def _judge_row(self, row: dict[str, Any], shape: Shape) -> dict[str, Any] | Rejection:
        made = made_key(self.table) is not None
        received_at = self.staging.at if self.staging.clamps else None
        if self.source.form == "jsonl" and self.mapping is None:
            record = _json_object(row[RAW])
            if isinstance(record, Rejection):
                return record
            known = {name: record[name] for name in self.table.names if name in record}
            return checking_files.judge_record(self.table, known, made, received_at)
        if row["_broken"] is not None:
            reason = shape.broken.get((row["_part"] // PART, row["_broken"]), "not a JSON object")
            value = row["_broken_value"] or ""
            return Rejection(row["_broken"], value[: quarantine.VALUE_LIMIT], reason)
        return checking_files.judge(self.table, row, made, received_at)

    def _write_judged(self, judged: list[dict[str, Any]]) -> None:
        """Stages the rows that were judged and taken."""
        if not judged:
            return
        self.con.register("judged", checking_files.judged_table(self.table, judged, self.staging.clamps))
        self._write(self.con.execute(self.staging.judged("judged")).fetch_arrow_table())
        self.con.unregister("judged")

    def _write(self, rows: pa.Table) -> None:
        """Quick to write and read again, not small: the file is read once and then thrown away."""
        rows = self._without_known(rows)
        path = self.stage / f"rows-{self.parts}.parquet"
        pq.write_table(rows.drop_columns("_plain"), path, compression="lz4", use_dictionary=False)
        self.parts += 1

    def _without_known(self, rows: pa.Table) -> pa.Table:
        """The rows without those that tell nothing new. A line of which something else is kept is no duplicate."""
        if self.told is None or not (known := self.told(rows)).any():
            return rows
        kept = rows.filter(pa.array(~known))
        self.known.update(rows["line"].filter(pa.array(known)).to_pylist())
        return kept

    def repeated(self) -> int:
        """How many lines told nothing new; asked once the others are landed."""
        if not self.known:
            return 0
        landed = {line for (line,) in self.con.execute("SELECT DISTINCT line FROM outcomes").fetchall()}
        return len(self.known - landed)


def _refused(line: int, raw: str, why: Rejection) -> Refused:
    return Refused(line, why.column, why.value, why.reason, raw.rstrip("\r\n")[: quarantine.ROW_LIMIT])


def _json_object(text: str) -> dict[str, Any] | Rejection:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return Rejection("", text[: quarantine.VALUE_LIMIT], "not JSON")
    return value if isinstance(value, dict) else Rejection("", text[: quarantine.VALUE_LIMIT], "not a JSON object")
