"""Purchases: recency, frequency, money and where the customer stands."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from portraits.features.registry import elapsed_days, feature
from portraits.local import Now

STAGES = ("visitor", "new", "active", "loyal", "slipping", "asleep")
USUAL_GAP_DAYS = 30
"""Days between orders that are expected where neither the customer nor the shop has shown any."""


@feature("orders", "int64", "orders", empty=0)
def orders(orders: ir.Table) -> ir.Value:
    """Orders paid. Lines without an order_id that were paid at one moment are one order."""
    return orders.count()


@feature("orders", "int64", "orders", empty=0, clock=True)
def orders_30d(orders: ir.Table, now: Now) -> ir.Value:
    """Orders paid during the last 30 days."""
    return orders.count(where=orders.ts_us >= now.days_ago(30))


@feature("orders", "int64", "orders", empty=0, clock=True)
def orders_90d(orders: ir.Table, now: Now) -> ir.Value:
    """Orders paid during the last 90 days."""
    return orders.count(where=orders.ts_us >= now.days_ago(90))


@feature("orders", "int64", "minor units")
def largest_order(orders: ir.Table) -> ir.Value:
    """What the dearest order cost."""
    return orders.spend.max()


@feature("orders", "float64", "items")
def basket_items(orders: ir.Table) -> ir.Value:
    """Different items in an order, on average."""
    return orders["items"].sum() / orders.count()


@feature("orders", "int64", "items")
def largest_basket(orders: ir.Table) -> ir.Value:
    """Most different items in one order."""
    return orders["items"].max()


@feature("orders", "int64", "orders", empty=0)
def orders_cancelled(orders: ir.Table) -> ir.Value:
    """Orders paid of which every line was cancelled. They stay among the orders: they were wanted and paid."""
    return orders.count(where=orders.void == orders.lines)


@feature("orders", "int64", "minor units", empty=0)
def undone(orders: ir.Table) -> ir.Value:
    """Money of cancelled orders and lines that no refund event has given back: a cancellation undoes the payment as a
    refund would, and where both are sent the money is counted once, as refunded."""
    return orders.undone.sum()


@feature("lines", "int64", "lines", empty=0)
def lines(lines: ir.Table) -> ir.Value:
    """Order lines paid."""
    return lines.count(where=lines.is_purchase)


@feature("lines", "float64", "units", empty=0)
def units(lines: ir.Table) -> ir.Value:
    """Pieces bought (weighed goods by weight); a line without a quantity is one."""
    return lines.units_e4.sum(where=lines.is_purchase) / 10_000


@feature("lines", "int64", "items", empty=0)
def items_bought(lines: ir.Table) -> ir.Value:
    """Different items bought."""
    return lines.item_id.nunique(where=lines.is_purchase)


@feature("lines", "int64", "categories", empty=0)
def categories_bought(lines: ir.Table) -> ir.Value:
    """Different root categories bought from."""
    return lines.root.nullif("").nunique(where=lines.is_purchase)


@feature("lines", "int64", "minor units", empty=0)
def spend(lines: ir.Table) -> ir.Value:
    """Money paid, before refunds."""
    return lines.amount.sum(where=lines.is_purchase)


@feature("lines", "int64", "minor units", empty=0, clock=True)
def spend_30d(lines: ir.Table, now: Now) -> ir.Value:
    """Money paid during the last 30 days."""
    return lines.amount.sum(where=lines.is_purchase & (lines.ts_us >= now.days_ago(30)))


@feature("lines", "int64", "minor units", empty=0, clock=True)
def spend_90d(lines: ir.Table, now: Now) -> ir.Value:
    """Money paid during the last 90 days."""
    return lines.amount.sum(where=lines.is_purchase & (lines.ts_us >= now.days_ago(90)))


@feature("lines", "int64", "refunds", empty=0)
def refunds(lines: ir.Table) -> ir.Value:
    """Refunds received."""
    return lines.count(where=lines.is_refund)


@feature("lines", "int64", "minor units", empty=0)
def refunded(lines: ir.Table) -> ir.Value:
    """Money given back by refunds."""
    return lines.amount.sum(where=lines.is_refund)


@feature("lines", "int64", "minor units", minimum=None)
def margin(lines: ir.Table) -> ir.Value:
    """Paid minus cost, over the lines whose item has a known cost; cancelled lines and refunds not counted."""
    return _earned(lines).sum(where=_delivered(lines))


@feature("lines", "float64", "share", minimum=None, maximum=1)
def margin_share(lines: ir.Table) -> ir.Value:
    """Margin as a share of what was paid, over the same lines as margin; below 0 where they were sold below cost."""
    paid = lines.amount.sum(where=_delivered(lines) & lines.cost.notnull())
    return _earned(lines).sum(where=_delivered(lines)) / paid.nullif(0)


@feature("lines", "timestamp('UTC', 6)", "UTC", minimum=None, clock=True)
def first_order(lines: ir.Table) -> ir.Value:
    """First purchase."""
    return lines.ts.min(where=lines.is_purchase)


@feature("lines", "timestamp('UTC', 6)", "UTC", minimum=None, clock=True)
def last_order(lines: ir.Table) -> ir.Value:
    """Last purchase."""
    return lines.ts.max(where=lines.is_purchase)


@feature("order_days", "int64", "days", empty=0)
def order_days(order_days: ir.Table) -> ir.Value:
    """Local days with an order."""
    return order_days.count()


@feature("order_days", "float64", "days", minimum=1)
def order_gap_days(order_days: ir.Table) -> ir.Value:
    """Median number of days between one order day and the next; needs two order days."""
    return order_days.gap.quantile(0.5)


@feature("portrait", "int64", "minor units", minimum=None)
def net_spend(portrait: ir.Table) -> ir.Value:
    """Money paid minus money given back, by refunds and by cancellations."""
    return portrait.spend - portrait.refunded - portrait.undone


@feature("portrait", "float64", "minor units")
def order_value(portrait: ir.Table) -> ir.Value:
    """Average spend of an order."""
    return portrait.spend / portrait.orders.nullif(0)


@feature("portrait", "float64", "lines")
def basket_lines(portrait: ir.Table) -> ir.Value:
    """Lines in an order, on average."""
    return portrait["lines"] / portrait.orders.nullif(0)


@feature("portrait", "float64", "share")
def refund_share(portrait: ir.Table) -> ir.Value:
    """Money given back, by refunds and by cancellations, as a share of money paid; above 1 when refunds are for
    purchases before the history."""
    return (portrait.refunded + portrait.undone) / portrait.spend.nullif(0)


@feature("portrait", "float64", "share", maximum=1)
def cancel_share(portrait: ir.Table) -> ir.Value:
    """Share of orders that were cancelled whole."""
    return portrait.orders_cancelled / portrait.orders.nullif(0)


@feature("portrait", "int64", "days", clock=True)
def recency_days(portrait: ir.Table, now: Now) -> ir.Value:
    """Whole days of 24 hours since the last purchase."""
    return elapsed_days(portrait.last_order, now)


@feature("everyone", "int64", "class", minimum=1, maximum=5, clock=True)
def recency_class(portrait: ir.Table) -> ir.Value:
    """1 (bought longest ago) to 5 (most recently) among buyers; equals share a class."""
    return fifth(-portrait.recency_days)


@feature("everyone", "int64", "class", minimum=1, maximum=5)
def frequency_class(portrait: ir.Table) -> ir.Value:
    """1 (fewest orders) to 5 (most) among buyers; equals share a class."""
    return fifth(portrait.orders.nullif(0))


@feature("everyone", "int64", "class", minimum=1, maximum=5)
def money_class(portrait: ir.Table) -> ir.Value:
    """1 (least net spend) to 5 (most) among buyers; equals share a class."""
    return fifth(ibis.ifelse(portrait.orders > 0, portrait.net_spend, None))


@feature("everyone", "float64", "days", minimum=1, clock=True)
def expected_gap_days(portrait: ir.Table) -> ir.Value:
    """Days between orders to expect of a buyer: own median gap; of one with a single order day, the median of the
    shop's other buyers; 30 where the shop has none."""
    shop = portrait.order_gap_days.quantile(0.5).over(ibis.window())
    expected = ibis.coalesce(portrait.order_gap_days, shop, float(USUAL_GAP_DAYS))
    return ibis.ifelse(portrait.orders > 0, expected, None)


@feature("portrait", "string", "digits", minimum=None, clock=True)
def rfm(portrait: ir.Table) -> ir.Value:
    """The three classes as one word, recency first: 555 is the best customer, 111 the coldest."""
    classes = (portrait.recency_class, portrait.frequency_class, portrait.money_class)
    return classes[0].cast("string") + classes[1].cast("string") + classes[2].cast("string")


@feature("portrait", "float64", "ratio", clock=True)
def overdue(portrait: ir.Table) -> ir.Value:
    """Days since the last purchase, in expected gaps: 1 is due now, 2 is one whole gap late."""
    return portrait.recency_days / portrait.expected_gap_days


@feature("portrait", "string", "stage", minimum=None, values=STAGES, clock=True)
def stage(portrait: ir.Table) -> ir.Value:
    """Where the customer stands. visitor: never bought. asleep: last purchase more than 4 expected gaps ago.
    slipping: more than 2. Of the others, new: bought on one day only; loyal: on 4 days or more; active: the rest."""
    return ibis.cases(
        (portrait.orders == 0, "visitor"),
        (portrait.overdue > 4, "asleep"),
        (portrait.overdue > 2, "slipping"),
        (portrait.order_days <= 1, "new"),
        (portrait.order_days >= 4, "loyal"),
        else_="active",
    )


def _delivered(lines: ir.Table) -> ir.Value:
    return lines.is_purchase & ~lines.cancelled


def _earned(lines: ir.Table) -> ir.Value:
    cost = lines.cost.cast("float64") * lines.units_e4 / 10_000
    return lines.amount - cost.round().cast("int64")


def fifth(value: ir.Value) -> ir.Value:
    """Class 1 to 5 of `value` among its non-null values, null for null.

    The class is ceil(5 x ridit), a value's ridit being the share of values below it plus half the share of its equals
    (Bross 1958, "How to use ridit analysis"). Quantile cuts break down on ties and tiny shops; here equals always
    share a class, the classes of a shop are centred, and a single buyer is in the middle. Whole numbers throughout.
    """
    known = value.notnull()
    below = ibis.rank().over(ibis.window(group_by=known, order_by=value))
    equal = value.count().over(ibis.window(group_by=value))
    everyone = value.count().over(ibis.window(group_by=known))
    scaled = 5 * (2 * below + equal) + 2 * everyone - 1
    return ibis.ifelse(known, (scaled / (2 * everyone)).floor(), None)
