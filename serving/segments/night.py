"""The night's record of segments: everyone asked every rule, and the answers kept in the lake.

Every line of every rule is asked and kept as a bit, so that a later night can tell which line moved whom: some rules
at a time, each lot in one pass, as one question of all rules would be as long as there are rules.
Who refused has no portrait and so no row; nor is one left in the nights that were kept before. A rule that tonight's
portraits cannot answer (a field that is gone), or that the engine gives up on, is skipped and named; it never fails a
night.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.common.exceptions import IbisError

from portraits.engine import connect
from portraits.lake import Lake
from portraits.portrait_set import PortraitSet
from portraits.rules import Moment, Rule
from portraits.segments.asking import balanced
from portraits.segments.evaluate import Tables, evaluate
from portraits.segments.nights import (
    FOLDER,
    MOST_LINES,
    STAGE,
    USER,
    Definition,
    column,
    forget,
    read_night,
    write_night,
)
from portraits.segments.readymade import READY_MADE
from portraits.segments.tables import moment_of, tables_of
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot
from serving.segments.definitions import Definitions
from serving.segments.wording import line_words
from serving.stores import Store

BATCH_ROWS = 65_536
LOT = 50
"""Conditions that are asked at a time; a rule that has more is asked alone."""
GIVES_UP = (duckdb.Error, IbisError, RecursionError)
"""What a question ends with that is too much for the engine, or for what puts it into words."""


def remember(store: Store, lake: Lake, app: AppSettings, portraits: Path) -> dict[str, Any]:
    """Writes the night of a portrait set: {"members": by segment, "warnings": saved segments that were skipped}.

    Who refuses by now is taken out of every kept night, this one (of a past moment, perhaps) included.
    """
    people = PortraitSet(portraits)
    definitions = Definitions.of(store, app.app_id, people.fields)
    skipped = {name: problem.message for name in definitions.names if (problem := definitions.problem(name))}
    known = {one.name: one for one in definitions.all() if one.name not in skipped}
    rules = {name: definitions.rule(name) for name in known}
    with TemporaryDirectory(prefix="huaxiang-segments-") as room:
        lots, failed = _asked(rules, people, lake.snapshot(app.app_id), app, Path(room))
        meant = {
            name: Definition.of(known[name].version, rule, line_words(rule, app.currency))
            for name, rule in rules.items()
            if name not in failed
        }
        night = write_night(folder_of(lake, app.app_id), people.as_of, meant, _side_by_side(lots))
    if forget(folder_of(lake, app.app_id), store.refusing(app.app_id)):
        night = read_night(night.path)
    warnings = [f"segment {name!r} was skipped: {why}" for name, why in skipped.items() if name not in READY_MADE]
    warnings += [f"segment {name!r} was skipped, the engine gave up on it: {why}" for name, why in failed.items()]
    return {"members": dict(night.members), "warnings": warnings}


def folder_of(lake: Lake, app_id: str) -> Path:
    """Where the nights of an app are."""
    return lake.folder(app_id) / FOLDER


def _asked(
    rules: Mapping[str, Rule], people: PortraitSet, history: Snapshot, app: AppSettings, room: Path
) -> tuple[list[Path], dict[str, str]]:
    """Files of everyone's answers, a lot of rules each, and the rules that the engine gave up on, each with why.

    The files have the same visitors in the same order. The first is without rules: the stages alone.
    """
    con = connect()
    try:
        tables = tables_of(con, people, history)
        moment = moment_of(people, app.time_zone)
        files = [_file(tables, {}, moment, room / "stages.parquet")]
        failed: dict[str, str] = {}
        waiting = _lots(rules)[::-1]
        while waiting:
            lot = waiting.pop()
            try:
                files.append(_file(tables, lot, moment, room / f"{len(files)}.parquet"))
            except GIVES_UP as error:
                if len(lot) > 1:  # each alone: one of them is to blame
                    waiting += [{name: rule} for name, rule in reversed(lot.items())]
                else:
                    failed[next(iter(lot))] = f"{type(error).__name__}: {error}"[:200]
        return files, failed
    finally:
        con.disconnect()


def _lots(rules: Mapping[str, Rule]) -> list[dict[str, Rule]]:
    """The rules, as many at a time as have `LOT` conditions together; one at least."""
    lots: list[dict[str, Rule]] = []
    room = 0
    for name, rule in rules.items():
        conditions = len(list(rule.conditions()))
        if not lots or conditions > room:
            lots.append({})
            room = LOT
        lots[-1][name] = rule
        room -= conditions
    return lots


def _file(tables: Tables, rules: Mapping[str, Rule], moment: Moment, file: Path) -> Path:
    """Everyone's answers, sorted by user_id, in groups of `BATCH_ROWS`."""
    rows = _bits(tables, evaluate(_lines(rules), tables, moment), rules)
    pq.write_table(rows.order_by(USER).to_pyarrow(), file, row_group_size=BATCH_ROWS)
    return file


def _side_by_side(files: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    """The columns of files that have the same rows, some rows at a time."""
    parts = [pq.ParquetFile(file) for file in files]
    for group in range(parts[0].num_row_groups):
        table = parts[0].read_row_group(group)
        for part in parts[1:]:
            for name in part.schema_arrow.names:
                if name not in (USER, STAGE):
                    table = table.append_column(name, part.read_row_group(group, [name])[name])
        yield from table.combine_chunks().to_batches()


def _lines(rules: Mapping[str, Rule]) -> dict[str, Rule]:
    """Every line of every rule as a rule of its own."""
    return {
        _line(place, line.number): Rule(line.node)
        for place, rule in enumerate(rules.values())
        for line in rule.lines()[:MOST_LINES]
    }


def _bits(tables: Tables, answers: ir.Table, rules: Mapping[str, Rule]) -> ir.Table:
    """A row of the night for each visitor: the lines of each rule as the bits of a whole number."""
    stage = tables.portraits[STAGE] if STAGE in tables.portraits.columns else ibis.null("string")
    packed = answers.select(
        USER,
        **{
            column(name): _packed([answers[_line(place, n)] for n in range(1, len(rule.lines()[:MOST_LINES]) + 1)])
            for place, (name, rule) in enumerate(rules.items())
        },
    )
    people = tables.portraits.select(USER, stage.name(STAGE))
    return people.inner_join(packed, USER).select(USER, STAGE, *(column(name) for name in rules))


def _packed(lines: list[ir.BooleanValue]) -> ir.IntegerValue:
    bits = [holds.cast("int64") * ibis.literal(1 << place, "int64") for place, holds in enumerate(lines)]
    return balanced(operator.add, bits)


def _line(segment: int, line: int) -> str:
    return f"segment_{segment}_{line}"
