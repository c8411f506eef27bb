"""What an offer costs when it is shown: the chance of a redemption times what that costs, for everybody.

Who would have bought anyway redeems too, so this is no effect but a plain expectation. A rule says how it differs from
visitor to visitor (chance to buy x what the offer takes off x how it fits: `thumb`), the trials in which the offer was
given how large it is:

    cost_o(x) = k_o rule_o(x),   k_o = (redeemed_o + PULL) / (expected_o + PULL / k)

redeemed and expected: by trials and by rule, counted in usual redemptions; k: the same ratio of all offers, drawn to 1
(gamma-Poisson: Gelman et al., "Bayesian Data Analysis", 2.6). Only redemptions of the offer itself are its cost. Many
trials say where visitors differ from the rule, too (`recommender.effects.means`). An offer without a rule costs what
its trials say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portraits.history import BASIS_POINTS
from recommender.effects.means import ENOUGH_FOR_TREES, Mean, all_told, fit_mean
from recommender.effects.rows import Ints

PULL = 5.0
"""Pseudo-redemptions of the priors: of one offer at the ratio of all, and of all of them at the rule."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Costs:
    """The expected costs of O offers. ratio: [O], by which the cost by rule is multiplied; beside: [O], a learnt
    correction that is added to it, None where trials are too few."""

    ratio: Floats
    beside: tuple[Mean | None, ...]

    @classmethod
    def fit(  # noqa: PLR0917
        cls, X: NDArray[np.float32], action: Ints, cost: Floats, rule: Floats, offers: Sequence[Any], seed: int
    ) -> Costs:
        """From trials: features [n, F], actions [n] (-1: none), what redemptions of the offer given cost [n], what its
        rule says [n]; minor units."""
        given = [np.flatnonzero(action == place) for place in range(len(offers))]
        spent = np.array([cost[own].sum() for own in given])
        by_rule = np.array([rule[own].sum() for own in given])
        each = np.array([_each(cost[own], offer) for own, offer in zip(given, offers, strict=True)])
        ruled = (by_rule > 0) & (each > 0)
        counted, expected = (np.where(ruled, one / np.where(ruled, each, 1.0), 0.0) for one in (spent, by_rule))
        if not spent.any():  # nobody told of redemptions: offers are not free for that
            expected[:] = 0.0
        usual = (counted.sum() + PULL) / (expected.sum() + PULL)
        ratio = np.where(ruled, (counted + PULL) / (expected + PULL / usual), usual)
        beside: list[Mean | None] = []
        for place, own in enumerate(given):
            left = cost[own] - ratio[place] * rule[own]
            learns = len(own) >= ENOUGH_FOR_TREES or (len(own) > 0 and not ruled[place])
            beside.append(fit_mean(X[own], left, np.ones(len(own)), seed) if learns else None)
        return cls(ratio, tuple(beside))

    def __call__(self, X: NDArray[np.float32], rule: Floats) -> Floats:
        """[n, O]: expected costs when shown. rule: the same by rule."""
        left = all_told([mean or Mean(0.0) for mean in self.beside], X)
        return np.maximum(rule * self.ratio + left, 0.0)


def _each(cost: Floats, offer: Mapping[str, Any] | None) -> float:
    """What a redemption costs: as it did, or as the rule says of no redemption."""
    paid = cost[cost > 0]
    return float(paid.mean()) if len(paid) else float((offer or {}).get("max_cost") or (offer or {}).get("value") or 0)


def per_redemption(offer: Mapping[str, Any] | None, order_value: Floats) -> Floats:
    """[n]: what one redemption costs by the offer's rule, minor units. order_value: of an order of each visitor. An
    offer without a known rule costs nothing by rule; an exchange's worth is known by its max_cost alone."""
    most = None if offer is None else offer.get("max_cost")
    if offer is None or offer.get("value") is None:
        return np.zeros_like(order_value)
    if offer["kind"] in ("cash", "exchange"):
        each = offer["value"] if offer["kind"] == "cash" else most
        return np.full_like(order_value, float(each or 0))
    found = np.maximum(order_value, float(offer.get("minimum") or 0)) * (offer["value"] / BASIS_POINTS)
    return np.asarray(found if most is None else np.minimum(found, float(most)))
