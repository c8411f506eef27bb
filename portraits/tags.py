"""Tags of items (category paths and brands), what is known of each item, and visitors' tastes for tags.

A taste is decayed attention: each event on an item counts `STRENGTH` of its type, halved every half-life, towards
every tag of the item. The sums are whole billionths, so that no order of rows can change a digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from portraits.history import CATEGORY_SEPARATOR
from portraits.local import DAY_US, Now

DEPTH = 4
"""Category paths are followed this far from the root."""

STRENGTH: Mapping[str, int] = {
    "item_view": 1,
    "click": 1,
    "share": 2,
    "cart": 3,
    "favorite": 3,
    "purchase": 5,
    "cart_remove": -1,
    "unfavorite": -3,
    "refund": -5,
}
"""What one event of a type says for its item, in item views."""

NANO = 10**9
KEPT = 20
"""Tags kept for each visitor and kind, strongest first."""

HALF_SURE = 5
"""Decayed strength at which confidence is one half: one purchase of today."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """`of_item`: which item has which tag (item_id, tag_id). `names`: what a tag is (tag_id, kind, depth, tag).

    Whole numbers stand for the tags while visitors' events are summed; tag_id follows the alphabet.
    """

    of_item: ir.Table
    names: ir.Table


def tag_items(items: ir.Table) -> Tagged:
    """The tags of a catalogue: a category path ['food', 'tea'] gives 'food' and 'food > tea'; a brand gives itself."""
    paths = [
        items.filter(items.category.length() >= depth).select(
            "item_id",
            kind=ibis.literal("category"),
            depth=ibis.literal(depth, "int64"),
            tag=items.category[0:depth].join(CATEGORY_SEPARATOR),
        )
        for depth in range(1, DEPTH + 1)
    ]
    brands = items.filter(items.brand.notnull()).select(
        "item_id", kind=ibis.literal("brand"), depth=ibis.literal(1, "int64"), tag=items.brand
    )
    tagged = ibis.union(*paths, brands)
    in_order = ibis.window(order_by=["kind", "tag", "depth"])
    numbered = tagged.mutate(tag_id=ibis.dense_rank().over(in_order)).cache()
    names = numbered.select("tag_id", "kind", "depth", "tag").distinct().cache()
    return Tagged(numbered.select("item_id", "tag_id"), names)


def tastes(events: ir.Table, tagged: Tagged, now: Now) -> ir.Table:
    """One row a visitor and tag, the strongest KEPT of each kind: user_id, kind, depth, tag, rank (from 0), weight,
    events, last_ts, confidence.

    weight: share of the visitor's decayed attention within the kind (tags of one depth sum to at most 1).
    confidence: s / (s + HALF_SURE) of the tag's decayed strength s: how much there is to go by.
    """
    sums = _strengths(events, tagged.of_item, now).inner_join(tagged.names.drop("tag"), "tag_id")
    sums = sums.filter(sums.strength > 0)
    of_kind = ibis.window(group_by=["user_id", "kind"])
    best_first = ibis.window(group_by=["user_id", "kind"], order_by=[sums.strength.desc(), "tag_id"])
    ranked = sums.mutate(
        rank=ibis.row_number().over(best_first),
        total=ibis.ifelse(sums.depth == 1, sums.strength, 0).sum().over(of_kind),
    )
    kept = ranked.filter(ranked["rank"] < KEPT).inner_join(tagged.names.select("tag_id", "tag"), "tag_id")
    return kept.select(
        "user_id",
        "kind",
        "depth",
        "tag",
        "rank",
        "last_ts",
        weight=kept.strength / kept.total.nullif(0),
        events=kept.n,
        confidence=kept.strength / (kept.strength + HALF_SURE * NANO),
    )


def _strengths(events: ir.Table, of_item: ir.Table, now: Now) -> ir.Table:
    """user_id, tag_id, strength (whole billionths), n (events that speak for the tag), last_ts."""
    spoken = events.filter(events.type.isin(tuple(STRENGTH)) & events.item_id.notnull())
    strength = spoken.type.cases(*STRENGTH.items(), else_=0).cast("float64")
    if now.half_life_days is not None:
        age = (now.us - spoken.ts_us) / (now.half_life_days * DAY_US)
        strength = strength * ibis.literal(0.5) ** age
    said = spoken.select("user_id", "item_id", "ts", nano=(strength * NANO).round().cast("int64"))
    joined = said.inner_join(of_item, "item_id")
    return joined.group_by("user_id", "tag_id").aggregate(
        strength=ibis._.nano.sum(), n=ibis._.count(where=ibis._.nano > 0), last_ts=ibis._.ts.max()
    )


def item_facts(items: ir.Table, trades: ir.Table) -> ir.Table:
    """item_id, cost, root (category), price_level_e6 of every item of the catalogue or of a purchase.

    price_level_e6: where the item's price stands among the items of its root category, in millionths (its ridit: the
    share of items that cost less, plus half of those that cost the same). The price is the catalogue's, else what
    was paid for one on average.
    """
    bought = trades.filter(trades.is_purchase & trades.item_id.notnull() & (trades.units_e4 > 0))
    paid = bought.group_by("item_id").aggregate(paid=bought.amount.sum() * 10_000 / bought.units_e4.sum())
    known = items.select("item_id", "cost", "price", root=items.category[0])
    both = known.outer_join(paid, "item_id")
    facts = both.select(
        "cost",
        item_id=ibis.coalesce(both.item_id, both.item_id_right),
        root=both.root.fill_null(""),
        price=ibis.coalesce(both.price.cast("float64"), both.paid),
    )
    priced = facts.mutate(known=facts.price.notnull())
    cheaper = ibis.rank().over(ibis.window(group_by=["root", "known"], order_by="price"))
    alike = ibis._.count().over(ibis.window(group_by=["root", "known", "price"]))
    of_root = ibis._.count().over(ibis.window(group_by=["root", "known"]))
    return priced.select(
        "item_id",
        "cost",
        "root",
        price_level_e6=ibis.ifelse(
            priced.known, ((2 * cheaper + alike) * 1_000_000 / (2 * of_root)).round().cast("int64"), ibis.null("int64")
        ),
    )
