"""Rhythms: what comes back, by the day of the month and by what is bought."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from portraits.local import Now, date_of_day

PAYDAYS = (5, 10, 15, 25)
"""Usual paydays, as days of the month."""
SPREE_DAYS = 3
"""A payday is felt on so many days, itself the first."""
MONTH_DAYS = 30.4375
"""Days in a month, on average."""
GIVEN_UP = 3
"""A thing that is more than so many gaps overdue is not due any more: it is over."""


def paydays(orders: ir.Table) -> ir.Table:
    """One row a visitor and payday after which there were orders, and one (payday 0) for the other days: user_id,
    payday, orders, spend, share (of the visitor's spend), last_ts, confidence.

    Orders that pay no heed to a payday fall into its days with chance q = SPREE_DAYS / MONTH_DAYS. With k of n orders
    there, z = (k - n q) / sqrt(n q (1 - q)) standard deviations more than that, confidence is z^2 / (1 + z^2) for
    z > 0, else 0: by Cantelli's inequality, whatever the distribution, chance alone goes so far at most as often as 1
    minus that.
    """
    month_day = date_of_day(orders.day).day().cast("int64")
    after = ibis.cases(*((month_day.between(day, day + SPREE_DAYS - 1), day) for day in PAYDAYS), else_=0)
    placed = orders.select("user_id", "ts", "spend", payday=after.cast("int64"))
    found = placed.group_by("user_id", "payday").aggregate(
        orders=placed.count(), spend=placed.spend.sum(), last_ts=placed.ts.max()
    )
    person = ibis.window(group_by="user_id")
    whole = found.mutate(n=found.orders.sum().over(person), total=found.spend.sum().over(person))
    q = SPREE_DAYS / MONTH_DAYS
    # As decimals, which whole numbers times a share are to the engine, squares outgrow 38 digits.
    k, n = whole.orders.cast("float64"), whole.n.cast("float64")
    more = k - n * q
    z2 = more * more / (n * (q * (1 - q)))
    return whole.select(
        "user_id",
        "payday",
        "orders",
        "spend",
        "last_ts",
        share=whole.spend / whole.total.nullif(0),
        confidence=ibis.ifelse(more > 0, z2 / (1 + z2), 0.0),
    )


def refills(lines: ir.Table, now: Now) -> ir.Table:
    """One row a visitor and category path or item that was bought on two days or more (void lines aside): user_id,
    kind (category or item), tag, gap (median days between two), orders (days), last_day and due_day (day numbers),
    overdue (days since the last, in gaps), confidence.

    confidence = n / (n + 2) / (1 + v) for n gaps with v = variance over squared mean: little to go by, or gaps as
    irregular as chance would have them (v = 1), make it small.
    """
    bought = lines.filter(lines.is_purchase & ~lines.cancelled)
    kinds = {"category": bought.path, "item": bought.item_id}
    days = ibis.union(
        *(
            bought.filter(tag.notnull()).select("user_id", "day", kind=ibis.literal(kind), tag=tag).distinct()
            for kind, tag in kinds.items()
        )
    )
    thing = ["user_id", "kind", "tag"]
    gaps = days.mutate(gap=days.day - days.day.lag().over(ibis.window(group_by=thing, order_by="day")))
    found = gaps.group_by(thing).aggregate(
        gap=gaps.gap.quantile(0.5),
        orders=gaps.count(),
        last_day=gaps.day.max(),
        whole=gaps.gap.sum(),
        squares=(gaps.gap * gaps.gap).sum(),
    )
    found = found.filter(found.orders >= 2)
    return found.select(
        *thing,
        "gap",
        "orders",
        "last_day",
        due_day=found.last_day + found.gap.ceil().cast("int64"),
        overdue=(now.day - found.last_day) / found.gap,
        confidence=found.whole * found.whole / ((found.orders + 1) * found.squares),
    )
