"""Rhythm: when the visitor comes, and when the next order is due."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from portraits.features.registry import feature, most, only
from portraits.features.taste import EVIDENCE
from portraits.grains.rhythms import GIVEN_UP, PAYDAYS
from portraits.local import Now, date_of_day

REFILLS = (
    "array<struct<tag: string, gap_days: float64, orders: int64, last_day: date, due_day: date, confidence: float64>>"
)
DUE = "array<struct<tag: string, kind: string, due_day: date, overdue: float64, confidence: float64>>"
LISTED = 20
CLEAR, ENOUGH = 0.95, 3
"""A payday is told from this confidence on, and from so many orders."""


@feature("hours", "int64", "hour", maximum=23)
def favourite_hour(hours: ir.Table) -> ir.Value:
    """Local hour of the day at which most visits begin; the earliest among equals."""
    return most(hours.visits, hours.hour, 24)


@feature("weekdays", "int64", "ISO weekday", minimum=1, maximum=7)
def favourite_weekday(weekdays: ir.Table) -> ir.Value:
    """ISO weekday (1 Monday to 7 Sunday, local) on which most visits begin; the earliest among equals."""
    return most(weekdays.visits, weekdays.weekday, 8)


@feature("weekdays", "float64", "share", maximum=1)
def weekend_share(weekdays: ir.Table) -> ir.Value:
    """Share of visits that begin on a local Saturday or Sunday."""
    return weekdays.visits.sum(where=weekdays.weekday >= 6).fill_null(0) / weekdays.visits.sum()


@feature("hours", "array<struct<hour: int64, visits: int64>>", "visits", minimum=None)
def hour_counts(hours: ir.Table) -> ir.Value:
    """Visits by the local hour at which they begin: the hours with any, in order."""
    return ibis.struct({"hour": hours.hour, "visits": hours.visits}).collect().sort()


@feature("weekdays", "array<struct<weekday: int64, visits: int64>>", "visits", minimum=None)
def weekday_counts(weekdays: ir.Table) -> ir.Value:
    """Visits by the ISO weekday on which they begin: the weekdays with any, in order."""
    return ibis.struct({"weekday": weekdays.weekday, "visits": weekdays.visits}).collect().sort()


@feature("hours", "float64", "share", maximum=1)
def night_share(hours: ir.Table) -> ir.Value:
    """Share of visits that begin between midnight and 6, local."""
    return _between(hours, 0, 5)


@feature("hours", "float64", "share", maximum=1)
def morning_share(hours: ir.Table) -> ir.Value:
    """Share of visits that begin between 6 and noon, local."""
    return _between(hours, 6, 11)


@feature("hours", "float64", "share", maximum=1)
def afternoon_share(hours: ir.Table) -> ir.Value:
    """Share of visits that begin between noon and 18, local."""
    return _between(hours, 12, 17)


@feature("hours", "float64", "share", maximum=1)
def evening_share(hours: ir.Table) -> ir.Value:
    """Share of visits that begin between 18 and midnight, local."""
    return _between(hours, 18, 23)


@feature("order_days", "date", "local date", minimum=None)
def last_order_day(order_days: ir.Table) -> ir.Value:
    """Local date of the last order."""
    return date_of_day(order_days.day.max())


@feature("order_days", "date", "local date", minimum=None)
def due_date(order_days: ir.Table) -> ir.Value:
    """Local date at which the next order is due by the customer's own rhythm: last order day plus the median gap,
    rounded up. Needs two order days; may lie in the past."""
    return date_of_day(order_days.day.max() + order_days.gap.quantile(0.5).ceil().cast("int64"))


@feature("paydays", "int64", "day of month", minimum=1, maximum=31)
def payday(paydays: ir.Table) -> ir.Value:
    """The usual payday (5, 10, 15 or 25) after which the visitor orders far more often than chance would have it: at
    least 3 orders on it and the two days after it, and a confidence (see paydays) of 0.95 or more. The one with most
    orders, the earliest among equals."""
    clear = (paydays.payday > 0) & (paydays.confidence >= CLEAR) & (paydays.orders >= ENOUGH)
    return most(ibis.ifelse(clear, paydays.orders, None), paydays.payday, max(PAYDAYS) + 1)


@feature("paydays", "float64", "share", maximum=1)
def payday_share(paydays: ir.Table) -> ir.Value:
    """Share of the spend that falls on the 5th, 10th, 15th and 25th and the two days after each; 0.39 if spread
    evenly. Null for a visitor who never paid."""
    return paydays.spend.sum(where=paydays.payday > 0).fill_null(0) / paydays.spend.sum().nullif(0)


@feature("paydays", EVIDENCE, "evidence", minimum=None)
def paydays(paydays: ir.Table) -> ir.Value:
    """Paydays after which there were orders, most orders first. tag: day of the month; weight: share of the spend on
    it and the two days after; events: orders; last_ts: the latest; confidence: 0 to 1, how far from chance."""
    entries = ibis.struct(
        {
            "fewer": -paydays.orders,
            "payday": paydays.payday,
            "tag": paydays.payday.cast("string"),
            "weight": paydays.share,
            "events": paydays.orders,
            "last_ts": paydays.last_ts,
            "confidence": paydays.confidence,
        }
    )
    listed = entries.collect(where=paydays.payday > 0).sort()
    return only(listed, "tag", "weight", "events", "last_ts", "confidence")


@feature("refills", REFILLS, "evidence", minimum=None)
def category_rhythm(refills: ir.Table) -> ir.Value:
    """Categories bought on several days, most days first, at most 20. tag: path from the root; gap_days: median days
    between two; orders: days; last_day and due_day: local dates, due is the last plus the gap, rounded up;
    confidence: 0 to 1, more for many and even gaps."""
    return _rhythms(refills, "category")


@feature("refills", REFILLS, "evidence", minimum=None)
def item_rhythm(refills: ir.Table) -> ir.Value:
    """Items bought on several days, most days first, at most 20; entries as in category_rhythm, tag: item_id."""
    return _rhythms(refills, "item")


@feature("refills", DUE, "evidence", minimum=None)
def due(refills: ir.Table, now: Now) -> ir.Value:
    """What is due now, most overdue first, at most 20: categories and items bought on 3 days or more whose due day has
    come, and of which not more than 3 gaps have passed since the last (it is over then). tag: path or item_id; kind:
    category or item; overdue: days since the last, in gaps; confidence as in category_rhythm."""
    entries = ibis.struct(
        {
            "less": -refills.overdue,
            "kind": refills.kind,
            "tag": refills.tag,
            "due_day": date_of_day(refills.due_day),
            "overdue": refills.overdue,
            "confidence": refills.confidence,
        }
    )
    ready = (refills.orders >= ENOUGH) & (refills.due_day <= now.day) & (refills.overdue <= GIVEN_UP)
    listed = entries.collect(where=ready).sort()[:LISTED]
    return only(listed, "tag", "kind", "due_day", "overdue", "confidence")


def _rhythms(refills: ir.Table, kind: str) -> ir.Value:
    entries = ibis.struct(
        {
            "fewer": -refills.orders,
            "tag": refills.tag,
            "gap_days": refills.gap,
            "orders": refills.orders,
            "last_day": date_of_day(refills.last_day),
            "due_day": date_of_day(refills.due_day),
            "confidence": refills.confidence,
        }
    )
    listed = entries.collect(where=refills.kind == kind).sort()[:LISTED]
    return only(listed, "tag", "gap_days", "orders", "last_day", "due_day", "confidence")


def _between(hours: ir.Table, first: int, last: int) -> ir.Value:
    return hours.visits.sum(where=hours.hour.between(first, last)).fill_null(0) / hours.visits.sum()
