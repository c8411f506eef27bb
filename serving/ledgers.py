"""What was spent on an app's offers, and what a minor unit more is worth, as a worker knows it: a second old, or two.

The books are read off the request's path: who comes when they are a second old is answered by them all the same, and
the next second's are fetched meanwhile. When they are two seconds old, after a pause, one waits. An answer may thus
show an offer whose budget ended a moment ago; a claim is decided in the store, and refused
(`serving.stores.claim_steps`). Where this worker itself moved the books, by a claim, they are read anew before the next
answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from portraits.errors import StoreUnavailable
from recommender.offers.eligible import is_bounded, most_cost
from recommender.offers.pacing import WEEK, Purse, Purses, admits, on_course, prices_now
from recommender.offers.wording import moment
from serving.offering import Offering
from serving.reads import Reads
from serving.stores import Store
from serving.stores.books import Book
from serving.stores.totals import Spending

FRESH_S = 1.0
OLD_S = 2.0
"""After a pause as long as this the books are read before the answer."""
MOST_LEDGERS = 500
"""Apps whose books a worker holds at a time."""


FLAT = (1 / WEEK,) * WEEK
"""The pace where no night has seen any traffic."""


class Paced(NamedTuple):
    """What the pace allows now, by number of the rulebook.

    prices: what a minor unit of an offer's cost is worth beyond itself. admitted: whether the budgets can carry one
    claim more. late: whether so much is spent ahead of the course that only visitors for whom the offer's worth can be
    weighed against its price may have it. any_late: whether that is so of any offer.
    """

    prices: NDArray[np.float64]
    admitted: NDArray[np.bool_]
    late: NDArray[np.bool_]
    any_late: bool


@dataclass(slots=True)
class Ledger:
    """The books of one moment (`at`, of a clock that never goes back). Money in minor units, by offer; total: the
    budget for all offers, if there is one."""

    at: float
    spent: Mapping[str, int] = field(default_factory=dict)
    today: Mapping[str, int] = field(default_factory=dict)
    closed: frozenset[str] = frozenset()
    total: Spending | None = None
    _paced: tuple[Offering, Paced] | None = None

    @classmethod
    def of(cls, at: float, books: Mapping[str, Book], total: Spending | None = None) -> Ledger:
        closed = frozenset(offer_id for offer_id, book in books.items() if book.closed is not None)
        spent = {offer_id: book.spent for offer_id, book in books.items()}
        return cls(at, spent, {offer_id: book.today for offer_id, book in books.items()}, closed, total)

    def paced(self, offering: Offering, now_local: datetime) -> Paced:
        """What the pace allows now; the same for as long as these books are held."""
        if self._paced is None or self._paced[0] is not offering:
            self._paced = offering, self._pace(offering, now_local)
        return self._paced[1]

    def _pace(self, offering: Offering, now_local: datetime) -> Paced:
        rulebook, plan = offering.rulebook, offering.plan
        purses = Purses.of(self._purse(offer) for offer in rulebook.offers)
        pace = FLAT if plan is None else plan.pace
        claims = [most_cost(offer) for offer in rulebook.offers]
        admitted, late = admits(claims, purses), ~on_course(claims, purses, pace, now_local)
        over_all = 0.0 if plan is None else plan.prices.get("", 0.0)
        whole_of = self.total is not None and self.total.total.in_force(now_local)
        admitted &= np.array(
            [is_bounded(one) or not (whole_of or _has_budget(one)) for one in rulebook.offers], bool
        )  # a claim that cannot be held is refused
        if self.total is not None and whole_of:
            whole = Purses.of([self.total.total.purse(self.total.spent)])
            admitted &= admits(claims, whole)
            late |= ~on_course(claims, whole, pace, now_local)
            over_all = float(prices_now([over_all], whole, pace, now_local)[0])
        prices = np.zeros(len(rulebook))
        if plan is not None:
            night = np.array([plan.prices.get(one, 0.0) for one in rulebook.ids], np.float64)
            prices = prices_now(night, purses, pace, now_local) + over_all
        return Paced(prices, admitted, late, bool(late.any()))

    def _purse(self, offer: Mapping[str, Any]) -> Purse:
        offer_id = str(offer["offer_id"])
        spent, today = self.spent.get(offer_id, 0), self.today.get(offer_id, 0)
        ends = (
            None if at is None else at.timestamp() * 1e6 for at in map(moment, (offer.get("starts"), offer.get("ends")))
        )
        return Purse(offer.get("budget"), offer.get("daily_budget"), spent, today, *ends)


def _has_budget(offer: Mapping[str, Any]) -> bool:
    return offer.get("budget") is not None or offer.get("daily_budget") is not None


class Ledgers:
    """The books of the apps that this worker answers for."""

    def __init__(self, store: Store, reads: Reads) -> None:
        self._store = store
        self._reads = reads
        self._held: dict[str, Ledger] = {}
        self._coming: dict[str, asyncio.Task[Ledger]] = {}

    async def of(self, app_id: str) -> Ledger:
        """The books of an app. Raises StoreUnavailable, where they were not read for long."""
        held = self._held.get(app_id)
        if held is not None:
            age = time.monotonic() - held.at
            if age < FRESH_S:
                return held
            if age < OLD_S:
                self._fetch(app_id)
                return held
        return await asyncio.shield(self._fetch(app_id))

    def moved(self, app_id: str) -> None:
        """This worker has changed the books: they are read before the next answer."""
        self._held.pop(app_id, None)
        self._coming.pop(app_id, None)  # it may have been read before

    def _fetch(self, app_id: str) -> asyncio.Task[Ledger]:
        task = self._coming.get(app_id)
        if task is None:
            task = self._coming[app_id] = asyncio.ensure_future(self._read(app_id))
            task.add_done_callback(lambda done: self._took(app_id, done))
        return task

    async def _read(self, app_id: str) -> Ledger:
        at = time.monotonic()
        books = await self._reads.slow(self._store.offer_books, app_id)
        return Ledger.of(at, books, await self._reads.slow(self._store.offer_total, app_id))

    def _took(self, app_id: str, done: asyncio.Task[Ledger]) -> None:
        if self._coming.get(app_id) is not done:
            if not done.cancelled():
                done.exception()
            return  # the books were moved meanwhile
        del self._coming[app_id]
        with suppress(StoreUnavailable, asyncio.CancelledError):  # who waits hears of it
            ledger = done.result()
            if app_id not in self._held and len(self._held) >= MOST_LEDGERS:
                del self._held[next(iter(self._held))]
            self._held[app_id] = ledger
