"""Which offers hold now, by their own conditions, and each one's rule in words.

An offer is a public rule: who asks matters only where the rule itself says so (member tiers, a limit a person), never
for its size. What was claimed and spent is given by the caller, who keeps the books; a claim is decided there, under
a lock, and not here. The minimum order is stated and not checked, as the order does not exist yet.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from recommender.answers.catalogue import Catalogue
from recommender.offers.wording import KINDS, describe, moment, numbers
from recommender.types import Query, Reason

LONGEST_LOOK = 7 * 24


@dataclass(frozen=True, slots=True)
class OfferFacts:
    """What an offer's conditions are held against. Maps go from offer_id; a missing entry is 0. Money: minor units.

    `tier`: the visitor's membership tier, None for no member. `claims`: claims of this visitor. `spent`,
    `spent_today`: what the offer cost so far (reserved claims included), in all and in the current local day. `closed`:
    offers that give nothing more, whatever their budget says.
    """

    tier: str | None = None
    claims: Mapping[str, int] = field(default_factory=dict)
    spent: Mapping[str, int] = field(default_factory=dict)
    spent_today: Mapping[str, int] = field(default_factory=dict)
    closed: Collection[str] = ()


class Eligible(NamedTuple):
    """An offer that holds now. `expires`: the first moment (UTC) it no longer does, None for open end."""

    offer_id: str
    title: str
    kind: str
    value: int | None
    minimum: int | None
    reason: Reason
    expires: datetime | None


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


def code_of(offer: Mapping[str, Any], *, covered: bool) -> str:
    """The reason's code. `covered`: the offer is for an item at hand."""
    if covered:
        return "for_this_item"
    return "for_members" if _members_only(offer) else "for_everyone"


def _runs(offer: Mapping[str, Any], now_local: datetime) -> bool:
    starts, ends = moment(offer.get("starts")), moment(offer.get("ends"))
    if (starts is not None and now_local < starts) or (ends is not None and now_local >= ends):
        return False
    return is_open(offer, now_local)


def is_open(offer: Mapping[str, Any], local: datetime) -> bool:
    """Do its weekdays and hours hold at a local moment?"""
    days, hours = offer.get("days"), offer.get("hours")
    return (not days or local.isoweekday() in numbers(days)) and (not hours or local.hour in numbers(hours))


def _members_only(offer: Mapping[str, Any]) -> bool:
    return bool(offer["kind"] == "member" or offer.get("tiers"))


def for_tier(offer: Mapping[str, Any], tier: str | None) -> bool:
    """Whether the rule lets a visitor of this membership tier (None: no member) have the offer."""
    return not _members_only(offer) or (tier is not None and (not offer.get("tiers") or tier in offer["tiers"]))


def within_limit(offer: Mapping[str, Any], claims: int) -> bool:
    """Whether a visitor who claimed it so often may claim it once more."""
    limit = offer.get("per_user_limit")
    return limit is None or claims < limit


def plannable(offer: Mapping[str, Any], since: datetime, until: datetime) -> bool:
    """Whether the offer, whose rule can be stated, holds at some moment from `since` to before `until` (aware)."""
    starts, ends = moment(offer.get("starts")), moment(offer.get("ends"))
    return stated(offer) and (starts is None or starts < until) and (ends is None or ends > since)


def stated(offer: Mapping[str, Any]) -> bool:
    """Whether the rule can be said: a known kind with a value."""
    return offer.get("kind") in KINDS and offer.get("value") is not None


def _for_visitor(offer: Mapping[str, Any], facts: OfferFacts) -> bool:
    return for_tier(offer, facts.tier) and within_limit(offer, facts.claims.get(offer["offer_id"], 0))


def most_cost(offer: Mapping[str, Any]) -> int:
    """The most that one claim of an offer may cost, minor units; 1 where that is not known."""
    claim = offer["value"] if offer["kind"] == "cash" else offer.get("max_cost")
    return max(claim or 0, 1)


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
