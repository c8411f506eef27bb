"""Membership: tier, tenure, points, benefits used, and what may still be sent."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from portraits.features.registry import at_most_one, feature
from portraits.local import DAY_US, Now


@feature("members", "string", "tier", minimum=None)
def member_tier(members: ir.Table) -> ir.Value:
    """Membership tier, as the users catalogue has it."""
    return members.member_tier.max()


@feature("members", "int64", "days", clock=True)
def member_days(members: ir.Table, now: Now) -> ir.Value:
    """Whole days of 24 hours since the visitor became a member (joined_at)."""
    return ((now.us - members.joined_us.min()) / DAY_US).floor()


@feature("members", "int64", "points", minimum=None)
def points_held(members: ir.Table) -> ir.Value:
    """Points held, as the users catalogue has it."""
    return members.points.sum()


@feature("events", "int64", "points", empty=0)
def points_earned(events: ir.Table) -> ir.Value:
    """Points earned by events."""
    return events.points.sum(where=events.points > 0)


@feature("events", "int64", "points", empty=0)
def points_spent(events: ir.Table) -> ir.Value:
    """Points spent by events."""
    return -events.points.sum(where=events.points < 0)


@feature("coupons", "int64", "benefits", empty=0)
def benefits_used(coupons: ir.Table) -> ir.Value:
    """Members' offers (kind member) redeemed."""
    return coupons.redeemed.sum(where=coupons.kind == "member")


@feature("events", "int64", "messages", empty=0)
def messages_sent(events: ir.Table) -> ir.Value:
    """Messages sent to the visitor."""
    return events.count(where=events.type == "message_sent")


@feature("events", "int64", "messages", empty=0)
def messages_opened(events: ir.Table) -> ir.Value:
    """Messages the visitor opened."""
    return events.count(where=events.type == "message_open")


@feature("permissions", "int64", "messages", empty=0)
def permissions_left(permissions: ir.Table) -> ir.Value:
    """Messages that may still be sent: every subscribe allows one, every message sent uses one up if there is one, and
    unsubscribe voids them all. Platforms grant single messages; a lasting subscription is worth more than this."""
    return permissions.step.sum() - ibis.least(permissions.held.min(), 0)


@feature("portrait", "float64", "share", maximum=1)
def message_open_share(portrait: ir.Table) -> ir.Value:
    """Messages opened as a share of messages sent, at most 1."""
    return at_most_one(portrait.messages_opened / portrait.messages_sent.nullif(0))
