"""Social: what the visitor shares, whom it brings, and what those friends pay."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from portraits.features.registry import at_most_one, feature
from portraits.grains.sharing import GENERATIONS
from portraits.local import Now

Z = 1.959963984540054
"""Standard normal quantile of a 95% interval."""


@feature("events", "int64", "events", empty=0, clock=True)
def shares_30d(events: ir.Table, now: Now) -> ir.Value:
    """Times something was shared during the last 30 days."""
    return events.count(where=(events.type == "share") & (events.ts_us >= now.days_ago(30)))


@feature("events", "int64", "groups", empty=0)
def groups_opened(events: ir.Table) -> ir.Value:
    """Group buys started."""
    return events.count(where=events.type == "group_open")


@feature("events", "int64", "groups", empty=0)
def groups_joined(events: ir.Table) -> ir.Value:
    """Group buys joined."""
    return events.count(where=events.type == "group_join")


@feature("events", "int64", "groups", empty=0)
def groups_succeeded(events: ir.Table) -> ir.Value:
    """Group buys that came about."""
    return events.count(where=events.type == "group_success")


@feature("events", "int64", "groups", empty=0)
def groups_failed(events: ir.Table) -> ir.Value:
    """Group buys that failed."""
    return events.count(where=events.type == "group_fail")


@feature("friends", "int64", "visitors", empty=0)
def friends_reached(friends: ir.Table) -> ir.Value:
    """Different other visitors, new or old, who came in by what the visitor shared. One's own clicks do not count,
    and of two who brought each other only the first to do so has reached the other."""
    return friends.count()


@feature("friends", "int64", "visitors", empty=0)
def paying_friends(friends: ir.Table) -> ir.Value:
    """Friends reached who paid within 24 hours of coming in; a purchase belongs to the last share that brought its
    buyer in."""
    return friends.count(where=friends.purchases > 0)


@feature("friends", "int64", "minor units", empty=0)
def friends_spend(friends: ir.Table) -> ir.Value:
    """What friends paid within 24 hours of coming in by what the visitor shared."""
    return friends.spend.sum()


@feature("friends", "timestamp('UTC', 6)", "UTC", minimum=None)
def last_friend(friends: ir.Table) -> ir.Value:
    """Last time that a friend came in by what the visitor shared."""
    return friends.last_ts.max()


@feature("kin", "string", "visitor", minimum=None)
def brought_by(kin: ir.Table) -> ir.Value:
    """Who brought the visitor to the shop: the first other visitor, there before, by whose share the visitor came in
    within 30 minutes of the first event. Null for those who came by themselves."""
    return kin.relative.max(where=kin.steps == -1)


@feature("kin", "int64", "steps", maximum=GENERATIONS, empty=0)
def brought_depth(kin: ir.Table) -> ir.Value:
    """How many visitors stand above in the share forest: 0 for who came alone, 2 for a friend's friend; 8 is 8 or
    more."""
    return ibis.greatest(-kin.steps.min(), 0)


@feature("kin", "int64", "visitors", empty=0)
def friends_brought(kin: ir.Table) -> ir.Value:
    """New visitors whom the visitor brought to the shop; everybody is brought once at most."""
    return kin.count(where=kin.steps == 1)


@feature("kin", "int64", "visitors", empty=0)
def buyers_brought(kin: ir.Table) -> ir.Value:
    """Of friends_brought, those who have bought since."""
    return kin.count(where=(kin.steps == 1) & kin.buyer)


@feature("kin", "int64", "visitors", empty=0)
def tree_size(kin: ir.Table) -> ir.Value:
    """Visitors below in the share forest: friends brought, their friends, and so on for 8 steps."""
    return kin.count(where=kin.steps > 0)


@feature("kin", "int64", "steps", maximum=GENERATIONS, empty=0)
def tree_depth(kin: ir.Table) -> ir.Value:
    """How many generations the share forest goes on below the visitor; 8 is 8 or more."""
    return ibis.greatest(kin.steps.max(), 0)


@feature("portrait", "float64", "friends", clock=True)
def friends_per_share(portrait: ir.Table) -> ir.Value:
    """Friends reached for each share made."""
    return portrait.friends_reached / portrait.shares.nullif(0)


@feature("portrait", "float64", "share", maximum=1, clock=True)
def friends_paid_share(portrait: ir.Table) -> ir.Value:
    """Share of the friends reached who paid within 24 hours of coming in."""
    return portrait.paying_friends / portrait.friends_reached.nullif(0)


@feature("portrait", "float64", "share", maximum=1, clock=True)
def friends_paid_low(portrait: ir.Table) -> ir.Value:
    """Lower end of the 95% interval of friends_paid_share (Wilson 1927): few friends prove little."""
    low = _wilson(portrait, -Z)
    return ibis.ifelse(low < 0, 0.0, low)


@feature("portrait", "float64", "share", maximum=1, clock=True)
def friends_paid_high(portrait: ir.Table) -> ir.Value:
    """Upper end of the 95% interval of friends_paid_share."""
    return at_most_one(_wilson(portrait, Z))


@feature("portrait", "float64", "visitors", empty=0, clock=True)
def sharer_score(portrait: ir.Table) -> ir.Value:
    """Paying friends that can be counted on: friends reached times the lower end of the share who paid. Key sharers
    are those with the highest score; above 1, at least one paying friend is no luck."""
    return (portrait.friends_reached * portrait.friends_paid_low).fill_null(0.0)


def _wilson(portrait: ir.Table, z: float) -> ir.Value:
    """End of Wilson's score interval on the side of z's sign; null without friends."""
    n, k = portrait.friends_reached.nullif(0), portrait.paying_friends
    spread = (k * (n - k) / n + z * z / 4).sqrt()
    return (k + z * z / 2 + z * spread) / (n + z * z)
