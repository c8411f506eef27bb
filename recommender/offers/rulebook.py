"""The rules of an app's offers, read once when the catalogue changes, so that a request costs a few array operations.

All offers are asked at once, from the conditions of `recommender.offers.eligible`; a test asks them one after another
and holds the two against each other. What does not depend on who asks (time, days, hours, budgets) is kept until the
next moment at which it may change; nothing is remembered of a visitor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.answers.catalogue import Catalogue
from recommender.offers.eligible import (
    LONGEST_LOOK,
    Eligible,
    OfferFacts,
    code_of,
    for_tier,
    is_open,
    most_cost,
    stated,
)
from recommender.offers.wording import describe, moment
from recommender.types import Query, Reason

Mask = NDArray[np.bool_]
Numbers = NDArray[np.intp]
NEVER = 2**62
MOST_KEPT = 1_000
"""Stores, tiers and wordings that are remembered of one rulebook."""
Lack = Literal["none_running", "budget", "limits"]
HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Holding(NamedTuple):
    """Offers that hold for a visitor now, by number, those that end first first. `covered`: number -> the item of the
    page or the cart that it is for."""

    offers: Numbers
    covered: Mapping[int, str]


class _Standing(NamedTuple):
    """What holds for anybody from `since_us` to before `until_us`, while the books are these: numbers in order of their
    ends; `lacks`: why nobody can have any, where that is so. by_tier: `order` of what holds for a tier, as asked."""

    since_us: int
    until_us: int
    facts: OfferFacts
    mask: Mask
    order: Numbers
    lacks: Lack
    some: bool
    by_tier: dict[str | None, Numbers]

    def of_tier(self, tier: str | None, mask: Mask) -> Numbers:
        """Offers that hold for whoever has the tier; `mask`: those that are for it."""
        if tier not in self.by_tier:
            if len(self.by_tier) >= MOST_KEPT:
                self.by_tier.clear()
            self.by_tier[tier] = self.order[(self.mask & mask).take(self.order)]
        return self.by_tier[tier]


class Rulebook:
    """Rules of `offers`, rows of the contract's table; one that cannot be stated is none and has no number.

    ids: offer ids by number. alone: whether it may not stand beside another of its kind in one answer (bool). limited:
    whether it has a budget or a limit a person, which without the books cannot be kept (bool). any_scoped: whether any
    is for certain items or categories only.
    """

    def __init__(self, offers: Sequence[Mapping[str, Any]]) -> None:
        self.offers = tuple(sorted((one for one in offers if stated(one)), key=lambda one: str(one["offer_id"])))
        self.ids = tuple(str(one["offer_id"]) for one in self.offers)
        self.number = {offer_id: number for number, offer_id in enumerate(self.ids)}
        self.alone = self._whether(lambda one: one.get("stacking") == "alone")
        self.limited = self._whether(
            lambda one: any(one.get(name) is not None for name in ("budget", "daily_budget", "per_user_limit"))
        )
        self._limit = self._integers(lambda one: one.get("per_user_limit"))
        self._cost = self._integers(most_cost)
        self._budget = self._integers(lambda one: one.get("budget"))
        self._daily = self._integers(lambda one: one.get("daily_budget"))
        self._starts = np.array([_us(one.get("starts"), -NEVER) for one in self.offers], np.int64)
        self._ends = np.array([_us(one.get("ends"), NEVER) for one in self.offers], np.int64)
        self._windows = [(frozenset(one.get("days") or ()), frozenset(one.get("hours") or ())) for one in self.offers]
        self._windowed = self._whether(lambda one: bool(one.get("days") or one.get("hours")))
        self._closes: tuple[datetime | None, Mask, NDArray[np.int64]] = None, self._windowed, self._ends
        self._scoped = self._whether(lambda one: bool(one.get("items") or one.get("categories")))
        self.any_scoped = bool(self._scoped.any())
        self._by_item = _index(self.offers, "items")
        self._by_category = _index(self.offers, "categories")
        self._tiers: dict[str | None, Mask] = {}
        self._stores: dict[str, Mask] = {}
        self._told: dict[tuple[Any, ...], Eligible] = {}
        self._standing: _Standing | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def holding(
        self, query: Query, facts: OfferFacts, now_local: datetime, *, catalogue: Catalogue | None = None
    ) -> Holding:
        """Offers that hold now, those that end first first. `now_local`: the moment in the app's time zone (aware). Of
        `query`, `store_id`, `item_id` and `cart` are used: with an item on the page or in the cart, an offer for
        certain items or categories must cover one of them (`catalogue` knows the categories); without, such offers
        hold, too."""
        standing = self._stand(now_local, facts)
        if not facts.claims and query.store_id is None and not (self.any_scoped and (query.item_id or query.cart)):
            return Holding(standing.of_tier(facts.tier, self._of_tier(facts.tier)), {})
        holds = standing.mask & self._of_tier(facts.tier)
        for offer_id, count in facts.claims.items():
            number = self.number.get(offer_id)
            if number is not None and count >= self._limit[number]:
                holds[number] = False
        if query.store_id is not None:
            holds &= self._in_store(query.store_id)
        covered: dict[int, str] = {}
        if self.any_scoped and (query.item_id is not None or query.cart):
            covered = self.covering([one for one in (query.item_id, *query.cart) if one is not None], catalogue)
            fits = ~self._scoped
            fits[list(covered)] = True
            holds &= fits
        return Holding(standing.order[holds.take(standing.order)], covered)

    def holds_for_some(self, facts: OfferFacts, now_local: datetime) -> bool:
        """Whether any offer holds for anybody, whoever asks."""
        return self._stand(now_local, facts).some

    def lacking(self, facts: OfferFacts, now_local: datetime) -> Lack:
        """Why no offer holds for somebody: none runs at this moment, none has anything left to spend, or the conditions
        of those that have do not fit (tiers, limits, stores, items)."""
        return self._stand(now_local, facts).lacks

    def covering(self, items: Sequence[str], catalogue: Catalogue | None) -> dict[int, str]:
        """Offers that are for certain items or categories -> the first of `items` that each covers."""
        found: dict[int, str] = {}
        for item in items:
            numbers_of = list(self._by_item.get(item, ()))
            if catalogue is not None and self._by_category:
                for category in catalogue.categories(item):
                    numbers_of += self._by_category.get(category, ())
            for number in numbers_of:
                found.setdefault(number, item)
        return found

    @property
    def scoped(self) -> Mask:
        """Whether an offer is for certain items or categories only."""
        return self._scoped

    def told(
        self,
        number: int,
        query: Query,
        now_local: datetime,
        currency: str,
        *,
        covered: str = "",
        catalogue: Catalogue | None = None,
    ) -> Eligible:
        """An offer in words. `covered`: the item at hand that it is for, '' for none."""
        ends, zone = int(self._ends[number]), now_local.tzinfo or UTC
        if self._windowed[number]:
            ends = min(ends, int(self._closing(now_local)[number]))
        key = number, query.lang, zone, currency, ends, bool(covered)
        told = self._told.get(key)
        if told is None:
            if len(self._told) >= MOST_KEPT:
                self._told.clear()
            told = self._told[key] = self._say(key)
        if not covered:
            return told
        title = catalogue.title(catalogue.index(covered)) if catalogue is not None and covered in catalogue else ""
        return told._replace(reason=told.reason._replace(evidence={"item_id": covered, "title": title}))

    def _say(self, key: tuple[int, str, tzinfo, str, int, bool]) -> Eligible:
        number, lang, zone, currency, ends, covered = key
        offer = self.offers[number]
        why = Reason(code_of(offer, covered=covered), describe(offer, currency, lang, zone), {})
        expires = None if ends >= NEVER else datetime.fromtimestamp(ends / 1e6, UTC)
        kind, value, minimum = offer["kind"], offer["value"], offer.get("minimum")
        return Eligible(self.ids[number], offer.get("title") or "", kind, value, minimum, why, expires)

    def _stand(self, now_local: datetime, facts: OfferFacts) -> _Standing:
        now_us = (now_local - EPOCH) // MICROSECOND
        known = self._standing
        if (
            known is None
            or not known.since_us <= now_us < known.until_us
            or known.facts.spent is not facts.spent
            or known.facts.spent_today is not facts.spent_today
            or known.facts.closed is not facts.closed
        ):
            self._standing = known = self._look(now_us, now_local, facts)
        return known

    def _look(self, now_us: int, now_local: datetime, facts: OfferFacts) -> _Standing:
        closes = self._closing(now_local)
        runs = (self._starts <= now_us) & (now_us < self._ends) & self._closes[1]
        spent, today = self._given(facts.spent), self._given(facts.spent_today)
        left = (spent <= self._budget - self._cost) & (today <= self._daily - self._cost)
        for offer_id in facts.closed:
            if offer_id in self.number:
                left[self.number[offer_id]] = False
        mask = runs & left & (self._limit > 0)
        hour = _us(now_local.replace(minute=0, second=0, microsecond=0), 0)
        moments = np.concatenate([self._starts, self._ends, [hour, hour + 3_600_000_000]])
        since_us, until_us = int(moments[moments <= now_us].max()), int(moments[moments > now_us].min())
        order = np.argsort(np.minimum(self._ends, closes), kind="stable")
        lacks: Lack = "none_running" if not runs.any() else "limits" if (runs & left).any() else "budget"
        return _Standing(since_us, until_us, facts, mask, order, lacks, bool(mask.any()), {})

    def _closing(self, now_local: datetime) -> NDArray[np.int64]:
        """When the present window of days and hours of each offer ends, microseconds; kept for the local hour."""
        hour = now_local.replace(minute=0, second=0, microsecond=0)
        if self._closes[0] != hour:
            opened = np.ones(len(self.offers), bool)
            closes = np.full(len(self.offers), NEVER, np.int64)
            known: dict[Any, int] = {}
            for number in np.flatnonzero(self._windowed).tolist():
                window, offer = self._windows[number], self.offers[number]
                if window not in known:
                    known[window] = _closes_us(offer, hour)
                opened[number], closes[number] = is_open(offer, now_local), known[window]
            self._closes = hour, opened, closes
        return self._closes[2]

    def _of_tier(self, tier: str | None) -> Mask:
        if tier not in self._tiers:
            if len(self._tiers) >= MOST_KEPT:
                self._tiers.clear()
            self._tiers[tier] = self._whether(lambda one: for_tier(one, tier))
        return self._tiers[tier]

    def _in_store(self, store_id: str) -> Mask:
        if store_id not in self._stores:
            if len(self._stores) >= MOST_KEPT:
                self._stores.clear()
            self._stores[store_id] = self._whether(lambda one: not one.get("stores") or store_id in one["stores"])
        return self._stores[store_id]

    def _given(self, counted: Mapping[str, int]) -> NDArray[np.int64]:
        return np.array([counted.get(offer_id, 0) for offer_id in self.ids], np.int64)

    def _integers(self, tell: Any) -> NDArray[np.int64]:
        told = [tell(one) for one in self.offers]
        return np.array([NEVER if one is None else one for one in told], np.int64)

    def _whether(self, tell: Any) -> Mask:
        return np.array([tell(one) for one in self.offers], bool)


def _closes_us(offer: Mapping[str, Any], hour: datetime) -> int:
    """The end of the offer's present window of days and hours, microseconds; `NEVER` for one that does not end."""
    for ahead in range(1, LONGEST_LOOK + 1):
        later = hour.astimezone(UTC) + ahead * HOUR
        if not is_open(offer, later.astimezone(hour.tzinfo)):
            return _us(later, 0)
    return NEVER


def _index(offers: Sequence[Mapping[str, Any]], column: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number, offer in enumerate(offers):
        for value in offer.get(column) or ():
            found.setdefault(value, []).append(number)
    return found


def _us(value: datetime | str | None, without: int) -> int:
    at = moment(value)
    if at is None:
        return without
    return (at - EPOCH) // MICROSECOND


NO_RULES = Rulebook(())
