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
from portraits.segments.asking import COMPARE, all_of, any_of


def asked_of_portraits(asked: Mapping[Any, str], people: ir.Table, moment: Moment) -> list[ir.BooleanColumn]:
    """Each condition (`Compare` or `Tagged`) over the portraits, under its name; never null."""
    return [
        (_compared(one, people, moment) if isinstance(one, Compare) else _tagged(one, people)).name(name)
        for one, name in asked.items()
    ]


def _tagged(asked: Tagged, people: ir.Table) -> ir.BooleanValue:
    entries = people[asked.field.name].filter(lambda entry: _evident(asked, entry))
    return (entries.length() > 0).fill_null(False)


def _evident(asked: Tagged, entry: ir.StructValue) -> ir.BooleanValue:
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
