"""Sharing: who came in by what whom shared, what they paid then, and the share forest.

An *arrival* is an event of a visitor that names another visitor as its referrer. Opening one's own share is none, nor
is a referrer who is not among the visitors (unknown, refused, or nothing but test traffic). Two readings stand on it:

- *friends*: pairs of sharer and friend. Where two brought each other, only the one who was first counts, so that a
  pair cannot grow by clicking in turn. A purchase belongs to the last arrival within 24 hours before it.
- *the share forest*: who brought whom to the shop. A visitor is brought once: by the first referrer within 30 minutes
  (a session's silence) of the visitor's first event, and only by somebody who had been there before. A parent is
  always older than the child, so loops cannot exist. Relatives are followed for `GENERATIONS` steps by repeated
  joins: chains of shares are short, every step costs one join of a small table, and the walk ends early where no
  relative is left.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from portraits.local import DAY_US
from portraits.sessions import SILENCE_US

GENERATIONS = 8
"""Steps up and down the share forest; depths end here."""


def arrivals(events: ir.Table, visits: ir.Table) -> ir.Table:
    """One row an arrival: friend, sharer, ts, at_us, is_first (the friend's first event lies at most 30 minutes back,
    the sharer's before that). `events` and `visits` are grains."""
    seen = visits.group_by("user_id").aggregate(seen_us=visits.start_us.min())
    named = events.filter(events.own & events.referrer_user_id.notnull() & (events.referrer_user_id != events.user_id))
    came = named.select(friend="user_id", sharer="referrer_user_id", ts="ts", at_us="ts_us").distinct()
    known = came.inner_join(seen.select(friend="user_id", friend_us="seen_us"), "friend")
    both = known.inner_join(seen.select(sharer="user_id", sharer_us="seen_us"), "sharer")
    is_first = (both.at_us - both.friend_us <= SILENCE_US) & (both.sharer_us < both.friend_us)
    return both.select("friend", "sharer", "ts", "at_us", is_first=is_first)


def friends(arrivals: ir.Table, trades: ir.Table) -> ir.Table:
    """One row a sharer and friend: user_id (the sharer), friend, last_ts (of the arrivals), purchases (moments at
    which the friend paid within 24 hours of arriving) and their spend."""
    pairs = arrivals.group_by("friend", "sharer").aggregate(at_us=arrivals.at_us.min(), last_ts=arrivals.ts.max())
    turned = pairs.select(friend="sharer", sharer="friend", back_us="at_us")
    both = pairs.left_join(turned, ["friend", "sharer"]).select(pairs, "back_us")
    loops = (both.back_us < both.at_us) | ((both.back_us == both.at_us) & (both.sharer > both.friend))
    kept = both.filter(~loops.fill_null(False)).drop("back_us").cache()
    led = _led(arrivals.semi_join(kept, ["friend", "sharer"]), trades)
    joined = kept.left_join(led, ["friend", "sharer"])
    return joined.select(
        "friend",
        "last_ts",
        user_id="sharer",
        purchases=joined.purchases.fill_null(0),
        spend=joined.spend.fill_null(0),
    )


def _led(arrivals: ir.Table, trades: ir.Table) -> ir.Table:
    """friend, sharer, purchases, spend of the pairs with purchases: each belongs to the last arrival before it."""
    bought = trades.filter(trades.is_purchase).semi_join(arrivals, trades.user_id == arrivals.friend)
    paid = bought.group_by(friend="user_id", paid_us="ts_us").aggregate(spend=bought.amount.sum())
    joined = paid.inner_join(arrivals, "friend")
    within = joined.filter((joined.at_us <= joined.paid_us) & (joined.paid_us < joined.at_us + DAY_US))
    last_first = ibis.window(group_by=["friend", "paid_us"], order_by=[within.at_us.desc(), within.sharer.asc()])
    ranked = within.mutate(rank=ibis.row_number().over(last_first))
    own = ranked.filter(ranked["rank"] == 0)
    return own.group_by("friend", "sharer").aggregate(purchases=own.count(), spend=own.spend.sum())


def forest(arrivals: ir.Table) -> ir.Table:
    """The share forest: child, parent; one row a visitor who was brought."""
    firsts = arrivals.filter(arrivals.is_first)
    in_order = ibis.window(group_by="friend", order_by=[firsts.at_us.asc(), firsts.sharer.asc()])
    ranked = firsts.mutate(rank=ibis.row_number().over(in_order))
    return ranked.filter(ranked["rank"] == 0).select(child="friend", parent="sharer")


def kin(forest: ir.Table, trades: ir.Table) -> ir.Table:
    """One row a visitor and relative, at most GENERATIONS steps apart: user_id, relative, steps (up: below 0, down:
    above 0), buyer (the relative has bought)."""
    edges = forest.cache()
    upwards, line = [], edges.select("child", ancestor="parent")
    for steps in range(1, GENERATIONS + 1):
        upwards.append(line.mutate(steps=ibis.literal(steps, "int64")))
        above = edges.select(ancestor="child", further="parent")
        line = line.inner_join(above, "ancestor").select("child", ancestor="further").cache()
        if line.count().execute() == 0:
            break
    pairs = ibis.union(*upwards) if len(upwards) > 1 else upwards[0]
    up = pairs.select(user_id="child", relative="ancestor", steps=-pairs.steps)
    down = pairs.select(user_id="ancestor", relative="child", steps="steps")
    buyers = trades.filter(trades.is_purchase).select(relative="user_id").distinct().mutate(buyer=True)
    both = up.union(down).left_join(buyers, "relative").drop("relative_right")
    return both.mutate(buyer=both.buyer.fill_null(False))
