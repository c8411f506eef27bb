"""Rhythm: when the visitor comes, and when the next order is due."""

from __future__ import annotations

import ibis.expr.types as ir

from portraits.features.registry import feature, most
from portraits.local import date_of_day


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


@feature("order_days", "date", "local date", minimum=None)
def last_order_day(order_days: ir.Table) -> ir.Value:
    """Local date of the last order."""
    return date_of_day(order_days.day.max())


@feature("order_days", "date", "local date", minimum=None)
def due_date(order_days: ir.Table) -> ir.Value:
    """Local date at which the next order is due by the customer's own rhythm: last order day plus the median gap,
    rounded up. Needs two order days; may lie in the past."""
    return date_of_day(order_days.day.max() + order_days.gap.quantile(0.5).ceil().cast("int64"))
