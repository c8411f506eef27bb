"""What-if: the published plan's gains and costs allocated anew under other budgets, and what each would earn.

A point of the frontier is an allocation (`allocate`) of the same visitors under another total budget; the offers' own
budgets stay. Its profit has an interval: the night's draws of what may be true shift the gains of groups of visitors,
and so the profit of whoever is chosen. The interval is of the effects alone; that fewer or more visitors come than
expected is not in it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recommender.offers.allocate import Allocation, Budgets, allocate
from recommender.offers.plan_files import OfferPlan
from recommender.offers.running import chances, while_running

FACTORS: tuple[float | None, ...] = (0.0, 0.5, 1.0, 2.0, None)
"""Of the budget; None: no budget over all offers."""
INTERVAL = (0.05, 0.95)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Point:
    """One budget (None: none over all offers) and what it earns. visitors: whose answers are expected to carry an
    offer; cost, profit: expected, minor units; low, high: 90% interval of the profit."""

    budget: float | None
    visitors: float
    cost: float
    profit: float
    low: float
    high: float
    gap: float


@dataclass(frozen=True, slots=True)
class Reallocated:
    """An allocation of a plan's visitors (the stranger last) while `days` pass; weight: answers expected of each;
    share: of the days, in which each offer runs (None: all)."""

    plan: OfferPlan
    weight: Floats
    eligible: NDArray[np.bool_]
    allocation: Allocation
    share: Floats | None = None

    def point(self, budget: float | None) -> Point:
        """What it earns, as a point of the frontier."""
        found = self.allocation
        low, high = self._interval()
        visitors, cost = float(found.visitors.sum()), float(found.spent.sum())
        return Point(budget, visitors, cost, found.value, low, high, found.gap)

    def by_offer(self) -> list[dict[str, Any]]:
        """A row for each offer of the plan: offer_id, visitors, expected_cost, expected_profit, price (of its own
        budget)."""
        found = self.allocation
        return [
            {
                "offer_id": offer_id,
                "visitors": float(found.visitors[o]),
                "expected_cost": float(found.spent[o]),
                "expected_profit": float(found.earned[o]),
                "price": float(found.prices[o]),
            }
            for o, offer_id in enumerate(self.plan.offers)
        ]

    def chosen_rows(self) -> pa.Table:
        """A row for each known visitor who is given an offer: user_id, offer_id, expected_profit and expected_cost (if
        it is shown once), weight (answers expected)."""
        rows = np.flatnonzero(self.allocation.chosen[: len(self.plan.users)] >= 0)
        column = self.allocation.chosen[rows]
        gain, cost = (table[rows, column].astype(np.float64) for table in (self.plan.gain, self.plan.cost))
        return pa.table(
            {
                "user_id": pa.array(self.plan.users.ids(rows), pa.string()),
                "offer_id": pa.array(self.plan.offers, pa.string()).take(pa.array(column)),
                "expected_profit": gain - cost,
                "expected_cost": cost,
                "weight": self._answers(rows),
            }
        )

    def _answers(self, rows: NDArray[np.intp]) -> Floats:
        """Expected of these visitors (not of the stranger) while what they are given runs."""
        weight = self.weight[rows]
        if self.share is None:
            return weight
        share = np.append(self.share[self.allocation.chosen[rows]], 1.0)
        return np.where(share < 1, chances(np.append(weight, 0.0), share), np.append(weight, 0.0))[:-1]

    def _interval(self) -> tuple[float, float]:
        shift = np.asarray(self.plan.shift, np.float64)
        rows = np.flatnonzero(self.allocation.chosen[:-1] >= 0)
        groups, offers = shift.shape[1:]
        cell = self.plan.group[rows].astype(np.int64) * offers + self.allocation.chosen[rows]
        weight = np.bincount(cell, self._answers(rows), groups * offers).reshape(groups, offers).astype(np.float64)
        weight[self.plan.group[-1]] += self.allocation.crowd
        profits = self.allocation.value + np.tensordot(shift, weight, axes=2)
        if not len(profits):
            return self.allocation.value, self.allocation.value
        low, high = np.quantile(profits, INTERVAL)
        return float(low), float(high)


def reallocate(
    plan: OfferPlan,
    budgets: Budgets,
    days: float,
    *,
    share: Floats | None = None,
    left_out: Collection[str] = (),
    seed: int = 0,
) -> Reallocated:
    """The plan's visitors under other budgets, over `days` instead of the days that the night looked ahead.

    share: [O], of the days, in which each offer runs; None: all. left_out: visitors who refused or were forgotten
    since, or are held out; they get nothing. Raises InvalidValue as `allocate`.
    """
    weight = chances(plan.weight.astype(np.float64), days / float(plan.manifest.get("period_days", days)))
    eligible = plan.eligible
    gone = plan.users.indices(sorted(left_out))
    if (gone >= 0).any():
        eligible = np.array(eligible)
        eligible[gone[gone >= 0]] = False
    gain, cost = while_running((plan.gain, plan.cost), weight, share)
    return Reallocated(plan, weight, eligible, allocate(gain, cost, eligible, weight, budgets, seed, crowd=True), share)


def frontier(found: Reallocated, budgets: Budgets, seed: int = 0) -> list[Point]:
    """Points at `FACTORS` of the total budget of `budgets`; where there is none, of what `found` costs without."""
    base = float(found.allocation.spent.sum()) if budgets.total is None else budgets.total
    gain, cost = while_running((found.plan.gain, found.plan.cost), found.weight, found.share)
    points = []
    for factor in FACTORS:
        total = None if factor is None else base * factor
        if total == budgets.total:
            points.append(found.point(total))
            continue
        other = replace(budgets, total=total)
        again = allocate(gain, cost, found.eligible, found.weight, other, seed, crowd=True)
        points.append(replace(found, allocation=again).point(total))
    return points


def by_segment(rows: pa.Table, users: pa.Array, inside: Mapping[str, NDArray[np.bool_]]) -> list[dict[str, Any]]:
    """Whom an allocation reaches, by segment; segments overlap, so shares need not sum to 1.

    rows: `Reallocated.chosen_rows`. users: ids; inside: whether each of them is in a segment. Told: segment, members,
    visitors (share of whom is chosen), spending (share of the expected cost); most spending first.
    """
    weight = rows["weight"].to_numpy()
    cost = weight * rows["expected_cost"].to_numpy()
    place = pc.fill_null(pc.index_in(rows["user_id"], value_set=users), -1).to_numpy()
    told = []
    for name, mask in inside.items():
        mine = np.append(mask, False)[place]
        visitors, spending = _share(weight[mine].sum(), weight.sum()), _share(cost[mine].sum(), cost.sum())
        told.append((name, int(mask.sum()), visitors, spending))
    told.sort(key=lambda one: (-one[3], one[0]))
    return [dict(zip(("segment", "members", "visitors", "spending"), one, strict=True)) for one in told]


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else 0.0
