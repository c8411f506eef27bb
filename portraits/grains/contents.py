"""Contents: what visitors read and watch, what they buy by it, and which categories it shows them.

A purchase belongs to the content that it names; else to the last content that showed the visitor its item within 24
hours before: one that the visitor opened and whose catalogue row has the item, or one that another event about the
item names. One order line belongs to at most one content.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from portraits.grains.tags import NANO, Tagged, strongest
from portraits.local import DAY_US, Now


def contents(events: ir.Table, trades: ir.Table, catalogue: ir.Table) -> ir.Table:
    """One row a visitor and content opened or bought by: user_id, content_id, kind (null where unknown), views,
    purchases (order lines led to), spend, last_ts (of views and purchases), rank (from 0: most spend, then most
    views, then by name)."""
    events = events.filter(events.content_id.notnull())
    events = events.select("user_id", "ts", "ts_us", "type", "own", "item_id", "content_id").cache()  # few, read thrice
    opened = _opened(events)
    viewed = opened.group_by("user_id", "content_id").aggregate(views=opened.count(), last_ts=opened.ts.max())
    led = _led(_touches(events, catalogue), trades)
    no = ibis.literal(0, "int64")
    rows = viewed.mutate(purchases=no, spend=no).union(
        led.select("user_id", "content_id", "last_ts", "purchases", "spend", views=no).select(
            "user_id", "content_id", "views", "last_ts", "purchases", "spend"
        )
    )
    found = rows.group_by("user_id", "content_id").aggregate(
        **{name: rows[name].sum() for name in ("views", "purchases", "spend")}, last_ts=rows.last_ts.max()
    )
    named = found.left_join(catalogue.select("content_id", "kind"), "content_id").drop("content_id_right")
    best_first = ibis.window(
        group_by="user_id", order_by=[named.spend.desc(), named.views.desc(), named.content_id.asc()]
    )
    return named.mutate(rank=ibis.row_number().over(best_first))


def kinds(contents: ir.Table) -> ir.Table:
    """One row a visitor and known kind, of `contents`: user_id, kind, views, purchases, spend, rank (from 0: most
    views, then by name)."""
    known = contents.filter(contents.kind.notnull())
    found = known.group_by("user_id", "kind").aggregate(
        **{name: known[name].sum() for name in ("views", "purchases", "spend")}
    )
    best_first = ibis.window(group_by="user_id", order_by=[found.views.desc(), found.kind.asc()])
    return found.mutate(rank=ibis.row_number().over(best_first))


def tastes(events: ir.Table, catalogue: ir.Table, tagged: Tagged, now: Now) -> ir.Table:
    """One row a visitor and category shown by contents opened, the strongest KEPT: user_id, tag, rank (from 0),
    weight, events (views), last_ts, confidence.

    As `tags.likes`: each view counts 1, halved every half-life, shared out over the items that the content shows;
    sums are whole billionths.
    """
    opened = _opened(events)
    decay = ibis.literal(1.0)
    if now.half_life_days is not None:
        decay = ibis.literal(0.5) ** ((now.us - opened.ts_us) / (now.half_life_days * DAY_US))
    said = opened.mutate(nano=(decay * NANO).round().cast("int64"))
    viewed = said.group_by("user_id", "content_id").aggregate(
        nano=said.nano.sum(), n=said.count(), last_ts=said.ts.max()
    )
    joined = viewed.inner_join(_categories(catalogue, tagged), "content_id")
    felt = joined.mutate(strength=joined.nano * joined.tagged // joined.shown)
    sums = felt.group_by("user_id", "tag_id").aggregate(
        strength=felt.strength.sum(), events=felt.n.sum(), last_ts=felt.last_ts.max(), depth=felt.depth.max()
    )
    sums = sums.filter(sums.strength > 0)
    return strongest(sums, tagged, ["user_id"]).drop("depth")


def _opened(events: ir.Table) -> ir.Table:
    opened = events.filter((events.type == "content_view") & events.content_id.notnull())
    return opened.select("user_id", "content_id", "ts", "ts_us")


def _shown(catalogue: ir.Table) -> ir.Table:
    """content_id, item_id: which content shows which items, each once."""
    return catalogue.select("content_id", item_id=catalogue.item_ids.unnest()).distinct()


def _touches(events: ir.Table, catalogue: ir.Table) -> ir.Table:
    """user_id, item_id, content_id, at_us: moments at which a content led the visitor to an item."""
    opened = _opened(events).inner_join(_shown(catalogue), "content_id")
    direct = events.filter(
        events.own & events.content_id.notnull() & events.item_id.notnull() & (events.type != "purchase")
    )
    columns = ("user_id", "item_id", "content_id")
    return opened.select(*columns, at_us="ts_us").union(direct.select(*columns, at_us="ts_us"))


def _led(touches: ir.Table, trades: ir.Table) -> ir.Table:
    """user_id, content_id, purchases, spend, last_ts of the contents that led to order lines."""
    lines = trades.filter(trades.is_purchase)
    by = ("user_id", "item_id", "content_id", "ts")
    sold = lines.group_by(*by, paid_us=lines.ts_us).aggregate(purchases=lines.count(), spend=lines.amount.sum())
    kept = ("user_id", "content_id", "ts", "purchases", "spend")
    named = sold.filter(sold.content_id.notnull()).select(*kept)
    nameless = sold.filter(sold.content_id.isnull() & sold.item_id.notnull()).drop("content_id")
    joined = nameless.inner_join(touches, ["user_id", "item_id"])
    within = joined.filter((joined.at_us <= joined.paid_us) & (joined.paid_us < joined.at_us + DAY_US))
    last_first = ibis.window(
        group_by=["user_id", "item_id", "paid_us"], order_by=[within.at_us.desc(), within.content_id.asc()]
    )
    ranked = within.mutate(rank=ibis.row_number().over(last_first))
    both = named.union(ranked.filter(ranked["rank"] == 0).select(*kept))
    return both.group_by("user_id", "content_id").aggregate(
        purchases=both.purchases.sum(), spend=both.spend.sum(), last_ts=both.ts.max()
    )


def _categories(catalogue: ir.Table, tagged: Tagged) -> ir.Table:
    """content_id, tag_id, depth, tagged (how many of the content's items have the category), shown (of how many)."""
    shown = _shown(catalogue)
    size = shown.group_by("content_id").aggregate(shown=shown.count())
    names = tagged.names.filter(tagged.names.kind == "category").select("tag_id", "depth")
    of_item = shown.inner_join(tagged.of_item, "item_id").inner_join(names, "tag_id")
    counted = of_item.group_by("content_id", "tag_id", "depth").aggregate(tagged=of_item.count())
    return counted.inner_join(size, "content_id").cache()
