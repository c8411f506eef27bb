"""The rules of offers asked one after another, as plainly as they can be said; `Rulebook` is held against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

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
    within_limit,
)
from recommender.offers.wording import describe, moment
from recommender.types import Query, Reason


def eligible(
    offers: Sequence[Mapping[str, Any]],
    query: Query,
    facts: OfferFacts,
    now_local: datetime,
    currency: str,
    *,
    catalogue: Catalogue | None = None,
) -> list[Eligible]:
    """At most `query.n` of `offers` (rows of the `offers` table) that hold now: those that end first come first.

    `now_local`: the moment in the app's time zone (aware). Of `query`, `store_id`, `item_id`, `cart`, `lang` and `n`
    are used: with an item on the page or in the cart, an offer for certain items or categories must cover one of
    them (`catalogue` knows the categories); without, such offers are listed too, and say what they are for.
    """
    request = _Request(query, facts, now_local, currency, catalogue)
    holding = [one for offer in offers if (one := _holding(offer, request)) is not None]
    holding.sort(key=lambda one: (one.expires is None, one.expires or now_local, one.offer["offer_id"]))
    return [_told(one, request) for one in holding[: query.n]]


class _Request(NamedTuple):
    query: Query
    facts: OfferFacts
    now_local: datetime
    currency: str
    catalogue: Catalogue | None


class _Holding(NamedTuple):
    offer: Mapping[str, Any]
    covered: str
    expires: datetime | None


def _holding(offer: Mapping[str, Any], request: _Request) -> _Holding | None:
    query, facts, now_local, _, catalogue = request
    if not stated(offer):
        return None  # a rule that cannot be stated is not offered
    if not (_runs(offer, now_local) and _for_visitor(offer, facts) and _affordable(offer, facts)):
        return None
    if offer.get("stores") and query.store_id is not None and query.store_id not in offer["stores"]:
        return None
    covered = _covered(offer, query, catalogue)
    return None if covered is None else _Holding(offer, covered, _expires(offer, now_local))


def _told(one: _Holding, request: _Request) -> Eligible:
    """In words: for those that are shown, as words take longer than all else."""
    offer, covered, expires = one
    catalogue = request.catalogue
    text = describe(offer, request.currency, request.query.lang, request.now_local.tzinfo or UTC)
    title = catalogue.title(catalogue.index(covered)) if catalogue is not None and covered in catalogue else ""
    evidence = {"item_id": covered, "title": title} if covered else {}
    why = Reason(code_of(offer, covered=bool(covered)), text, evidence)
    title = offer.get("title") or ""
    return Eligible(offer["offer_id"], title, offer["kind"], offer["value"], offer.get("minimum"), why, expires)


def _runs(offer: Mapping[str, Any], now_local: datetime) -> bool:
    starts, ends = moment(offer.get("starts")), moment(offer.get("ends"))
    if (starts is not None and now_local < starts) or (ends is not None and now_local >= ends):
        return False
    return is_open(offer, now_local)


def _for_visitor(offer: Mapping[str, Any], facts: OfferFacts) -> bool:
    return for_tier(offer, facts.tier) and within_limit(offer, facts.claims.get(offer["offer_id"], 0))


def _affordable(offer: Mapping[str, Any], facts: OfferFacts) -> bool:
    """Would one more claim, at the most it may cost, still fit the budgets?"""
    if offer["offer_id"] in facts.closed:
        return False
    claim = most_cost(offer)
    for limit, spent in (("budget", facts.spent), ("daily_budget", facts.spent_today)):
        if offer.get(limit) is not None and spent.get(offer["offer_id"], 0) + claim > offer[limit]:
            return False
    return True


def _covered(offer: Mapping[str, Any], query: Query, catalogue: Catalogue | None) -> str | None:
    """The item of the page or the cart that the offer is for; '' when it need not be for one, None when it is not."""
    at_hand = [one for one in (query.item_id, *query.cart) if one is not None]
    items, categories = offer.get("items") or (), offer.get("categories") or ()
    if not at_hand or not (items or categories):
        return ""
    for item in at_hand:
        if item in items:
            return item
        if catalogue is not None and not set(categories).isdisjoint(catalogue.categories(item)):
            return item
    return None


def _expires(offer: Mapping[str, Any], now_local: datetime) -> datetime | None:
    """End of the offer or of its present window of days and hours, whichever comes first, in UTC."""
    ends = moment(offer.get("ends"))
    closes = None
    if offer.get("days") or offer.get("hours"):
        hour = now_local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
        for _ in range(LONGEST_LOOK):
            hour += timedelta(hours=1)
            if not is_open(offer, hour.astimezone(now_local.tzinfo)):
                closes = hour
                break
    known = [one.astimezone(UTC) for one in (ends, closes) if one is not None]
    return min(known) if known else None
