"""Visits: how often, how long and how deep."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from portraits.features.registry import elapsed_days, feature
from portraits.local import Now

STEPS = ("seen", "viewed", "carted", "bought")


@feature("events", "timestamp('UTC', 6)", "UTC", minimum=None, clock=True)
def first_seen(events: ir.Table) -> ir.Value:
    """First thing the visitor did."""
    return events.ts.min(where=events.own)


@feature("events", "timestamp('UTC', 6)", "UTC", minimum=None, clock=True)
def last_seen(events: ir.Table) -> ir.Value:
    """Last thing the visitor did."""
    return events.ts.max(where=events.own)


@feature("events", "int64", "events", empty=0)
def actions(events: ir.Table) -> ir.Value:
    """Events that the visitor did; messages received, expiries, refunds and the like are not among them."""
    return events.count(where=events.own)


@feature("events", "int64", "events", empty=0, clock=True)
def actions_30d(events: ir.Table, now: Now) -> ir.Value:
    """Events that the visitor did during the last 30 days."""
    return events.count(where=events.own & (events.ts_us >= now.days_ago(30)))


@feature("events", "int64", "events", empty=0)
def page_views(events: ir.Table) -> ir.Value:
    """Pages opened."""
    return events.count(where=events.type == "page_view")


@feature("events", "int64", "events", empty=0)
def item_views(events: ir.Table) -> ir.Value:
    """Item pages opened."""
    return events.count(where=events.type == "item_view")


@feature("events", "int64", "events", empty=0, clock=True)
def item_views_30d(events: ir.Table, now: Now) -> ir.Value:
    """Item pages opened during the last 30 days."""
    return events.count(where=(events.type == "item_view") & (events.ts_us >= now.days_ago(30)))


@feature("events", "int64", "events", empty=0)
def content_views(events: ir.Table) -> ir.Value:
    """Articles, videos and lives opened."""
    return events.count(where=events.type == "content_view")


@feature("events", "int64", "events", empty=0)
def searches(events: ir.Table) -> ir.Value:
    """Searches made."""
    return events.count(where=events.type == "search")


@feature("events", "int64", "events", empty=0)
def carts(events: ir.Table) -> ir.Value:
    """Times an item was put into the cart."""
    return events.count(where=events.type == "cart")


@feature("events", "int64", "events", empty=0)
def favorites(events: ir.Table) -> ir.Value:
    """Times an item was marked as favourite."""
    return events.count(where=events.type == "favorite")


@feature("events", "int64", "events", empty=0)
def shares(events: ir.Table) -> ir.Value:
    """Times something was shared."""
    return events.count(where=events.type == "share")


@feature("events", "int64", "events", empty=0)
def clicks(events: ir.Table) -> ir.Value:
    """Clicks on what was shown, advertisements included."""
    return events.count(where=events.type.isin(("click", "ad_click")))


@feature("events", "int64", "minor units", empty=0)
def revenue(events: ir.Table) -> ir.Value:
    """What advertisements and leads earned by this visitor."""
    return events.revenue.sum()


@feature("events", "float64", "seconds", empty=0)
def page_seconds(events: ir.Table) -> ir.Value:
    """Time on pages as the client measured it."""
    return events.duration_ms.sum() / 1000


@feature("visits", "int64", "visits", empty=0)
def visits(visits: ir.Table) -> ir.Value:
    """Visits (sessions): they end after 30 minutes of silence or with a launch by another entrance."""
    return visits.count()


@feature("visits", "int64", "visits", empty=0)
def visits_30d(visits: ir.Table, now: Now) -> ir.Value:
    """Visits begun during the last 30 days."""
    return visits.count(where=visits.start_us >= now.days_ago(30))


@feature("visits", "float64", "seconds", empty=0)
def dwell_seconds(visits: ir.Table) -> ir.Value:
    """Time from the first to the last event of each visit, all visits together."""
    return (visits.end_us - visits.start_us).sum() / 1e6


@feature("visits", "float64", "share", maximum=1)
def bounce_share(visits: ir.Table) -> ir.Value:
    """Share of visits that were a single event."""
    return visits.count(where=visits.events == 1) / visits.count()


@feature("days", "int64", "days", empty=0)
def active_days(days: ir.Table) -> ir.Value:
    """Local days on which a visit began."""
    return days.count()


@feature("days", "int64", "days", maximum=31, empty=0)
def active_days_30d(days: ir.Table, now: Now) -> ir.Value:
    """The last 30 local days before today, and today: on how many of them a visit began."""
    return days.count(where=days.day >= now.day - 30)


@feature("portrait", "int64", "days", clock=True)
def days_since_seen(portrait: ir.Table, now: Now) -> ir.Value:
    """Whole days of 24 hours since the last thing the visitor did."""
    return elapsed_days(portrait.last_seen, now)


@feature("portrait", "string", "step", minimum=None, values=STEPS)
def funnel_depth(portrait: ir.Table) -> ir.Value:
    """Furthest step ever taken: seen (came), viewed (opened an item), carted (cart or favourite), bought."""
    return ibis.cases(
        (portrait.orders > 0, "bought"),
        (portrait.carts + portrait.favorites > 0, "carted"),
        (portrait.item_views > 0, "viewed"),
        else_="seen",
    )
