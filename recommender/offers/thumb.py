"""What an offer probably changes for each visitor, by rules of thumb from the portrait.

Nothing else is known before an offer was tried, and learning begins here (`recommender.effects.odds`).

The log odds to buy rise by ELASTICITY times the part of an order that the offer says to take off (the mean price
elasticity of 1,851 studied, -2.62: Bijmolt, van Heerde & Pieters 2005, "New empirical generalizations on the
determinants of price elasticity"), times how much more than others the visitor takes discounts, times the share of what
the visitor buys and looks at that the offer is for. Who buys anyway is moved little, as the log odds say by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.effects.odds import expit, logit
from recommender.offers.costs import per_redemption

ELASTICITY = 2.62
DEEPEST = 0.5
"""No offer counts as more than this part of an order."""
TASTE = (0.25, 3.0)
"""Least and most that a visitor's sensitivity to discounts counts, beside everybody's 1."""
FEW_ORDERS, FEW_LINES = 3.0, 3.0
"""How many orders of a visitor the shop's usual order weighs as much as; how many lines bought all looks weigh as."""
USED = 0.5
"""Share of the purchases after an offer was shown in which it is used."""
SPAN_DAYS = 90.0

Floats = NDArray[np.float64]
Table = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Shop:
    """What is usual. chance: of a purchase within `days`; order_value: minor units; margin_share: of what is paid."""

    days: float
    chance: float = 0.05
    order_value: float = 10_000.0
    margin_share: float = 0.3


@dataclass(frozen=True)
class Thumb:
    """The rules for some offers (rows of the catalogue; None where an offer's rule is not known: it does nothing).
    scopes: offer_id -> the name of its scope in `names` (`recommender.offers.match`)."""

    offers: Sequence[Mapping[str, Any] | None]
    names: Sequence[str]
    shop: Shop
    scopes: Mapping[str, str] = field(default_factory=dict)

    def chance(self, X: Table) -> Floats:
        """[n]: of a purchase within the shop's days without an offer: the visitor's orders of `SPAN_DAYS`, mixed with
        as many of the shop's average."""
        usual = -np.log1p(-min(self.shop.chance, 0.99)) / self.shop.days
        own = self._known(X, "orders_90d", np.nan) / SPAN_DAYS
        rate = np.where(np.isnan(own), usual, (own + usual) / 2)
        return np.asarray(-np.expm1(-rate * self.shop.days))

    @property
    def known(self) -> bool:
        """Whether the rule of any offer says that it takes something off."""
        return any(_depth(offer, self.shop.order_value) > 0 for offer in self.offers)

    def shift(self, X: Table) -> Floats:
        """[n, O]: of the log odds to buy."""
        taste = ELASTICITY * np.clip(self._known(X, "discount_sensitivity", 1.0), *TASTE)
        depth = [_depth(offer, self.shop.order_value) for offer in self.offers]
        return np.stack([taste * part * fit for part, fit in zip(depth, self.fit(X), strict=True)], axis=1)

    def lift(self, X: Table) -> Floats:
        """[n, O]: change of the chance to buy."""
        chance = self.chance(X)[:, None]
        return np.asarray(expit(logit(chance) + self.shift(X)) - chance)

    def money(self, X: Table) -> Floats:
        """[n, O]: change of the margin before the offer's cost."""
        return np.asarray(self.lift(X) * self.margin(X)[:, None])

    def margin(self, X: Table) -> Floats:
        """[n]: of a purchase, before the offer's cost, minor units."""
        return self.order_value(X) * self.shop.margin_share

    def cost(self, X: Table, bought: Floats | None = None) -> Floats:
        """[n, O]: expected cost when the offer is shown: who buys uses it, every other time, where it fits. bought:
        chances to buy with each offer, [n, O], where more than rules tell them."""
        order, fits = self.order_value(X), self.fit(X)
        bought = self.chance(X)[:, None] + self.lift(X) if bought is None else bought
        each = [
            per_redemption(offer, order) * np.minimum(order / _minimum(offer), 1.0) * fit
            for offer, fit in zip(self.offers, fits, strict=True)
        ]
        return np.asarray(USED * bought * np.stack(each, axis=1))

    def order_value(self, X: Table) -> Floats:
        """[n]: of an order of each visitor, minor units; of few orders drawn to the usual one."""
        own, many = self._known(X, "order_value", np.nan), self._known(X, "orders", FEW_ORDERS)
        known = own > 0
        mixed = (np.where(known, own, 0.0) * many + FEW_ORDERS * self.shop.order_value) / (many + FEW_ORDERS)
        return np.where(known, mixed, self.shop.order_value)

    def fit(self, X: Table) -> list[Floats]:
        """Of each offer [n]: the share of what a visitor buys and looks at that it is for; 1 where it is for all."""
        lines, found = self._known(X, "lines", FEW_LINES), []
        for offer in self.offers:
            scope = self.scopes.get(str((offer or {}).get("offer_id")), "")
            looked = self._known(X, f"looked in {scope}", np.nan)
            bought = self._known(X, f"bought in {scope}", np.nan)
            known = looked[~np.isnan(looked)]
            looked = np.where(np.isnan(looked), known.mean() if len(known) else 1.0, looked)
            bought = np.where(np.isnan(bought), looked, bought)
            found.append((bought * lines + FEW_LINES * looked) / (lines + FEW_LINES))
        return found

    def _known(self, X: Table, name: str, unknown: float) -> Floats:
        if name not in self.names:
            return np.full(len(X), unknown)
        column = X[:, self.names.index(name)].astype(np.float64)
        return np.where(np.isnan(column), unknown, column)


def _minimum(offer: Mapping[str, Any] | None) -> float:
    return max(float((offer or {}).get("minimum") or 0), 1.0)


def _depth(offer: Mapping[str, Any] | None, usual: float) -> float:
    """The part that it says to take off an order: of its minimum, or, without one, of a usual order."""
    least = float((offer or {}).get("minimum") or 0)
    paid = np.array([least if least > 0 else max(usual, 1.0)])
    return min(float(per_redemption(offer, paid)[0] / paid[0]), DEEPEST)
