"""Tags of items (category paths, brands, style words, price bands), what is known of each item, and what visitors
think of the tags.

A taste is decayed attention: each event on an item counts `STRENGTH` of its type, halved every half-life, towards
every tag of the item. The sums are whole billionths, so that no order of rows can change a digit. What a visitor was
shown again and again without opening any of it, or sent back, is avoided: negative evidence of its own, since a sum
of attention cannot tell what nobody looked at from what was looked at and left.
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

OFTEN = 5
"""Times a tag must have been shown, without one event that speaks for it, to count as avoided."""

SENT_BACK = 2
"""Refunds that a tag must have had, at least, to count as avoided: who bought it once liked it, and one may happen."""

AVOIDED = ("category", "brand")
"""Kinds of tags that can be avoided."""

BANDS = ("low", "middle", "high")
"""Price bands: thirds of the items of a root category by price."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """`of_item`: which item has which tag (item_id, tag_id). `names`: what a tag is (tag_id, kind, depth, tag).

    Whole numbers stand for the tags while visitors' events are summed; tag_id follows the alphabet.
    """

    of_item: ir.Table
    names: ir.Table


def tag_items(items: ir.Table, facts: ir.Table) -> Tagged:
    """The tags of items: a category path ['food', 'tea'] gives 'food' and 'food > tea'; a brand and each label (tag)
    of the catalogue give themselves; `facts` (see `item_facts`) give the price band."""
    paths = [
        items.filter(items.category.length() >= depth).select(
            "item_id",
            kind=ibis.literal("category"),
            depth=ibis.literal(depth, "int64"),
            tag=items.category[0:depth].join(CATEGORY_SEPARATOR),
        )
        for depth in range(1, DEPTH + 1)
    ]
    labels = items.select("item_id", tag=items.tags.unnest()).distinct()
    bands = facts.select("item_id", tag=price_band(facts.price_level_e9))
    flat = {"brand": items.select("item_id", tag=items.brand), "style": labels, "price": bands}
    others = [
        table.filter(table.tag.notnull()).select(
            "item_id", kind=ibis.literal(kind), depth=ibis.literal(1, "int64"), tag=table.tag
        )
        for kind, table in flat.items()
    ]
    tagged = ibis.union(*paths, *others)
    in_order = ibis.window(order_by=["kind", "tag", "depth"])
    numbered = tagged.mutate(tag_id=ibis.dense_rank().over(in_order)).cache()
    names = numbered.select("tag_id", "kind", "depth", "tag").distinct().cache()
    return Tagged(numbered.select("item_id", "tag_id"), names)


def price_band(level_e9: ir.Value) -> ir.Value:
    """BANDS by place among the items of the root category (billionths), null for null."""
    low, middle, high = BANDS
    banded = ibis.cases((level_e9 < 333_333_333, low), (level_e9 > 666_666_667, high), else_=middle)
    return ibis.ifelse(level_e9.notnull(), banded, ibis.null("string"))


def likes(events: ir.Table, tagged: Tagged, now: Now) -> ir.Table:
    """One row a visitor and tag that is liked, at most KEPT of each kind: user_id, kind, depth, tag, rank (place from
    0), weight, events (that speak for it), last_ts (of the events that count), confidence.

    weight: share of the visitor's decayed attention within the kind (tags of one depth sum to at most 1). confidence:
    s / (s + HALF_SURE) of the tag's decayed strength s: how much there is to go by.
    """
    said = _said(events, now)
    by_item = said.group_by("user_id", "item_id").aggregate(
        strength=said.nano.sum(), n=said.count(where=said.nano > 0), last_ts=said.ts.max()
    )
    joined = by_item.inner_join(tagged.of_item, "item_id")
    sums = joined.group_by("user_id", "tag_id").aggregate(
        strength=joined.strength.sum(), events=joined.n.sum(), last_ts=joined.last_ts.max()
    )
    named = sums.filter(sums.strength > 0).inner_join(tagged.names.drop("tag"), "tag_id")
    return strongest(named, tagged, ["user_id", "kind"])


def strongest(sums: ir.Table, tagged: Tagged, by: list[str]) -> ir.Table:
    """The KEPT strongest tags of each group: `by`, depth, tag, rank (from 0), events, last_ts, weight (share of the
    strength of all tags of depth 1), confidence.

    sums: `by`, tag_id, depth, strength (in NANO), events, last_ts.
    """
    best_first = ibis.window(group_by=by, order_by=[sums.strength.desc(), sums.tag_id.asc()])
    ranked = sums.mutate(
        rank=ibis.row_number().over(best_first),
        total=ibis.ifelse(sums.depth == 1, sums.strength, 0).sum().over(ibis.window(group_by=by)),
    )
    kept = ranked.filter(ranked["rank"] < KEPT).inner_join(tagged.names.select("tag_id", "tag"), "tag_id")
    return kept.select(
        *by,
        "depth",
        "tag",
        "rank",
        "events",
        "last_ts",
        weight=kept.strength / kept.total.nullif(0),
        confidence=kept.strength / (kept.strength + HALF_SURE * NANO),
    )


def aversions(events: ir.Table, tagged: Tagged, now: Now) -> ir.Table:
    """One row a visitor and category or brand that is avoided, at most KEPT of each kind: user_id, kind, tag, rank
    (place from 0), weight, confidence, shown, opened, refunded (events), events (shown or refunded), last_ts (of
    them).

    weight: share of what the visitor was offered (1: nothing of it was ever opened) or bought (refunds over purchases)
    that was turned down. confidence: how far from chance that is: a visitor who clicks a share p of what they are
    shown passes over so many showings with chance (1 - p) ^ shown, p = (clicked + 1) / (shown + 2) over everything;
    for refunds r / (r + 1). The greater of the two where both apply.
    """
    sums = _turned_down(events, tagged, now)
    all_of_kind = {
        f"all_{name}": ibis.ifelse(sums.depth == 1, sums[name], 0).sum().over(group_by=["user_id", "kind"])
        for name in ("shown", "clicked")
    }
    totals = sums.mutate(all_of_kind)
    avoided = totals.filter(_passed_over(totals) | _sent_back(totals))
    against = (avoided.shown + HALF_SURE * avoided.refunded).desc()
    worst_first = ibis.window(group_by=["user_id", "kind"], order_by=[against, avoided.tag_id.asc()])
    ranked = avoided.mutate(rank=ibis.row_number().over(worst_first))
    kept = ranked.filter(ranked["rank"] < KEPT).inner_join(tagged.names.select("tag_id", "tag"), "tag_id")
    clicks = (ibis.least(kept.all_clicked, kept.all_shown) + 1) / (kept.all_shown + 2)
    passed, back = _passed_over(kept), _sent_back(kept)
    refunds = ibis.ifelse(back, ibis.least(kept.refunded / ibis.greatest(kept.bought, 1), 1.0), 0.0)
    unlikely = ibis.ifelse(passed, 1 - (1 - clicks) ** kept.shown, 0.0)
    return kept.select(
        "user_id",
        "kind",
        "tag",
        "rank",
        "last_ts",
        "shown",
        "opened",
        "refunded",
        events=kept.shown + kept.refunded,
        weight=ibis.ifelse(passed, 1.0, refunds),
        confidence=ibis.greatest(unlikely, ibis.ifelse(back, kept.refunded / (kept.refunded + 1), 0.0)),
    )


def _turned_down(events: ir.Table, tagged: Tagged, now: Now) -> ir.Table:
    """One row a visitor and category or brand: user_id, tag_id, kind, depth, n (events that speak for it), shown,
    clicked, opened, bought, refunded (events), last_ts (when it was last shown or sent back)."""
    said = _said(events, now, "exposure")
    by_item = said.group_by("user_id", "item_id").aggregate(
        n=said.count(where=said.nano > 0),
        shown=said.count(where=said.type == "exposure"),
        clicked=said.count(where=said.type == "click"),
        viewed=said.count(where=said.type == "item_view"),
        bought=said.count(where=said.type == "purchase"),
        refunded=said.count(where=said.type == "refund"),
        last_ts=said.ts.max(where=said.type.isin(("exposure", "refund"))),
    )
    names = tagged.names.filter(tagged.names.kind.isin(AVOIDED)).drop("tag")
    joined = by_item.inner_join(tagged.of_item.semi_join(names, "tag_id"), "item_id")
    counts = ("n", "shown", "clicked", "bought", "refunded")
    sums = joined.group_by("user_id", "tag_id").aggregate(
        *(joined[name].sum().name(name) for name in counts),
        opened=ibis.greatest(joined.clicked, joined.viewed).sum(),
        last_ts=joined.last_ts.max(),
    )
    return sums.inner_join(names, "tag_id")


def _passed_over(tags: ir.Table) -> ir.Value:
    return (tags.shown >= OFTEN) & (tags.n == 0)


def _sent_back(tags: ir.Table) -> ir.Value:
    return (tags.refunded >= SENT_BACK) & (2 * tags.refunded >= tags.bought)


def _said(events: ir.Table, now: Now, *others: str) -> ir.Table:
    """Events of items that count, and those of `others`: user_id, item_id, ts, type, nano (their decayed strength in
    whole billionths). They are to be added up by item first: items have a handful of tags each."""
    spoken = events.filter(events.type.isin((*STRENGTH, *others)) & events.item_id.notnull())
    strength = spoken.type.cases(*STRENGTH.items(), else_=0).cast("float64")
    if now.half_life_days is not None:
        age = (now.us - spoken.ts_us) / (now.half_life_days * DAY_US)
        strength = strength * ibis.literal(0.5) ** age
    return spoken.select("user_id", "item_id", "ts", "type", nano=(strength * NANO).round().cast("int64"))


def item_facts(items: ir.Table, trades: ir.Table) -> ir.Table:
    """item_id, cost, root (category), path (the whole category), price_level_e9 of every item of the catalogue or of
    a purchase.

    price_level_e9: where the item's price stands among the items of its root category, in billionths (its ridit: the
    share of items that cost less, plus half of those that cost the same). The price is the catalogue's, else what
    was paid for one on average.
    """
    bought = trades.filter(trades.is_purchase & trades.item_id.notnull() & (trades.units_e4 > 0))
    paid = bought.group_by("item_id").aggregate(paid=bought.amount.sum() * 10_000 / bought.units_e4.sum())
    path = ibis.ifelse(items.category.length() > 0, items.category[0:DEPTH].join(CATEGORY_SEPARATOR), None)
    known = items.select("item_id", "cost", "price", root=items.category[0], path=path)
    both = known.outer_join(paid, "item_id")
    facts = both.select(
        "cost",
        "path",
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
        "path",
        price_level_e9=ibis.ifelse(
            priced.known,
            ((2 * cheaper + alike) * 1_000_000_000 / (2 * of_root)).round().cast("int64"),
            ibis.null("int64"),
        ),
    )
