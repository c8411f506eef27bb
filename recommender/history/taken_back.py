"""What was done and then taken back: carts emptied, favourites unmarked, orders cancelled or paid back in full.

Such an event is no tie any more, from the moment on at which it was taken back: `Dataset.before` an earlier moment
still has it, since nobody could know. A cancellation names an order, and the item where only a line of it is void. A
refund takes back what it pays back in full (or without saying how much), a line or an order; what pays back a part
leaves the purchase. One of either that names an item and no order concerns what was bought of it until then. By day
`recommender.answers.returns` reads them so.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

TAKEN_BACK = {
    "cart": ("cart_remove",),
    "favorite": ("unfavorite",),
    "purchase": ("order_cancel", "refund"),
}
"""Events that can be taken back, and by which."""


def with_backs(events: ir.Table, kinds: tuple[str, ...]) -> ir.Table:
    """The events of these types with an item: user_id, item_id, ts_us, type, back_us (when it was taken back, else
    null). events: of the columns of `Past.events`."""
    items = events.filter(events.item_id.notnull())
    final = [kind for kind in kinds if kind not in TAKEN_BACK]
    columns = ("user_id", "item_id", "ts_us", "type")
    plain = items.filter(items.type.isin(final)).select(*columns, back_us=ibis.null("int64"))
    rest = _sent_back(_put_away(items), events)
    return plain.union(rest.filter(rest.type.isin(kinds)).select(*columns, "back_us"))


def _put_away(items: ir.Table) -> ir.Table:
    """Events that can be taken back: user_id, item_id, ts_us, type, order_id, back_us (the next event of the same
    visitor and item, or of the same moment, that takes back such a one; of orders only those that name none)."""
    backs = {back: kind for kind, several in TAKEN_BACK.items() for back in several}
    rows = items.filter(items.type.isin((*TAKEN_BACK, *backs)))
    rows = rows.filter(rows.order_id.isnull() | rows.type.notin(TAKEN_BACK["purchase"]))
    taking = rows.type.isin(list(backs))
    family = rows.type.cases(*backs.items(), else_=rows.type)
    rows = rows.select("user_id", "item_id", "ts_us", "type", "order_id", taking=taking, family=family)
    next_ones = ibis.window(
        group_by=["user_id", "item_id", "family"], order_by=["ts_us", "taking"], preceding=0, following=None
    )
    found = rows.mutate(back_us=ibis.ifelse(rows.taking, rows.ts_us, None).min().over(next_ones))
    return found.filter(~found.taking).drop("taking", "family")


def _sent_back(rows: ir.Table, events: ir.Table) -> ir.Table:
    """`rows`, with `back_us` of purchases whose order, or line of it, is void or was paid back."""
    money = events.filter(events.type.isin(("purchase", *TAKEN_BACK["purchase"])) & events.order_id.notnull())
    money = money.mutate(
        amount=money.amount.fill_null(0),
        bought=money.type == "purchase",
        cancel=money.type == "order_cancel",
        refund=money.type == "refund",
    )
    lines = money.group_by("user_id", "order_id", "item_id").aggregate(
        paid=money.amount.sum(where=money.bought).fill_null(0),
        back=money.amount.sum(where=money.refund).fill_null(0),
        refund_us=money.ts_us.max(where=money.refund),
        void_us=money.ts_us.min(where=money.cancel),
    )
    whole = lines.item_id.isnull()
    orders = lines.group_by("user_id", "order_id").aggregate(
        paid=lines.paid.sum(),
        back=lines.back.sum(),
        refund_us=lines.refund_us.max(),
        named=lines.refund_us.count(where=whole),
        void_us=lines.void_us.min(where=whole),
    )
    all_back = (orders.back > 0) & (orders.back >= orders.paid) | (orders.back == 0) & (orders.named > 0)
    orders = orders.select(
        "user_id", "order_id", order_us=ibis.least(orders.void_us, ibis.ifelse(all_back, orders.refund_us, None))
    )
    line_back = (lines.back == 0) | (lines.back >= lines.paid)
    lines = lines.filter(lines.item_id.notnull()).select(
        "user_id",
        "order_id",
        "item_id",
        type=ibis.literal("purchase"),
        line_us=ibis.least(lines.void_us, ibis.ifelse(line_back, lines.refund_us, None)),
    )
    orders = orders.filter(orders.order_us.notnull()).mutate(type=ibis.literal("purchase"))
    lines = lines.filter(lines.line_us.notnull())
    found = rows.left_join(orders, ["user_id", "order_id", "type"])
    found = found.drop([name for name in found.columns if name.endswith("_right")])
    found = found.left_join(lines, ["user_id", "order_id", "item_id", "type"])
    return found.mutate(back_us=ibis.least(found.back_us, found.order_us, found.line_us))
