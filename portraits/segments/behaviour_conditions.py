"""Conditions on behaviour, as columns of truth for whoever did any of it.

All counts and sums of all rules are one aggregation of the rows that any of them asks for, joined to a flag for each
kind of item that any of them names. Days are counted from rows of one a visitor and day, and sequences follow the
moments of their steps, a few sequences each their own and many of them shared ones: neither collects anything, and the
parts of a question stay few, however much is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import ibis
import ibis.expr.types as ir

from portraits.history import CATEGORY_SEPARATOR
from portraits.local import DAY_US, Zone, day_number, from_us
from portraits.rules import nodes
from portraits.rules.grammar import STEPS, WINDOW_DAYS
from portraits.rules.match import COMPARE as HOLDS
from portraits.rules.match import Moment
from portraits.rules.nodes import Did, First, What
from portraits.rules.values import LEVELS
from portraits.segments.asking import COMPARE, Tables, all_of, any_of, parts_of

FOLLOWED = 8
"""Into how many parts sequences are put: so many follow the moments of their own steps, more share them."""

Names: TypeAlias = Mapping[Any, str]
"""Conditions on behaviour -> the names of their columns."""


def asked_of_behaviour(asked: Names, tables: Tables, moment: Moment) -> list[ir.Table]:
    """Tables of the key and the conditions' columns, one row a visitor who did anything that is asked about."""
    daily = {one: name for one, name in asked.items() if isinstance(one, Did) and one.measure == "days"}
    counted = {one: name for one, name in asked.items() if isinstance(one, Did | First) and one not in daily}
    parts = [ask(some, tables, moment) for ask, some in ((_counted, counted), (_on_days, daily)) if some]
    in_order = [(one, name) for one, name in asked.items() if isinstance(one, nodes.Sequence)]
    shared = [dict(in_order[n::FOLLOWED]) for n in range(min(FOLLOWED, len(in_order)))]
    return parts + [_followed(some, tables, moment) for some in shared]


def of_nothing(asked: Any) -> bool:
    """The answer for a visitor who did nothing that is asked about: 'at most twice' holds."""
    return isinstance(asked, Did) and HOLDS[asked.op](0, asked.value)


def _counted(asked: Names, tables: Tables, moment: Moment) -> ir.Table:
    """How often, for how much, and when first: one pass for all."""
    rows = _Rows([(one.what, None if isinstance(one, First) else one.within_days) for one in asked], tables, moment)
    measured = rows.table.group_by(tables.key).aggregate([rows.measure(one).name(name) for one, name in asked.items()])
    return measured.select(
        tables.key, *(_answer(one, measured[name], moment).name(name) for one, name in asked.items())
    )


def _answers(asked: Names, measured: ir.Table, tables: Tables, moment: Moment) -> ir.Table:
    said = [_answer(one, measured[name], moment).name(name) for one, name in asked.items()]
    return measured.select(tables.key, *said)


def _answer(asked: Did | First, measure: ir.Value, moment: Moment) -> ir.BooleanValue:
    if isinstance(asked, First):
        return (measure >= moment.since(asked.within_days)).fill_null(False)
    return COMPARE[asked.op](measure.fill_null(0), asked.value)


def _on_days(asked: Names, tables: Tables, moment: Moment) -> ir.Table:
    """On how many local days: first one row a visitor and day, then their number."""
    rows = _Rows([(one.what, one.within_days) for one in asked], tables, moment)
    zone = Zone.between(str(moment.zone), from_us(moment.since(WINDOW_DAYS + 1)), from_us(moment.us))
    table = rows.table.mutate({name: rows.is_one(one.what, one.within_days) for one, name in asked.items()})
    table = table.mutate(day=day_number(zone.local_us(table.us)))
    days = table.group_by(tables.key, "day").aggregate([table[name].any().name(name) for name in asked.values()])
    number = days.group_by(tables.key).aggregate([days[name].sum().name(name) for name in asked.values()])
    return _answers(asked, number, tables, moment)


def _followed(asked: Names, tables: Tables, moment: Moment) -> ir.Table:
    """Whether all steps of each sequence were taken, in order.

    For each moment: the latest earlier moment at which the steps so far were complete. Events of one moment are one
    row, so that no step follows another within it.
    """
    spans = dict.fromkeys((step, one.within_days) for one in asked for step in one.steps)
    rows = _Rows(list(spans), tables, moment)
    taken = {span: f"step_{n}" for n, span in enumerate(spans)}
    moments = rows.table.group_by(tables.key, "us").aggregate(
        [rows.is_one(*span).any().name(name) for span, name in taken.items()]
    )
    before = ibis.window(group_by=tables.key, order_by="us", rows=(None, -1))
    for place in range(STEPS[1]):
        reached = {}
        for one, name in asked.items():
            if place < len(one.steps):
                holds = moments[taken[one.steps[place], one.within_days]]
                if place:
                    holds &= _in_time(moments.us, moments[name].max().over(before), one)
                reached[name] = ibis.ifelse(holds, moments.us, None)
        moments = moments.mutate(reached)
    return moments.group_by(tables.key).aggregate([moments[name].notnull().any().name(name) for name in asked.values()])


def _in_time(us: ir.IntegerValue, earlier: ir.IntegerValue, asked: nodes.Sequence) -> ir.BooleanValue:
    """The steps before were taken, and not too long before; never null."""
    if asked.gap_days is None:
        return earlier.notnull()
    return (us - earlier <= asked.gap_days * DAY_US).fill_null(False)


class _Rows:
    """The behaviour rows that some conditions look at. `spans`: each condition's events and window (None: ever)."""

    def __init__(self, spans: Sequence[tuple[What, int | None]], tables: Tables, moment: Moment) -> None:
        self._moment = moment
        rows = self._wanted(spans, tables)
        self._flags = {what: f"of_{n}" for n, what in enumerate(dict.fromkeys(w for w, _ in spans if w.of_item))}
        if self._flags:
            rows = rows.left_join(self._flagged(tables.items), "item_id").drop("item_id_right")
        self.table = rows
        if any(what != What(what.type) for what, _ in spans):  # what no condition means would only be grouped in vain
            self.table = rows.filter(any_of([self.is_one(what, days) for what, days in dict.fromkeys(spans)]))

    def measure(self, asked: Did | First) -> ir.Scalar:
        """What the aggregation computes for a condition."""
        if isinstance(asked, First):
            return self.table.us.min(where=self.is_one(asked.what, None))
        one = self.is_one(asked.what, asked.within_days)
        return self.table.amount.sum(where=one) if asked.measure == "amount" else self.table.count(where=one)

    def is_one(self, what: What, within_days: int | None) -> ir.BooleanValue:
        """Whether a row is one of the events; never null."""
        table = self.table
        tests = [_of_types(table, what.type)]
        if within_days is not None:
            tests.append(table.us >= self._moment.since(within_days))
        ids = {name: getattr(what, name) for name in ("item_id", "store_id", "content_id", "offer_id")}
        tests += [table[name].isin(wanted).fill_null(False) for name, wanted in ids.items() if wanted]
        if what in self._flags:
            tests.append(table[self._flags[what]].fill_null(False))
        return all_of(tests)

    def _wanted(self, spans: Iterable[tuple[What, int | None]], tables: Tables) -> ir.Table:
        """Rows of the types asked for, of each type from the earliest moment on that is asked for."""
        since: dict[str, int | None] = {}
        for what, days in spans:
            for one in what.type:
                start = None if days is None else self._moment.since(days)
                known = since.get(one, start)
                since[one] = None if start is None or known is None else min(start, known)
        rows = tables.behaviour.filter(tables.behaviour.us < self._moment.us)
        if tables.by_type:
            return parts_of(rows, [_begun(rows, [one], start) for one, start in since.items()])
        by_start: dict[int | None, list[str]] = {}
        for one, start in since.items():
            by_start.setdefault(start, []).append(one)
        return rows.filter(any_of([_begun(rows, types, start) for start, types in by_start.items()]))

    def _flagged(self, items: ir.Table) -> ir.Table:
        """item_id and a flag for each kind of item asked for; items of no kind are left out."""
        path = items.category[0:LEVELS].join(CATEGORY_SEPARATOR)
        known = items.select("item_id", "brand", "tags", path=path)
        flags = {name: _item_fits(what, known) for what, name in self._flags.items()}
        flagged = known.select("item_id", **flags)
        return flagged.filter(any_of([flagged[name] for name in flags]))


def _begun(rows: ir.Table, types: Sequence[str], since: int | None) -> ir.BooleanValue:
    of_types = _of_types(rows, types)
    return of_types if since is None else of_types & (rows.us >= since)


def _of_types(rows: ir.Table, types: Sequence[str]) -> ir.BooleanValue:
    return rows.type == types[0] if len(types) == 1 else rows.type.isin(types)


def _item_fits(what: What, items: ir.Table) -> ir.BooleanValue:
    tests: list[ir.BooleanValue] = []
    if what.category:
        below = [items.path.startswith(path + CATEGORY_SEPARATOR) for path in what.category]
        tests.append(any_of([items.path.isin(what.category), *below]))
    if what.brand:
        tests.append(items.brand.isin(what.brand))
    if what.tag:
        tests.append(any_of([items.tags.contains(tag) for tag in what.tag]))
    return all_of([test.fill_null(False) for test in tests])
