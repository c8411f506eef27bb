"""Taste: what the visitor is drawn to, decayed, and what the visitor turns down, each with its evidence."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from portraits.features.registry import feature, only

EVIDENCE = (
    "array<struct<tag: string, weight: float64, events: int64, last_ts: timestamp('UTC', 6), confidence: float64>>"
)
AGAINST = (
    "array<struct<tag: string, weight: float64, events: int64, last_ts: timestamp('UTC', 6), confidence: float64, "
    "shown: int64, opened: int64, refunded: int64>>"
)
COUNTS = ("shown", "opened", "refunded")


@feature("tastes", EVIDENCE, "evidence", minimum=None)
def categories(tastes: ir.Table) -> ir.Value:
    """Categories by decayed attention, strongest first, at most 20. tag: path from the root, as 'food > tea'; weight:
    share of the visitor's attention; events that speak for it; last_ts: the latest; confidence: 0 to 1, how much
    there is to go by."""
    return _evidence(tastes, "category")


@feature("tastes", EVIDENCE, "evidence", minimum=None)
def brands(tastes: ir.Table) -> ir.Value:
    """Brands by decayed attention, strongest first, at most 20; entries as in categories."""
    return _evidence(tastes, "brand")


@feature("tastes", EVIDENCE, "evidence", minimum=None)
def styles(tastes: ir.Table) -> ir.Value:
    """Style words and other labels of items (their tags in the catalogue) by decayed attention, strongest first, at
    most 20; entries as in categories. An item has several: weights may sum to less than the tags of any one item."""
    return _evidence(tastes, "style")


@feature("tastes", EVIDENCE, "evidence", minimum=None)
def price_tastes(tastes: ir.Table) -> ir.Value:
    """Price bands by decayed attention, strongest first; entries as in categories. tag: low, middle or high, the
    thirds of the items of a root category by price. What is looked at, where price_band tells what is bought."""
    return _evidence(tastes, "price")


@feature("aversions", AGAINST, "evidence", minimum=None)
def avoided_categories(aversions: ir.Table) -> ir.Value:
    """Categories the visitor turns down, most evidence first, at most 20: shown 5 times or more and nothing of it ever
    opened, or refunded twice or more and at least half as often as bought. tag: path from the root; weight: 1 if never
    opened, else refunds over purchases; events: times shown or refunded; last_ts: the latest of them; confidence: 0 to
    1, the chance that this visitor, who clicks some share of what is shown, would have opened one had they been
    indifferent, or r / (r + 1) for r refunds; shown, opened and refunded: how often."""
    return _evidence(aversions, "category", *COUNTS)


@feature("aversions", AGAINST, "evidence", minimum=None)
def avoided_brands(aversions: ir.Table) -> ir.Value:
    """Brands the visitor turns down, most evidence first, at most 20; entries as in avoided_categories."""
    return _evidence(aversions, "brand", *COUNTS)


@feature("tastes", "string", "category", minimum=None)
def top_category(tastes: ir.Table) -> ir.Value:
    """Root category with most of the visitor's attention."""
    return tastes.tag.argmin(tastes["rank"], where=(tastes.kind == "category") & (tastes.depth == 1))


@feature("tastes", "string", "category", minimum=None)
def top_subcategory(tastes: ir.Table) -> ir.Value:
    """Category below a root with most of the visitor's attention, as 'food > tea'."""
    return tastes.tag.argmin(tastes["rank"], where=(tastes.kind == "category") & (tastes.depth > 1))


@feature("tastes", "string", "brand", minimum=None)
def top_brand(tastes: ir.Table) -> ir.Value:
    """Brand with most of the visitor's attention."""
    return tastes.tag.argmin(tastes["rank"], where=tastes.kind == "brand")


def _evidence(tags: ir.Table, kind: str, *counts: str) -> ir.Value:
    names = ("tag", "weight", "events", "last_ts", "confidence", *counts)
    entries = ibis.struct({name: tags[name] for name in ("rank", *names)})
    return only(entries.collect(where=tags.kind == kind).sort(), *names)
