"""Conditions on fields of the portrait, as columns of truth: one look at the portraits for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis
import ibis.expr.types as ir

from portraits.local import DAY_US, from_us
from portraits.rules.clock import ranges_of, start_of
from portraits.rules.match import Moment
from portraits.rules.nodes import Compare, Tagged
from portraits.segments.asking import COMPARE, Tables, all_of, any_of, parts_of


def asked_of_portraits(asked: Mapping[Any, str], people: ir.Table, moment: Moment) -> list[ir.BooleanColumn]:
    """Each condition (`Compare` or `Tagged`) over the portraits, under its name; never null."""
    return [
        (_compared(one, people, moment) if isinstance(one, Compare) else _tagged(one, people)).name(name)
        for one, name in asked.items()
    ]


def asked_of_tags(asked: Mapping[Tagged, str], tables: Tables) -> list[ir.Table]:
    """The same of conditions on tags that are laid out (`Tables.tags`): the key and their columns, one row a visitor
    with any of the tags."""
    if not asked or tables.tags is None:
        return []
    rows = tables.tags
    of_tag = {(one.field.name, one.tag): (rows.field == one.field.name) & (rows.tag == one.tag) for one in asked}
    rows = parts_of(rows, list(of_tag.values()))
    found = {name: (rows.field == one.field.name) & _evident(one, rows) for one, name in asked.items()}
    flags = [flag.fill_null(False).any().name(name) for name, flag in found.items()]
    return [rows.group_by(tables.key).aggregate(flags)]


def _tagged(asked: Tagged, people: ir.Table) -> ir.BooleanValue:
    entries = people[asked.field.name].filter(lambda entry: _evident(asked, entry))
    return (entries.length() > 0).fill_null(False)


def _evident(asked: Tagged, entry: ir.StructValue | ir.Table) -> ir.BooleanValue:
    least = {"weight": asked.weight, "confidence": asked.confidence, "events": asked.events}
    enough = [entry[name] >= value for name, value in least.items() if value is not None]
    return all_of([entry["tag"] == asked.tag, *enough])


def _compared(asked: Compare, people: ir.Table, moment: Moment) -> ir.BooleanValue:
    column = people[asked.field.name]
    known = (column.length() > 0).fill_null(False) if asked.kind == "list" else column.notnull()
    if asked.op in ("known", "unknown"):
        return known if asked.op == "known" else ~known
    if asked.kind in ("date", "moment"):
        return _in_days(asked, column, moment)
    return COMPARE[asked.op](column, asked.value).fill_null(False)


def _in_days(asked: Compare, column: ir.Value, moment: Moment) -> ir.BooleanValue:
    """A date or moment lies in the local days that are meant."""

    def first(day: int) -> ir.Scalar:
        if asked.kind == "date":
            return ibis.literal(from_us(day * DAY_US).date())
        return ibis.literal(from_us(start_of(day, moment.zone)), "timestamp('UTC', 6)")

    spans = []
    for low, high in ranges_of(asked, moment.today):
        begun = [] if low is None else [column >= first(low)]
        ended = [] if high is None else [column < first(high)]
        spans.append(all_of([*begun, *ended]))
    return any_of(spans).fill_null(False)
