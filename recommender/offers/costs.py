"""What an offer costs when it is shown: the chance of a redemption times what that costs, for everybody.

Who would have bought anyway redeems too, so this is no effect but a plain expectation, told by the trials in which the
offer was given (`recommender.effects.means`): the mean where they are few, more of the visitor where they are many. A
rule speaks for as many trials as `RULE_TRIALS`, so that an offer that nobody redeemed yet is not free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.effects.means import Mean, fit_mean
from recommender.offers.wording import BASIS_POINTS

RULE_TRIALS = 20.0
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cost:
    """The expected cost of one offer. mean: by its trials, of which there are `trials`; None where there are none."""

    mean: Mean | None
    trials: int

    @classmethod
    def fit(cls, X: NDArray[np.float32], cost: Floats, seed: int) -> Cost:
        """From the trials in which the offer was given: features [n, F] and what redemptions cost, minor units."""
        return cls(fit_mean(X, cost, np.ones(len(cost)), seed) if len(cost) else None, len(cost))

    def __call__(self, X: NDArray[np.float32], rule: Floats) -> Floats:
        """[n]: expected cost when it is shown. rule: the same by rule."""
        if self.mean is None:
            return rule
        learnt = np.maximum(self.mean(X), 0.0)
        return (self.trials * learnt + RULE_TRIALS * rule) / (self.trials + RULE_TRIALS)


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
