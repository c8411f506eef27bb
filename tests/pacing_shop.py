"""A coupon shop of one budget for benchmarks and tests of pacing: visitors arrive by the hour, each with a gain."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from recommender.offers.pacing import Purse, Purses, admits, prices_now

ZONE = ZoneInfo("Asia/Shanghai")
MONDAY = datetime(2026, 3, 2, tzinfo=ZONE)
COST = 100.0
CLAIM = 200
STEP = timedelta(minutes=5)
HOURS = 168

Floats = NDArray[np.float64]


def usual() -> Floats:
    """Arrivals by hour of the week: none at night, most in the evening and at the weekend."""
    day = np.array([0, 0, 0, 0, 0, 0, 1, 2, 4, 5, 5, 6, 8, 6, 5, 5, 5, 6, 8, 10, 12, 10, 6, 2], float)
    return np.concatenate([day * (1.5 if d >= 5 else 1.0) for d in range(7)])


class Lived(NamedTuple):
    """spent: at the end of each hour, as a share of the budget. value: profit. best: with hindsight."""

    spent: Floats
    value: float
    best: float


def week(
    arrivals: Floats, budget: float, price: float, *, paced: bool, seed: int = 0, daily: float | None = None
) -> Lived:
    """A week in which visitors come by `arrivals` (a count an hour). A gain is COST x a lognormal; who is given the
    offer spends 0, COST or CLAIM, COST on average."""
    rng = np.random.default_rng(seed)
    spent = value = 0.0
    course, all_worth = [], []
    for hour in range(HOURS):
        if hour % 24 == 0:
            today = 0.0
        for step in range(12):
            now = MONDAY + timedelta(hours=hour) + step * STEP
            gains = COST * rng.lognormal(0.3, 0.7, rng.poisson(arrivals[hour] / 12))
            costs = rng.choice([0.0, COST, CLAIM], len(gains))
            all_worth.append(gains)
            ends = MONDAY + timedelta(days=7)
            purse = Purse(budget, daily, spent, today, MONDAY.timestamp() * 1e6, ends.timestamp() * 1e6)
            purses = Purses.of([purse])
            now_price = float(prices_now([price], purses, usual(), now)[0]) if paced else price
            if paced and not admits([CLAIM], purses)[0]:
                continue
            for gain, cost in zip(gains, costs, strict=True):
                if gain > (1 + now_price) * COST and spent + CLAIM <= budget:
                    spent, today, value = spent + cost, today + cost, value + gain - COST
        course.append(spent / budget)
    gains = np.sort(np.concatenate(all_worth))[::-1]
    n = int(budget / COST)
    best = float(np.maximum(gains[:n] - COST, 0).sum())
    return Lived(np.array(course), value, best)


def price_for(arrivals: Floats, budget: float) -> float:
    """The night's price, if the week is as foreseen: as many as the budget carries are worth it."""
    gains = np.random.default_rng(99).lognormal(0.3, 0.7, 100_000)
    share = min(budget / COST / arrivals.sum(), 1.0)
    return max(float(np.quantile(gains, 1 - share)) - 1.0, 0.0)


def burst(arrivals: Floats) -> Floats:
    """The same number, half of them in the first three hours of Monday's morning."""
    odd = arrivals / 2
    odd[9:12] += arrivals.sum() / 6
    return odd


WEEKS: dict[str, Callable[[Floats], Floats]] = {
    "as foreseen": lambda a: a,
    "bursty morning": burst,
    "festival, twice": lambda a: a * 2,
    "half": lambda a: a / 2,
}
