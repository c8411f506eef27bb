"""Who gets which offer under budgets: the most expected profit, and a proof of how near to the most it is.

Maximise the sum of weight x (gain - cost) over visitors, at most one offer each, so that no budget is overspent by the
plan's own expectation (sum of weight x cost). The linear relaxation is solved through its dual (`prices`): one price a
budget, at which each visitor's choice is a plain best of O. The day decides with the same prices; the plan itself is
made whole by moving who is at the margin (`repair`). No allocation earns more than `Allocation.bound`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portraits.errors import InvalidValue
from recommender.offers.prices import best_prices
from recommender.offers.problem import Floats, Longer, Problem
from recommender.offers.repair import profits, repaired

PARTS = 200
"""A crowd is split into at most so many."""
TOTAL = ""
"""Stands for the budget over all offers where prices go by offer_id."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """What there is to spend, in minor units; None: no limit.

    offers: for each offer. total: for all together. caps: for each offer, the most visitors (weights) that it may be
    given to; may be left out.
    """

    offers: Sequence[float | None]
    total: float | None = None
    caps: Sequence[float | None] | None = None


@dataclass(frozen=True, slots=True)
class Allocation:
    """chosen: the column given to each visitor, -1 for none, int16 [U]. prices: of each offer's budget, and, last, of
    the total, [O + 1]; cap_prices: of one visitor more of each offer, in minor units, [O]. An offer is worth
    gain - (1 + price + total price) x cost - cap_price. value: expected profit. bound: no allocation exceeds it.
    earned, spent, visitors: expected profit, expected cost, weight by offer, [O]. crowd: of `visitors`, those of the
    last row where that is a crowd, of which `chosen` can only say what most of it has."""

    chosen: NDArray[np.int16]
    prices: Floats
    cap_prices: Floats
    value: float
    bound: float
    earned: Floats
    spent: Floats
    visitors: Floats
    crowd: Floats

    @property
    def gap(self) -> float:
        """Share of the bound that may be missing; 0 when there is nothing to earn."""
        return max(0.0, 1.0 - self.value / self.bound) if self.bound > 0 else 0.0

    def by_offer(self, offers: Sequence[str]) -> dict[str, float]:
        """Prices as a plan keeps them: by offer_id, and under `TOTAL` the price of the budget over all."""
        return dict(zip((*offers, TOTAL), self.prices.tolist(), strict=True))


def allocate(  # noqa: PLR0917 - the plan in the order it is said
    gain: NDArray[Any],
    cost: NDArray[Any],
    eligible: NDArray[np.bool_],
    weight: NDArray[Any] | None,
    budgets: Budgets,
    seed: int = 0,
    *,
    crowd: bool = False,
) -> Allocation:
    """The allocation of most expected profit.

    gain, cost: minor units when the offer is shown once, [U, O] (float32, may be memory-mapped; read in blocks).
    eligible: who may have what, [U, O]. weight: expected answers of each visitor while the budgets last, [U]; None: 1.
    crowd: the last row stands for as many as its weight who are alike (strangers), some of whom may have one offer and
    some another. The same input and seed give the same allocation. Raises InvalidValue for shapes that do not fit, a
    cost or budget below 0, or an eligible cell that is no number.
    """
    visitors, width = gain.shape
    weights = np.ones(visitors) if weight is None else np.asarray(weight, np.float64)
    limits = _limits(budgets, width)
    none = np.zeros(width)
    if not visitors or not width:
        chosen = np.full(visitors, -1, np.int16)
        return Allocation(chosen, np.zeros(width + 1), none, 0.0, 0.0, none, none, none, none)
    problem = Problem(gain, cost, eligible, weights, limits, limits)
    problem.check()
    if crowd and (parts := min(int(np.ceil(weights[-1])), PARTS)) > 1:
        weights = np.append(weights[:-1], np.full(parts, weights[-1] / parts))
        more = parts - 1
        longer = Longer(gain, more), Longer(cost, more), Longer(eligible, more)
        problem = Problem(*longer, weights, limits, limits)
    priced = best_prices(problem, seed)
    given = repaired(problem, priced, seed)
    rows = np.flatnonzero(given >= 0)
    used, earned = problem.use(rows, given[rows]), profits(problem, given)
    chosen = given[:visitors].astype(np.int16)
    last = np.bincount(given[visitors - 1 :] + 1, weights[visitors - 1 :], width + 1).astype(np.float64)
    chosen[-1] = last.argmax() - 1
    return Allocation(
        chosen=chosen,
        prices=priced.prices[: width + 1],
        cap_prices=priced.prices[width + 1 :],
        value=float(earned.sum()),
        bound=priced.bound,
        earned=earned,
        spent=used[:width],
        visitors=used[width + 1 :],
        crowd=last[1:] if crowd else none,
    )


def _limits(budgets: Budgets, width: int) -> Floats:
    caps = [None] * width if budgets.caps is None else budgets.caps
    for name, given in (("budgets.offers", budgets.offers), ("budgets.caps", caps)):
        if len(given) != width:
            raise InvalidValue(name, len(given), f"one for each of {width} offers")
    every = [*budgets.offers, budgets.total, *caps]
    limits = np.array([np.inf if one is None else float(one) for one in every])
    if not (limits >= 0).all():  # a NaN is not, either
        raise InvalidValue("budgets", float(limits[~(limits >= 0)][0]), "an amount of 0 or more, or None for no limit")
    return limits
