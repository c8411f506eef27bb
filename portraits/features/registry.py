"""The registry of portrait fields: every field is a small documented expression, found by the laws and the dictionary.

    @feature("lines", "int64", "minor units", empty=0)
    def spend_90d(lines, now):
        \"\"\"Money spent during the last 90 days.\"\"\"
        return lines.amount.sum(where=lines.is_purchase & (lines.ts_us >= now.days_ago(90)))

A feature sees one *grain*: a table made from the past alone, with a user_id column. What it returns is an aggregate
over one visitor's rows; at the grains `portrait` and `everyone` it is a row-level expression over the fields registered
before it, and at `everyone` it may use windows over all visitors. `build` runs all features of one grain as one
aggregation. A feature cannot leak: nothing later than T is in a grain.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from portraits.field import Field
from portraits.local import DAY_US, Now, microseconds


@dataclass(frozen=True, slots=True)
class Grain:
    """A table that features see. `clock`: it means nothing without real times. `source`: lake tables behind it."""

    name: str
    meaning: str
    source: str
    clock: bool


GRAINS = {
    grain.name: grain
    for grain in (
        Grain("events", "one row an event", "events", clock=False),
        Grain("visits", "one row a session", "events", clock=True),
        Grain("days", "one row a local day on which a visit began", "events", clock=True),
        Grain("hours", "one row a local hour of the day at which visits began", "events", clock=True),
        Grain("weekdays", "one row a weekday on which visits began", "events", clock=True),
        Grain("channels", "one row a channel by which the visitor came in", "events", clock=True),
        Grain("lines", "one row an order line, refund or cancellation", "events, items", clock=False),
        Grain("orders", "one row an order", "events", clock=False),
        Grain("order_days", "one row a local day with an order", "events", clock=True),
        Grain("tastes", "one row a tag that the visitor likes", "events, items", clock=False),
        Grain("aversions", "one row a category or brand that the visitor avoids", "events, items", clock=False),
        Grain("stores", "one row a store that the visitor's events name", "events, stores", clock=True),
        Grain("store_hours", "one row a local hour of the day at which days in a store began", "events", clock=True),
        Grain("cities", "one row a city that the visitor's events name", "events", clock=True),
        Grain("friends", "one row a friend who came in by what the visitor shared", "events", clock=True),
        Grain("kin", "one row a visitor above or below in the share forest", "events", clock=True),
        Grain("contents", "one row a content opened or bought by", "events, contents", clock=False),
        Grain("content_kinds", "one row a kind of content", "events, contents", clock=False),
        Grain("content_tastes", "one row a category shown by contents opened", "events, items, contents", clock=False),
        Grain("paydays", "one row a payday after which the visitor ordered", "events", clock=True),
        Grain("refills", "one row a category or item bought on several days", "events, items", clock=True),
        Grain("coupons", "one row an offer that was shown, claimed or redeemed", "events, offers", clock=False),
        Grain("members", "the visitor's row of the catalogue", "users", clock=False),
        Grain("permissions", "one row a permission for messages given, used or withdrawn", "events", clock=False),
        Grain("portrait", "one row a visitor: fields of other grains", "fields above", clock=False),
        Grain("everyone", "all visitors at once, to place one among the others", "fields above", clock=False),
    )
}


Compute = Callable[..., ir.Value]
"""(grain) or (grain, now) -> expression; a feature names `now` only if it looks at the time."""


@dataclass(frozen=True, slots=True)
class Feature(Field):
    """A field that is one expression over a grain. `empty`: its value for a visitor without a row in the grain."""

    grain: str
    compute: Compute

    def expression(self, table: ir.Table, now: Now) -> ir.Value:
        """The field over its grain, cast to its type."""
        timed = "now" in inspect.signature(self.compute).parameters
        value = self.compute(table, now) if timed else self.compute(table)
        return value.cast(self.dtype).name(self.name)

    def missing(self) -> ir.Value:
        """The field where it cannot be known."""
        return ibis.null(dt.dtype(self.dtype)).name(self.name)


REGISTRY: dict[str, Feature] = {}
"""Every field by name, in the order of the portrait's columns (filled by importing `portraits.features`)."""


def feature(
    grain: str,
    dtype: str,
    unit: str,
    *,
    minimum: float | None = 0,
    maximum: float | None = None,
    values: tuple[str, ...] = (),
    empty: Any = None,
    clock: bool = False,
) -> Callable[[Compute], Compute]:
    """Register the decorated function as a field named after it; its docstring is the field's meaning.

    The family is the module's name. `clock` is implied by a grain that needs real times. Raises ValueError for a
    second field of the same name, an unknown grain or a missing docstring: mistakes of a programmer, at import.
    """

    def register(compute: Compute) -> Compute:
        name = compute.__name__
        meaning = " ".join((compute.__doc__ or "").split())
        if name in REGISTRY or grain not in GRAINS or not meaning:
            raise ValueError(f"feature {name!r}: name taken, grain {grain!r} unknown, or no docstring")
        REGISTRY[name] = Feature(
            name=name,
            family=compute.__module__.rpartition(".")[2],
            grain=grain,
            dtype=dtype,
            unit=unit,
            minimum=minimum,
            maximum=maximum,
            values=values,
            empty=empty,
            clock=clock or GRAINS[grain].clock,
            source=GRAINS[grain].source,
            meaning=meaning,
            compute=compute,
        )
        return compute

    return register


def elapsed_days(moment: ir.Value, now: Now) -> ir.Value:
    """Whole days of 24 hours from a timestamp column to T."""
    return ((now.us - microseconds(moment)) / DAY_US).floor()


def at_most_one(share: ir.Value) -> ir.Value:
    """`share`, cut at 1; null stays null (`least` would pass over it)."""
    return ibis.ifelse(share > 1, 1.0, share)


def only(entries: ir.Value, *names: str) -> ir.Value:
    """A list of structs with the named fields alone: what it was sorted by stays behind."""
    return entries.map(lambda entry: ibis.struct({name: entry[name] for name in names}))


def most(count: ir.Value, code: ir.Value, space: int) -> ir.Value:
    """The code (0 <= code < space) with the greatest count (>= 0), the smallest code among equals.

    Engines break the ties of arg_max as they like; this compares one whole number that holds both.
    """
    return space - 1 - (count * space + (space - 1 - code)).max() % space
