"""The night's record of segments: everyone asked every rule, and the answers kept in the lake.

Every line of every rule is asked in one pass and kept as a bit, so that a later night can tell which line moved whom.
Who refused has no portrait and so no row. A rule that tonight's portraits cannot answer (a field that is gone) is
skipped and named; it never fails a night.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from portraits.engine import connect
from portraits.lake import Lake
from portraits.portrait_set import PortraitSet
from portraits.rules import Rule
from portraits.segments.evaluate import Tables, evaluate
from portraits.segments.nights import FOLDER, MOST_LINES, STAGE, USER, Definition, Night, column, write_night
from portraits.segments.readymade import READY_MADE
from portraits.segments.tables import moment_of, tables_of
from portraits.settings import AppSettings
from serving.segments.definitions import Definitions
from serving.segments.wording import line_words
from serving.stores import Store

BATCH_ROWS = 65_536


def remember(store: Store, lake: Lake, app: AppSettings, portraits: Path) -> dict[str, Any]:
    """Writes the night of a portrait set: {"members": by segment, "warnings": saved segments that were skipped}."""
    people = PortraitSet(portraits)
    definitions = Definitions.of(store, app.app_id, people.fields)
    skipped = {name: problem.message for name in definitions.names if (problem := definitions.problem(name))}
    meant: dict[str, Definition] = {}
    rules: dict[str, Rule] = {}
    for known in definitions.all():
        if known.name not in skipped:
            rules[known.name] = definitions.rule(known.name)
            meant[known.name] = Definition.of(
                known.version, rules[known.name], line_words(rules[known.name], app.currency)
            )
    con = connect()
    try:
        tables = tables_of(con, people, lake.snapshot(app.app_id))
        rows = _bits(tables, evaluate(_lines(rules), tables, moment_of(people, app.time_zone)), rules)
        night = _write(lake, app.app_id, people, meant, rows)
    finally:
        con.disconnect()
    warnings = [f"segment {name!r} was skipped: {why}" for name, why in skipped.items() if name not in READY_MADE]
    return {"members": dict(night.members), "warnings": warnings}


def folder_of(lake: Lake, app_id: str) -> Path:
    """Where the nights of an app are."""
    return lake.folder(app_id) / FOLDER


def _write(lake: Lake, app_id: str, people: PortraitSet, meant: Mapping[str, Definition], rows: ir.Table) -> Night:
    batches: Iterator[pa.RecordBatch] = rows.order_by(USER).to_pyarrow_batches(chunk_size=BATCH_ROWS)
    return write_night(folder_of(lake, app_id), people.as_of, meant, batches)


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
    bits: Any = ibis.literal(0, "int64")
    for place, holds in enumerate(lines):
        bits = bits + holds.cast("int64") * ibis.literal(1 << place, "int64")
    return bits


def _line(segment: int, line: int) -> str:
    return f"segment_{segment}_{line}"
