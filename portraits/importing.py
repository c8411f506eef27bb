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
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from portraits import checking_files, quarantine, shaping, storage
from portraits.checking import Rejection
from portraits.engine import connect
from portraits.errors import InvalidValue, QuarantineFull, UnknownName
from portraits.forgotten import REASON, Forgotten, refused_ids
from portraits.history import BASIS_POINTS, BY_SHARE, OFFERS, TABLES, Table
from portraits.identity import KINDS
from portraits.lake import LOGS, Lake
from portraits.mapping import Mapping, made_key
from portraits.reading import LINE, RAW, Batch, FileOptions, Source, open_file
from portraits.records import Refused
from portraits.settings import AppSettings
from portraits.shaping import PART, Shape
from portraits.storage import TimeKind

NO_EVENT = "makes no event"
REFERRER = "referrer_user_id"
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
            run = _Import(settings, TABLES[table], source, mapping, con=backend.con, stage=stage)
            run.forgotten, run.told = forgotten(), told
            run.read()
            landed = lake.land(backend.con, settings.app_id, table, stage, path.name, on_conflicts=run.check_limit)
            repeated = run.repeated()
        finally:
            backend.disconnect()
    quarantined = run.refused + run.unwanted + landed.conflicts
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
        settings: AppSettings,
        table: Table,
        source: Source,
        mapping: Mapping | None,
        *,
        con: duckdb.DuckDBPyConnection,
        stage: Path,
    ) -> None:
        self.con = con
        self.settings = settings
        self.table = table
        self.source = source
        self.mapping = mapping
        self.stage = stage
        self.at = datetime.now(UTC)
        self.rows = 0
        self.forgotten = Forgotten()
        self.told: Callable[[pa.Table], NDArray[np.bool_]] | None = None
        self.known: set[int] = set()
        self.refused = 0
        self.unwanted = 0
        self.first_reason = ""
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
            self._refuse(batch.refused)
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
        if self.forgotten:
            rows = self._without_forgotten(rows)
        if not pc.all(rows["_plain"]).as_py():
            odd = rows.filter(pc.invert(rows["_plain"]))
            judged, refused = self._judge(batch, shape, odd.select(["line", "part"]))
            bad = {row.line for row in refused}
            self._refuse(refused)
            if self.forgotten:
                bad |= self._refuse_judged([row for row in judged if row[LINE] not in bad])
            self._write_judged([row for row in judged if row[LINE] not in bad])
            lost = pc.is_in(rows["line"], pa.array(sorted(bad), pa.int64()))
            rows = rows.filter(pc.and_not(rows["_plain"], lost))
        self._write(rows)

    def _without_forgotten(self, rows: pa.Table) -> pa.Table:
        """The rows without those of forgotten visitors, which are refused; of the others only who brought them goes."""
        own = [name for name in (*KINDS, REFERRER) if name in rows.column_names]
        gone = {name: self._gone(rows[name]) for name in own}
        if REFERRER in gone:
            brought = gone.pop(REFERRER)
            kept = pc.if_else(brought, pa.scalar(None, pa.string()), rows[REFERRER])
            rows = rows.set_column(rows.column_names.index(REFERRER), REFERRER, kept)
        lost = pa.array(np.zeros(len(rows), bool))
        for theirs in gone.values():
            lost = pc.or_(lost, theirs)
        lines = pc.unique(rows.filter(lost)["line"])
        self._refuse_forgotten(lines.to_pylist())
        return rows.filter(pc.invert(pc.is_in(rows["line"], lines))) if len(lines) else rows

    def _refuse_judged(self, judged: list[dict[str, Any]]) -> set[int]:
        """The same for rows that were judged one by one; the lines that were refused."""
        own = [name for name in KINDS if name in self.table.by_name]
        lost = {row[LINE] for row in judged if self.forgotten.among(row[name] for name in own)}
        for row in judged:
            if self.forgotten.among([row.get(REFERRER)]):
                row[REFERRER] = None
        self._refuse_forgotten(sorted(lost))
        return lost

    def _gone(self, ids: pa.ChunkedArray) -> pa.Array:
        """Which of the ids were forgotten: each different id is hashed once."""
        found = self.forgotten.among(pc.unique(ids).to_pylist())
        return pc.is_in(ids, pa.array(sorted(found), pa.string())).combine_chunks()

    def _refuse_forgotten(self, lines: list[int]) -> None:
        """Stages their places alone. They do not count against the app's limit: nothing is wrong with the file."""
        if not lines:
            return
        self.unwanted += len(lines)
        told = [asdict(Refused(line, "user_id", "", REASON, "")) for line in sorted(lines)]
        path = self.stage / f"quarantine-forgotten-{self.unwanted}.parquet"
        pq.write_table(pa.Table.from_pylist(told, schema=quarantine.STAGED), path)

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
        plains = {
            name: checking_files.plain(self.table.column(name), f'"{name}"', kind) for name, kind in kinds.items()
        }
        needed = [c.name for c in self.table.columns if c.required and c.name != made_key(self.table)]
        given = [f"({plains[name].value}) IS NOT NULL" if name in plains else "false" for name in needed]
        conditions = ["_broken IS NULL", *(plain.good for plain in plains.values()), *given]
        if self.table.name == "events" and "ts" in plains:
            conditions.append(f"{plains['ts'].value} <= {self._received(plains)}")
        if {"starts", "ends"} <= plains.keys():
            conditions.append(f"coalesce({plains['starts'].value} < {plains['ends'].value}, true)")
        if self.table is OFFERS and {"kind", "value"} <= plains.keys():
            whole = f"{plains['kind'].value} NOT IN {BY_SHARE} OR {plains['value'].value} <= {BASIS_POINTS}"
            conditions.append(f"coalesce({whole}, true)")
        good = f"coalesce({' AND '.join(conditions)}, false)"
        typed = ", ".join(
            f'{plains[c.name].value if c.name in plains else "NULL"}::{storage.DUCKDB_TYPES[c.kind]} AS "{c.name}"'
            for c in self.table.columns
        )
        query = f'SELECT {typed}, "{LINE}", _part, {good} AS _plain FROM ({shape.rows})'
        present = [name for name in self.table.names if name in plains]
        return self.con.execute(self._staged(query, present, clamps=False)).fetch_arrow_table()

    def _received(self, plains: AbcMapping[str, checking_files.Plain]) -> str:
        """SQL of when an event was received: what the file says, or now; never later than now."""
        now = f"TIMESTAMPTZ '{self.at.isoformat()}'"
        return f"least(coalesce({plains['received_at'].value}, {now}), {now})" if "received_at" in plains else now

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
        received_at = self.at if self.table.name == "events" else None
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

    def _staged(self, typed: str, present: list[str], clamps: bool) -> str:
        """SQL of rows as they are staged, with what landing needs (see `landing`), from SQL of their typed values."""
        key = self.table.key
        names = {name: f'"{name}"' for name in self.table.names}
        if self.table.name in LOGS:
            names = {name: text for name, text in names.items() if name in {*present, key, "received_at"}}
        made = "false"
        if made_key(self.table):
            made = f"{key} IS NULL"
            app = self.settings.app_id
            names[key] = f"coalesce({key}, md5('{app}' || chr(31) || _text)) AS {key}"
        extra = f"{made} AS made"
        if self.table.name in LOGS:
            day = f"CASE WHEN _plain THEN {'kept_ts' if clamps else 'ts'}::DATE END"
            extra += f", CASE WHEN _plain THEN ts::DATE END AS sent_day, {day} AS day"
        else:
            extra += f", TIMESTAMPTZ '{self.at.isoformat()}' AS valid_from, false AS deleted"
        if clamps:
            names |= {name: f'kept_{name} AS "{name}"' for name in ("ts", "received_at", "properties")}
        elif self.table.name == "events":
            now = f"TIMESTAMPTZ '{self.at.isoformat()}'"
            names["received_at"] = f"least(coalesce(received_at, {now}), {now}) AS received_at"
        text = f"CASE WHEN _plain THEN {storage.content_text(self.table, present)} END"
        return (
            f'SELECT {", ".join(names.values())}, "{LINE}" AS line, _part AS part, {extra}, '
            f"{storage.content_hash('_text')} AS content, _plain FROM (SELECT *, {text} AS _text FROM ({typed}))"
        )

    def _write_judged(self, judged: list[dict[str, Any]]) -> None:
        """Stages the rows that were judged and taken."""
        if not judged:
            return
        clamps = self.table.name == "events"
        self.con.register("judged", checking_files.judged_table(self.table, judged, clamps))
        query = self._staged("SELECT *, true AS _plain FROM judged", list(self.table.names), clamps)
        self._write(self.con.execute(query).fetch_arrow_table())
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

    def _refuse(self, refused: list[Refused]) -> None:
        """Stages rows for the quarantine: one of a line, however many of its events were refused."""
        first = {row.line: row for row in reversed(refused)}
        if not first:
            return
        rows = [self._kept_of(first[line]) for line in sorted(first)]
        self.first_reason = self.first_reason or f"line {rows[0].line}, {rows[0].column}: {rows[0].reason}"
        self.refused += len(rows)
        self.check_limit(0)
        table = pa.Table.from_pylist([asdict(row) for row in rows], schema=quarantine.STAGED)
        pq.write_table(table, self.stage / f"quarantine-read-{self.refused}.parquet")

    def _kept_of(self, row: Refused) -> Refused:
        """What is kept of a refused row: nothing of its content when it names someone who was forgotten."""
        if not self.forgotten:
            return row
        named = self.forgotten.among(refused_ids(row.column, row.value, row.row))
        return Refused(row.line, row.column, "", row.reason, "") if named else row

    def check_limit(self, conflicts: int) -> None:
        """Raises QuarantineFull when, with these conflicts, more rows are refused than the app allows."""
        limit = self.settings.quarantine_limit
        if self.refused + conflicts > limit:
            reason = self.first_reason or quarantine.CONFLICT
            raise QuarantineFull(str(self.source.path), self.refused + conflicts, limit, reason)


def _refused(line: int, raw: str, why: Rejection) -> Refused:
    return Refused(line, why.column, why.value, why.reason, raw.rstrip("\r\n")[: quarantine.ROW_LIMIT])


def _json_object(text: str) -> dict[str, Any] | Rejection:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return Rejection("", text[: quarantine.VALUE_LIMIT], "not JSON")
    return value if isinstance(value, dict) else Rejection("", text[: quarantine.VALUE_LIMIT], "not a JSON object")
