"""Trading: purchases, refunds and cancellations, as order lines and as orders.

What becomes of an order's money. Only events that carry money move money: a purchase pays, and a refund, an event of
its own, gives back. A cancellation carries none, but it says that the order, or one line of it (where it names an
item), is void. Most shops send both, the cancellation and the refund that pays it back; some send the cancellation
alone. So a cancellation gives back what is left of the void lines after the refunds that concern them (those of the
same order, for a void item or for none in particular): the money is back in both cases, and never twice.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from portraits.local import Zone, day_number

TYPES = ("purchase", "refund", "order_cancel")
PAYERS = ("merchant", "platform", "supplier")
"""Who pays for an offer, as the contract has it."""


def trades(events: ir.Table, zone: Zone) -> ir.Table:
    """One row a purchase, refund or cancellation. order_key: the order_id, or the moment where there is none;
    cancelled: the line is void."""
    rows = events.filter(events.type.isin(TYPES))
    rows = rows.select(
        "user_id",
        "ts",
        "ts_us",
        "item_id",
        "list_amount",
        "discount",
        "offer_id",
        "content_id",
        is_purchase=rows.type == "purchase",
        is_refund=rows.type == "refund",
        is_cancel=rows.type == "order_cancel",
        order_key=rows.order_id.fill_null(ibis.literal("at ") + rows.ts_us.cast("string")),
        units_e4=(rows.quantity.fill_null(1) * 10_000).cast("int64"),
        amount=rows.amount.fill_null(0),
        day=day_number(zone.local_us(rows.ts_us)),
    ).cache()
    void = rows.filter(rows.is_cancel)
    void = void.group_by("user_id", "order_key").aggregate(
        whole=void.item_id.isnull().any(), void_items=void.item_id.collect()
    )
    joined = rows.left_join(void, ["user_id", "order_key"])
    cancelled = (joined.whole | joined.void_items.contains(joined.item_id)).fill_null(False)
    return joined.select(*rows.columns, cancelled=cancelled)


def lines(trades: ir.Table, items: ir.Table, offers: ir.Table) -> ir.Table:
    """`trades` with what is known of each item (`items`: see `tags.item_facts`); `payer`, of the offer that a line
    was bought with; and `listed` (list price), `saved` and `saved_e9` (the share saved, in billionths) of purchases
    that tell."""
    joined = trades.left_join(items, "item_id").drop("item_id_right")
    paid = offers.filter(offers.payer.isin(PAYERS)).select("offer_id", "payer")
    joined = joined.left_join(paid, "offer_id").drop("offer_id_right")
    listed = ibis.coalesce(joined.list_amount, joined.amount + joined.discount)
    listed = ibis.ifelse(joined.is_purchase, listed, None)
    saved = ibis.coalesce(joined.discount, joined.list_amount - joined.amount)
    within = ibis.least(ibis.greatest(saved, 0), listed)
    told = joined.mutate(listed=listed, saved=ibis.ifelse(listed.notnull(), within, None))
    billionths = told.saved.cast("float64") * 1_000_000_000 / told.listed.nullif(0)
    return told.mutate(saved_e9=billionths.round().cast("int64"))


def orders(trades: ir.Table) -> ir.Table:
    """user_id, order_key, ts and ts_us of its first line, local day, spend, lines, items (different ones), void (lines
    cancelled), undone (money that a cancellation gives back: see above)."""
    refunds = ibis.ifelse(trades.is_refund & (trades.cancelled | trades.item_id.isnull()), trades.amount, 0)
    void = trades.is_purchase & trades.cancelled
    by_item = trades.group_by("user_id", "order_key", "item_id").aggregate(
        ts=trades.ts.min(where=trades.is_purchase),
        ts_us=trades.ts_us.min(where=trades.is_purchase),
        day=trades.day.min(where=trades.is_purchase),
        spend=trades.amount.sum(where=trades.is_purchase).fill_null(0),
        lines=trades.count(where=trades.is_purchase),
        void=trades.count(where=void),
        undone=trades.amount.sum(where=void).fill_null(0) - refunds.sum(),
    )
    found = by_item.group_by("user_id", "order_key").aggregate(
        ts=by_item.ts.min(),
        ts_us=by_item.ts_us.min(),
        day=by_item.day.min(),
        spend=by_item.spend.sum(),
        lines=by_item.lines.sum(),
        items=by_item.count(where=(by_item.lines > 0) & by_item.item_id.notnull()),
        void=by_item.void.sum(),
        undone=by_item.undone.sum(),
    )
    kept = found.filter(found.lines > 0)
    return kept.mutate(undone=ibis.greatest(kept.undone, 0))
