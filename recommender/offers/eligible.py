"""Which offers hold now, by their own conditions, and each one's rule in words.

An offer is a public rule: who asks matters only where the rule itself says so (member tiers, a limit a person), never
for its size. What was claimed and spent is given by the caller, who keeps the books; a claim is decided there, under
a lock, and not here. The minimum order is stated and not checked, as the order does not exist yet.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from portraits.history import MOST_MONEY
from recommender.offers.wording import KINDS, moment, numbers
from recommender.types import Reason

LONGEST_LOOK = 7 * 24
"""Hours in which a window of days and hours ends, if it ever does."""
NONE: Mapping[str, int] = MappingProxyType({})


class OfferFacts(NamedTuple):
    """What an offer's conditions are held against. Maps go from offer_id; a missing entry is 0. Money: minor units.

    `tier`: the visitor's membership tier, None for no member. `claims`: claims of this visitor. `spent`,
    `spent_today`: what the offer cost so far (reserved claims included), in all and in the current local day. `closed`:
    offers that give nothing more, whatever their budget says.
    """

    tier: str | None = None
    claims: Mapping[str, int] = NONE
    spent: Mapping[str, int] = NONE
    spent_today: Mapping[str, int] = NONE
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


def code_of(offer: Mapping[str, Any], *, covered: bool) -> str:
    """The reason's code. `covered`: the offer is for an item at hand."""
    if covered:
        return "for_this_item"
    return "for_members" if _members_only(offer) else "for_everyone"


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


def most_cost(offer: Mapping[str, Any]) -> int:
    """The most that one claim of an offer may cost, minor units; 1 where that is not known."""
    claim = offer["value"] if offer["kind"] == "cash" else offer.get("max_cost")
    return min(max(claim or 0, 1), MOST_MONEY)


def is_bounded(offer: Mapping[str, Any]) -> bool:
    """Whether it is known what one claim of an offer may cost at most, so that it can be held."""
    return offer["kind"] == "cash" or offer.get("max_cost") is not None
