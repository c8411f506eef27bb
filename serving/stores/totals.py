"""What was spent of an app's one budget for all offers (`recommender.offers.total`): sums of the days that it covers.

A claim that would exceed it is refused in the transaction that makes it (`room`), so it holds as an offer's own budget
does.
"""

from __future__ import annotations

import json
from dataclasses import fields
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, select

from portraits.errors import UnknownApp
from portraits.settings import AppSettings
from recommender.offers.total import Total, total_of
from serving.stores import schema
from serving.stores.database import Database
from serving.stores.dialect import ask_within


class Spending(NamedTuple):
    """A budget for all offers, and what was spent of it so far, in minor units."""

    total: Total
    spent: int


class Totals(Database):
    """The part of the store that reads the budget over all offers."""

    def offer_total(self, app_id: str) -> Spending | None:
        """The app's budget for all offers; None where there is none. Raises UnknownApp, StoreUnavailable."""
        found = self.ask(_SETTINGS, {"app_id": app_id})
        if not found:
            raise UnknownApp(app_id)
        total = _total(found[0][0])
        if total is None:
            return None
        return Spending(total, int(self.ask(_SPENT, _days(app_id, total))[0][0]))


def total_within(connection: Connection, app_id: str, day: int) -> Spending | None:
    """The budget for all offers that covers a local day, and what is spent of it by now, inside a write transaction;
    None where none does."""
    found = ask_within(connection, _SETTINGS, {"app_id": app_id})
    total = _total(found[0][0]) if found else None
    if total is None or not total.first_day <= day <= total.last_day:
        return None
    return Spending(total, int(ask_within(connection, _SPENT, _days(app_id, total))[0][0]))


def _days(app_id: str, total: Total) -> dict[str, str | int]:
    return {"app_id": app_id, "first": total.first_day, "last": total.last_day}


@lru_cache(maxsize=1_000)
def _total(settings: str) -> Total | None:
    known = {field.name for field in fields(AppSettings)}
    return total_of(AppSettings(**{name: value for name, value in json.loads(settings).items() if name in known}))


_SETTINGS = select(schema.apps.c.settings).where(schema.apps.c.app_id == bindparam("app_id"))
_DAY = schema.offer_days.c
_SPENT = select(func.coalesce(func.sum(_DAY.spent), 0)).where(
    _DAY.app_id == bindparam("app_id"), _DAY.day >= bindparam("first"), _DAY.day <= bindparam("last")
)
