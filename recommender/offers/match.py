"""How well the rules of the offers fit what a visitor does: shares of purchases and of looks that are in an offer's
scope (its categories and items), and of orders that reach its minimum.

Offers of one scope, or of one minimum, share a column, so that learners see a few more columns whatever the number of
offers. Which columns there are is told by the offers catalogue of one moment (`matches`), what is in them by a past:
the same columns now and then. null: no purchase, no look, no order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import ibis
import ibis.expr.types as ir

from portraits.past import Past

MOST_SCOPES, MOST_MINIMUMS = 12, 6
"""Columns at most of each sort, the most usual ones."""
LOOKS = ("item_view", "click")

Scope = tuple[frozenset[str], frozenset[str]]


@dataclass(frozen=True)
class Matches:
    """What of offers a visitor may fit. scopes: name -> categories, items; minimums: in minor units."""

    scopes: Mapping[str, Scope]
    minimums: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        by_scope = (f"{what} in {name}" for name in self.scopes for what in ("bought", "looked"))
        return (*by_scope, *(f"orders from {minimum}" for minimum in self.minimums))

    def of(self, past: Past) -> ir.Table:
        """user_id and the columns, of everyone of whom there is any."""
        parts = []
        if self.scopes:
            parts += [self._shares(past, ("purchase",), "bought"), self._shares(past, LOOKS, "looked")]
        if self.minimums:
            orders = past.orders
            reached = {f"orders from {m}": (orders.spend >= m).cast("float64").mean() for m in self.minimums}
            parts.append(orders.group_by("user_id").aggregate(**reached))
        users = ibis.union(*(part.select("user_id") for part in parts), distinct=True)
        for part in parts:
            users = users.left_join(part, "user_id").drop("user_id_right")
        return users.select("user_id", *self.names)

    def _shares(self, past: Past, types: tuple[str, ...], what: str) -> ir.Table:
        items = past.lake_items
        flags = {f"{what} in {name}": _within(items, scope) for name, scope in self.scopes.items()}
        items = items.select("item_id", **flags)
        events = past.events.filter(past.events.type.isin(types) & past.events.item_id.notnull())
        joined = events.select("user_id", "item_id").left_join(items, "item_id").drop("item_id_right")
        shares = {name: joined[name].fill_null(False).cast("float64").mean() for name in flags}
        return joined.group_by("user_id").aggregate(**shares)


def matches(offers: Iterable[Mapping[str, Any]]) -> Matches:
    """By rows of the offers catalogue, in any order."""
    rows = sorted(offers, key=lambda one: str(one["offer_id"]))
    scopes: dict[Scope, str] = {}
    often: Counter[Scope] = Counter()
    minimums: Counter[int] = Counter(int(one["minimum"]) for one in rows if one.get("minimum"))
    for one in rows:
        scope = _scope(one)
        if any(scope):
            scopes.setdefault(scope, ", ".join(sorted(scope[0])) if not scope[1] else str(one["offer_id"]))
            often[scope] += 1
    kept = sorted(scopes, key=lambda scope: (-often[scope], scopes[scope]))[:MOST_SCOPES]
    usual = sorted(minimums, key=lambda minimum: (-minimums[minimum], minimum))[:MOST_MINIMUMS]
    return Matches({scopes[scope]: scope for scope in kept}, tuple(sorted(usual)))


def scopes_of(offers: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """offer_id -> the name of its scope in the columns of `matches`; of offers that have one there."""
    rows = list(offers)
    names = {scope: name for name, scope in matches(rows).scopes.items()}
    found = ((str(one["offer_id"]), names.get(_scope(one))) for one in rows)
    return {offer: name for offer, name in found if name is not None}


def _scope(offer: Mapping[str, Any]) -> Scope:
    return frozenset(offer.get("categories") or ()), frozenset(offer.get("items") or ())


def _within(items: ir.Table, scope: Scope) -> ir.BooleanValue:
    categories, ids = scope
    named = [items.item_id.isin(sorted(ids))] if ids else []
    return reduce(or_, [*named, *(items.category.contains(one).fill_null(False) for one in sorted(categories))])
