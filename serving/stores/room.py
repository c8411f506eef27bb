"""Room for a claim in its budgets: those of its offer, and the app's one for all offers.

A claim whose time is over holds nothing any more, whether or not the sweep (`serving.claims`) came by: where a budget
has no room, such claims expire first, inside the same write transaction, those that expired first before others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from sqlalchemy import Connection, text

from portraits.errors import OfferRefused
from serving.stores import schema
from serving.stores.books import Book, book_of, bound
from serving.stores.claims import EXPIRED_AT_ONCE, SELECT, Claim, let_expire
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
    only_today = refusal.code == "daily_budget_spent"
    some = _due_of_offer(connection, app_id, offer_id, made.day, at_us, only_today=only_today)
    due: list[Claim] = []
    for one in islice(some, EXPIRED_AT_ONCE):
        due.append(one)
        freed_today = one.held if one.day == made.day else 0
        book = replace(book, reserved=book.reserved - one.held, today=book.today - freed_today)
        refusal = _no_room(offer, book, made.held)
        if refusal is None:
            let_expire(connection, app_id, due, at_us)
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
    due: list[Claim] = []
    some = _due_of_days(connection, app_id, known.total.first_day, known.total.last_day, at_us)
    for one in islice(some, EXPIRED_AT_ONCE):
        due.append(one)
        over -= one.held
        if over <= 0:
            let_expire(connection, app_id, due, at_us)
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


def _due_of_offer(
    connection: Connection, app_id: str, offer_id: str, today: int, at_us: int, *, only_today: bool
) -> Iterator[Claim]:
    """Claims of an offer that hold something and whose time is over: those of this day first."""
    first, last = (today, today) if only_today else (0, LAST_DAY)
    which = {"app_id": app_id, "offer_id": offer_id, "first": first, "last": last, "at_us": at_us}
    days = ask_within(connection, DAYS_OF_OFFER, which)
    yield from _due(connection, app_id, sorted(days, key=lambda one: one[1] != today), at_us)


def _due_of_days(connection: Connection, app_id: str, first: int, last: int, at_us: int) -> Iterator[Claim]:
    """The same of any offer, of those that are charged to these days (both inclusive)."""
    which = {"app_id": app_id, "first": first, "last": last, "at_us": at_us}
    yield from _due(connection, app_id, ask_within(connection, DAYS_OF_ALL, which), at_us)


def _due(connection: Connection, app_id: str, days: Iterable[tuple[str, int]], at_us: int) -> Iterator[Claim]:
    """Of each (offer_id, day) some, those that expired first before others. Whoever needs no more reads no more."""
    for offer_id, day in days:
        which = {"app_id": app_id, "offer_id": offer_id, "day": day, "at_us": at_us, "most": EXPIRED_AT_ONCE}
        yield from map(Claim._make, ask_within(connection, DUE_OF_DAY, which))


LAST_DAY = 2**31 - 1
_OF_DAY = "app_id = d.app_id AND offer_id = d.offer_id AND day = d.day"
_DAYS = (
    "SELECT offer_id, day FROM offer_days AS d WHERE app_id = :app_id AND day BETWEEN :first AND :last AND spent > 0 "  # noqa: S608 - constants
    f"AND (SELECT min(expires_us) FROM claims WHERE {_OF_DAY} AND {schema.HOLDING.text}) <= :at_us"
)
DAYS_OF_ALL, DAYS_OF_OFFER = text(_DAYS), text(f"{_DAYS} AND offer_id = :offer_id")
"""Offers and days that have claims whose time is over: one look into an index for each, however many claims there
are. (Any statement that starts from the claims walks all that are due, also where none of them would make room: a
hundred thousand of yesterday, before every refusal of today.)"""
DUE_OF_DAY = text(
    f"{SELECT} AND offer_id = :offer_id AND day = :day AND {schema.HOLDING.text} AND expires_us <= :at_us "
    "ORDER BY expires_us LIMIT :most"
)
