"""Taste: categories and brands the visitor is drawn to, decayed, each with its evidence."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from portraits.features.registry import feature

EVIDENCE = (
    "array<struct<tag: string, weight: float64, events: int64, last_ts: timestamp('UTC', 6), confidence: float64>>"
)


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


def _evidence(tastes: ir.Table, kind: str) -> ir.Value:
    entries = ibis.struct(
        {
            "rank": tastes["rank"],
            "tag": tastes.tag,
            "weight": tastes.weight,
            "events": tastes.events,
            "last_ts": tastes.last_ts,
            "confidence": tastes.confidence,
        }
    )
    ranked = entries.collect(where=tastes.kind == kind).sort()
    fields = ("tag", "weight", "events", "last_ts", "confidence")
    return ranked.map(lambda entry: ibis.struct({name: entry[name] for name in fields}))
