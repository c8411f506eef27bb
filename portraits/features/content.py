"""Content: articles, videos and lives opened, what they show, and what the visitor buys by them."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from portraits.features.registry import feature, only
from portraits.features.taste import EVIDENCE

LISTED = 20
"""Contents listed."""
CONTENTS = (
    "array<struct<content_id: string, kind: string, views: int64, purchases: int64, spend: int64, "
    "last_ts: timestamp('UTC', 6)>>"
)
KINDS = "array<struct<kind: string, views: int64, purchases: int64, spend: int64>>"


@feature("contents", "int64", "contents", empty=0)
def contents_opened(contents: ir.Table) -> ir.Value:
    """Different articles, videos and lives opened."""
    return contents.count(where=contents.views > 0)


@feature("contents", "int64", "lines", empty=0, clock=True)
def content_purchases(contents: ir.Table) -> ir.Value:
    """Order lines that a content led to: the one the line names, else the last that showed the item within 24 hours
    before."""
    return contents.purchases.sum()


@feature("contents", "int64", "minor units", empty=0, clock=True)
def content_spend(contents: ir.Table) -> ir.Value:
    """Money paid for the order lines that a content led to."""
    return contents.spend.sum()


@feature("content_kinds", "string", "kind", minimum=None)
def favourite_content_kind(content_kinds: ir.Table) -> ir.Value:
    """Kind of content opened most often, as the catalogue names it; the first by name among equals."""
    opened = content_kinds.views > 0
    return content_kinds.kind.argmin(content_kinds["rank"], where=opened)


@feature("portrait", "float64", "share", maximum=1, clock=True)
def content_spend_share(portrait: ir.Table) -> ir.Value:
    """Share of the money paid that contents led to."""
    return portrait.content_spend / portrait.spend.nullif(0)


@feature("contents", CONTENTS, "evidence", minimum=None, clock=True)
def contents(contents: ir.Table) -> ir.Value:
    """Contents by the spend they led to, then by views, at most 20. kind as in the catalogue, null where unknown;
    views; purchases: order lines led to, and their spend; last_ts: the latest view or purchase."""
    names = ("content_id", "kind", "views", "purchases", "spend", "last_ts")
    entries = ibis.struct({name: contents[name] for name in ("rank", *names)})
    listed = entries.collect(where=contents["rank"] < LISTED).sort()
    return only(listed, *names)


@feature("content_kinds", KINDS, "evidence", minimum=None, clock=True)
def content_kinds(content_kinds: ir.Table) -> ir.Value:
    """Kinds of content (as the catalogue names them: article, video, live), most views first, with the order lines
    and the spend they led to."""
    names = ("kind", "views", "purchases", "spend")
    entries = ibis.struct({name: content_kinds[name] for name in ("rank", *names)})
    return only(entries.collect().sort(), *names)


@feature("content_tastes", EVIDENCE, "evidence", minimum=None)
def content_categories(content_tastes: ir.Table) -> ir.Value:
    """Categories of the items that opened contents show, by decayed attention, strongest first, at most 20; each view
    is shared out over the items of its content. Entries as in categories."""
    names = ("tag", "weight", "events", "last_ts", "confidence")
    entries = ibis.struct({name: content_tastes[name] for name in ("rank", *names)})
    return only(entries.collect().sort(), *names)
