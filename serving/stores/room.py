"""Room for a claim in its budgets: those of its offer, and the app's one for all offers.

A claim whose time is over holds nothing any more, whether or not the sweep (`serving.claims`) came by: where a budget
has no room, such claims expire first, inside the same write transaction, those that hold most before others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from sqlalchemy import Connection, text

from portraits.errors import OfferRefused
from serving.stores.books import Book, book_of, bound
from serving.stores.claims import DUE_NOW, EXPIRED_AT_ONCE, SELECT, Claim, let_expire
from serving.stores.dialect import ask_within
from serving.stores.totals import total_within


def need_room(connection: Connection, app_id: str, offer: Mapping[str, Any], made: Claim, at_us: int) -> None:
    """Raises OfferRefused where the budgets have no room, not even once claims of the offer whose time is over have
    expired: as many as it takes, of those that one transaction may."""
    offer_id = made.offer_id
    book = book_of(connection, app_id, offer_id, made.day)
    refusal = _no_room(offer, book, made.held)
    if refusal is None:
        return
    if book.closed is not None:  # no claim that expires opens it
        raise refusal
    due: Sequence[Claim] = _due_of_offer(connection, app_id, offer_id, made.day, at_us)
    for place, one in enumerate(due, 1):
        freed_today = one.held if one.day == made.day else 0
        book = replace(book, reserved=book.reserved - one.held, today=book.today - freed_today)
        refusal = _no_room(offer, book, made.held)
        if refusal is None:
            let_expire(connection, app_id, due[:place], at_us)
            return
    raise refusal


def keep_total(connection: Connection, app_id: str, offer_id: str, day: int, at_us: int) -> None:
    """Raises OfferRefused where what claims of `day` and the other days of the app's budget for all offers hold or cost
    by now is more than it, even once claims of any offer whose time is over have expired: as many as it takes, of those
    that one transaction may. Then the transaction must be undone."""
    known = total_within(connection, app_id, day)
    if known is None or known.spent <= known.total.budget:
        return
    over = known.spent - known.total.budget
    due = _due_of_days(connection, app_id, known.total.first_day, known.total.last_day, at_us)
    for place, freed in enumerate(accumulate(one.held for one in due), 1):
        if freed >= over:
            let_expire(connection, app_id, due[:place], at_us)
            return
    raise OfferRefused(
        "budget_spent",
        offer_id,
        f"with this claim {known.spent} of the {known.total.budget} for all offers would be held or spent; "
        f"a higher one opens it again: huaxiang app set {app_id} offer_budget=...",
    )


def _no_room(offer: Mapping[str, Any], book: Book, needed: int) -> OfferRefused | None:
    name, least = offer["offer_id"], max(needed, 1)
    if book.closed is not None:
        return OfferRefused("offer_closed", name, f"it is closed ({book.closed}); a higher budget opens it again")
    for code, limit, spent, way_out in (
        ("budget_spent", "budget", book.spent, "a higher budget opens it again"),
        ("daily_budget_spent", "daily_budget", book.today, "it goes on tomorrow"),
    ):
        if spent + least > bound(offer, limit):
            said = f"{spent} of its {limit} {offer.get(limit)} is held or spent, and one more claim may cost {needed}"
            return OfferRefused(code, name, f"{said}; {way_out}")
    return None


def _due_of_offer(connection: Connection, app_id: str, offer_id: str, day: int, at_us: int) -> list[Claim]:
    """Some claims of an offer whose time is over: those of this day first, and those that hold most."""
    which = {"app_id": app_id, "at_us": at_us, "offer_id": offer_id, "day": day, "most": EXPIRED_AT_ONCE}
    return [Claim._make(row) for row in ask_within(connection, _DUE_OF_OFFER, which)]


def _due_of_days(connection: Connection, app_id: str, first_day: int, last_day: int, at_us: int) -> list[Claim]:
    """Some claims of any offer that are charged to these days (both inclusive) and whose time is over: those that hold
    most first."""
    which = {"app_id": app_id, "at_us": at_us, "first": first_day, "last": last_day, "most": EXPIRED_AT_ONCE}
    return [Claim._make(row) for row in ask_within(connection, _DUE_OF_DAYS, which)]


_DUE_OF_OFFER = text(
    f"{SELECT} {DUE_NOW} AND offer_id = :offer_id "
    "ORDER BY CASE WHEN day = :day THEN 0 ELSE 1 END, coalesce(reserved, 0) DESC, expires_us LIMIT :most"
)
_DUE_OF_DAYS = text(
    f"{SELECT} {DUE_NOW} AND day BETWEEN :first AND :last ORDER BY coalesce(reserved, 0) DESC, expires_us LIMIT :most"
)
