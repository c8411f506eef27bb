"""The terms of one claim: whether it may be made now, the most it may cost, and what using it does cost.

The terms are the offer's as they were when it was claimed: what a visitor was promised does not change with the offer's
row. Whether a budget has room is for whoever keeps the books to say, under the lock that guards them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from portraits.errors import InvalidValue, OfferRefused
from portraits.history import BASIS_POINTS, MOST_HOURS, MOST_MONEY
from recommender.offers.eligible import for_tier, is_open, stated, within_limit
from recommender.offers.wording import moment

ALONE = "alone"
_LISTS = ("stores", "items", "categories")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Terms:
    """What is kept of an offer with a claim. Money in minor units; `value` and `kind` as in the offers table."""

    kind: str
    value: int
    minimum: int | None = None
    max_cost: int | None = None
    stores: tuple[str, ...] = ()
    alone: bool = False
    items: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @classmethod
    def of(cls, offer: Mapping[str, Any]) -> Terms:
        """The terms of an offer's row whose rule is stated (`eligible.stated`)."""
        most = offer.get("max_cost")
        return cls(
            kind=offer["kind"],
            value=min(offer["value"], MOST_MONEY),
            minimum=offer.get("minimum"),
            max_cost=None if most is None else min(most, MOST_MONEY),
            alone=offer.get("stacking") == ALONE,
            **{name: tuple(offer.get(name) or ()) for name in _LISTS},
        )

    @classmethod
    def from_text(cls, text: str) -> Terms:
        """The terms that `text` wrote."""
        told = json.loads(text)
        return cls(**told | {name: tuple(told.get(name, ())) for name in _LISTS})

    @property
    def text(self) -> str:
        """The terms as JSON; what is None, false or empty is left out."""
        told = ((name, getattr(self, name)) for name in self.__slots__)
        said = {name: value for name, value in told if value is not None and value is not False and value != ()}
        return _ENCODER.encode(said)

    @property
    def scoped(self) -> bool:
        """Whether it is for certain items or categories only."""
        return bool(self.items or self.categories)

    def fits(self, items: Mapping[str, Collection[str] | None]) -> bool:
        """Whether one of an order's items may be what it is for. items: item_id -> its categories; None: not known,
        so that nothing speaks against it where the offer is for categories."""
        return not self.scoped or any(
            item in self.items
            or (bool(self.categories) and (path is None or not frozenset(path).isdisjoint(self.categories)))
            for item, path in items.items()
        )

    @property
    def most(self) -> int | None:
        """The most that using it may cost; None: nothing says."""
        return self.value if self.kind == "cash" else self.max_cost

    def cost(self, amount: int | None, discount: int | None) -> int:
        """What using it costs. `amount`: of the order before the offer, and the most it costs; `discount`: what was in
        fact taken off, which wins. Without either it counts as the most it may cost. Raises InvalidValue where nothing
        says how much."""
        if discount is not None:
            return discount
        if self.kind == "cash":
            return self.value if amount is None else min(self.value, amount)
        if amount is None:
            if self.most is None:
                raise InvalidValue("amount", None, f"the order's amount, or the discount: the {self.kind} has no most")
            return self.most
        share = min(self.value, BASIS_POINTS)
        off = max(amount - self.value, 0) if self.kind == "exchange" else amount * share // BASIS_POINTS
        return off if self.most is None else min(off, self.most)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who wants to claim an offer: the membership tier (None: no member), and how many claims of it the person has that
    count against the limit."""

    tier: str | None = None
    claims: int = 0


def may_claim(offer: Mapping[str, Any], asker: Asker, store_id: str | None, now_local: datetime) -> None:
    """Whether the rule of an offer (a row of the offers table) lets the asker claim it at a local moment (aware). The
    budgets are not looked at. Raises OfferRefused, saying why not."""
    name = offer["offer_id"]
    if not stated(offer):
        raise OfferRefused("incomplete_offer", name, "it has no known kind with a value; send its row whole")
    _runs(offer, now_local)
    terms = Terms.of(offer)
    if terms.stores and store_id is not None and store_id not in terms.stores:
        raise OfferRefused("wrong_store", name, f"it is not for store {store_id!r}; ask for one of its own stores")
    if not for_tier(offer, asker.tier):
        whom = ", ".join(offer.get("tiers") or ()) or "members"
        raise OfferRefused("wrong_tier", name, f"it is for {whom}, and the visitor's tier is {asker.tier!r}")
    if not within_limit(offer, asker.claims):
        limit = offer["per_user_limit"]
        raise OfferRefused("user_limit", name, f"a person may claim it {limit} times and has {asker.claims} claims")
    bounded = offer.get("budget") is not None or offer.get("daily_budget") is not None
    if terms.most is None and bounded:
        raise OfferRefused("no_max_cost", name, f"a {terms.kind} with a budget needs max_cost, so that it can be held")


def expires_at(offer: Mapping[str, Any], at: datetime) -> datetime | None:
    """Until when a claim made `at` can be used: `valid_hours` from then, else the offer's end; None: for ever."""
    hours = offer.get("valid_hours")
    return moment(offer.get("ends")) if hours is None else at + timedelta(hours=min(hours, MOST_HOURS))


def _runs(offer: Mapping[str, Any], now_local: datetime) -> None:
    name, starts, ends = offer["offer_id"], moment(offer.get("starts")), moment(offer.get("ends"))
    if starts is not None and now_local < starts:
        raise OfferRefused("not_running", name, f"it begins at {starts.isoformat()}")
    if ends is not None and now_local >= ends:
        raise OfferRefused("not_running", name, f"it ended at {ends.isoformat()}")
    if not is_open(offer, now_local):
        days, hours = ", ".join(offer.get("days") or ("all",)), ", ".join(offer.get("hours") or ("all",))
        raise OfferRefused("not_running", name, f"it holds on weekdays {days}, hours {hours} of the app's time zone")
