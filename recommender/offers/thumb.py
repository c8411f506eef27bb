"""What an offer probably does to whom, by rules of thumb from the portrait: all that there is before any was tried.

The chance to buy rises by ELASTICITY times the part of an order that the offer takes off (the mean price elasticity of
1,851 studied, -2.62: Bijmolt, van Heerde & Pieters 2005, "New empirical generalizations on the determinants of price
elasticity"), times how much more than others the visitor takes discounts, less for who buys anyway: the loyal, and who
is due. A minimum above the visitor's usual order makes an offer that much rarer to reach. Only ranks are to be trusted;
`recommender.effects` gives this up as soon as trials say better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portraits.features import REGISTRY
from recommender.offers.costs import per_redemption

ELASTICITY = 2.62
DEEPEST = 0.5
"""No offer counts as more than this part of an order."""
BUYS_ANYWAY = {"loyal": 0.5, "slipping": 1.5}
"""Stage of the portrait -> how much of the effect is left."""
DUE = (0.8, 1.2)
"""Overdue, in expected gaps, between which an order is due: half of the effect is left."""
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
    """The rules for some offers (rows of the catalogue; None where an offer's rule is not known: it does nothing)."""

    offers: Sequence[Mapping[str, Any] | None]
    names: Sequence[str]
    shop: Shop

    def chance(self, X: Table) -> Floats:
        """[n]: of a purchase within the shop's days without an offer: the visitor's orders of `SPAN_DAYS`, mixed with
        as many of the shop's average."""
        usual = -np.log1p(-min(self.shop.chance, 0.99)) / self.shop.days
        own = self._known(X, "orders_90d", np.nan) / SPAN_DAYS
        rate = np.where(np.isnan(own), usual, (own + usual) / 2)
        return np.asarray(-np.expm1(-rate * self.shop.days))

    def lift(self, X: Table) -> Floats:
        """[n, O]: change of the chance to buy."""
        chance, order = self.chance(X), self.order_value(X)
        stage = _stage(self._known(X, "stage", np.nan))
        overdue = self._known(X, "overdue", np.nan)
        due = np.where((overdue >= DUE[0]) & (overdue <= DUE[1]), 0.5, 1.0)
        taste = np.clip(self._known(X, "discount_sensitivity", 1.0), 0.25, 3.0)
        personal = chance * (1 - chance) * ELASTICITY * taste * stage * due
        return np.stack([personal * self._depth(offer, order) for offer in self.offers], axis=1)

    def money(self, X: Table) -> Floats:
        """[n, O]: change of the margin before the offer's cost."""
        return np.asarray(self.lift(X) * (self.order_value(X) * self.shop.margin_share)[:, None])

    def cost(self, X: Table) -> Floats:
        """[n, O]: expected cost when the offer is shown: who buys uses it, every other time."""
        order, bought = self.order_value(X), self.chance(X)[:, None] + self.lift(X)
        each = np.stack([per_redemption(offer, order) for offer in self.offers], axis=1)
        return np.asarray(USED * bought * each)

    def order_value(self, X: Table) -> Floats:
        """[n]: of an order of each visitor, minor units."""
        own = self._known(X, "order_value", np.nan)
        return np.where(own > 0, own, self.shop.order_value)

    def _depth(self, offer: Mapping[str, Any] | None, order: Floats) -> Floats:
        paid = np.maximum(order, 1.0)
        reach = np.minimum(paid / max(float((offer or {}).get("minimum") or 0), 1.0), 1.0)
        return np.minimum(per_redemption(offer, order) / np.maximum(paid, 1.0), DEEPEST) * reach

    def _known(self, X: Table, name: str, unknown: float) -> Floats:
        if name not in self.names:
            return np.full(len(X), unknown)
        column = X[:, self.names.index(name)].astype(np.float64)
        return np.where(np.isnan(column), unknown, column)


def _stage(code: Floats) -> Floats:
    values = REGISTRY["stage"].values
    left = np.array([*(BUYS_ANYWAY.get(value, 1.0) for value in values), 1.0])
    return left[np.where(np.isnan(code), len(values), code).astype(np.int64)]
