"""Members: what the catalogue says of them, and the permissions to write to them."""

from __future__ import annotations

from datetime import datetime

import ibis
import ibis.expr.types as ir

from portraits.local import microseconds

SPOKEN = ("subscribe", "message_sent", "unsubscribe")
"""What moves the permissions for messages; of one moment in this order."""


def members(users: ir.Table, as_of: datetime) -> ir.Table:
    """user_id, member_tier, points, joined_us (null where the visitor joins only at T or later)."""
    joined = ibis.ifelse(users.joined_at < ibis.literal(as_of, "timestamp('UTC')"), users.joined_at, None)
    return users.select("user_id", "member_tier", "points", joined_us=microseconds(joined))


def permissions(events: ir.Table) -> ir.Table:
    """One row a permission given (step 1) or used (step -1) since the visitor last unsubscribed: user_id, step, and
    `held`, the sum of the steps up to it.

    Platforms grant messages one by one: each consent allows one message, and an end of the subscription voids them
    all. A message without a permission (a service notice) takes none, so what is left is the last `held` minus the
    lowest that it ever was below zero.
    """
    moved = events.filter(events.type.isin(SPOKEN)).select("user_id", "type", "ts_us")
    order = moved.type.cases(*((name, place) for place, name in enumerate(SPOKEN)), else_=0).cast("int64")
    moved = moved.mutate(order_us=moved.ts_us * len(SPOKEN) + order)
    void = moved.order_us.max(where=moved.type == "unsubscribe").over(ibis.window(group_by="user_id"))
    moved = moved.mutate(void_us=void)
    since = moved.filter(moved.void_us.isnull() | (moved.order_us > moved.void_us))
    steps = since.mutate(step=ibis.ifelse(since.type == "subscribe", 1, -1).cast("int64"))
    so_far = ibis.window(group_by="user_id", order_by="order_us", preceding=None, following=0)
    return steps.select("user_id", "step", held=steps.step.sum().over(so_far))
