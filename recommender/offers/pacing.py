"""A budget is spent over its period and not in its first hour: prices that follow what is left.

The night's prices would spend a budget exactly if the coming days were as expected; they are not. So the problem is
solved anew all the time, by one number: how much of the budget's course is left, over how much of the budget is left
(re-solving: Jasin and Kumar, "A re-solving heuristic with bounded revenue loss", 2012; as a price: Balseiro and Gur,
"Learning in repeated auctions with budgets", 2019; the course from the traffic of the hours: Agarwal et al., "Budget
pacing for targeted online advertisements at LinkedIn", 2014). Where more was spent than the course foresees, what is
left has to last longer, and the rate 1 + price is `DEARER` powers of that number higher; where less was, it is
`CHEAPER` powers lower, though never below 1: an offer is never worth more than it earns. The price depends on the books
and the clock alone, so all workers agree, and nothing is remembered.

So a burst of visitors is served at a price that rises while it lasts: they are as good as any, and may be those of
later. A price can hold back only what is weighed against it. Where nothing is (no night yet, an offer that no night has
seen, a visitor of whom nothing personal may be used), nothing is given while more than `AHEAD_HOURS` of average
spending (an eighth of a shorter period) is spent than the course foresees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

AHEAD_HOURS = 6.0
SHORT = 1 / 8
DEARER, CHEAPER = 1.75, 8.0
"""Powers by which the rate answers a budget that is ahead of its course, and one that is behind. Less ahead than
behind: spending ahead may be a burst that ends, and what is left unspent at the end is lost."""
MOST = 16.0
"""The rate stays between the night's divided by this and the night's times this."""
LEAST_LEFT = 0.02
"""Added to the shares that are left of a course and of its budget: near 0 their ratio says little."""
LEAST_PACE = 0.05
"""Part of the spending that is spread evenly, so that an hour without any traffic so far has a course, too."""
WEEK = 168
HOUR_US = 3.6e9
MONDAY = 96.0
"""Hours from 1970-01-01, a Thursday, to the first Monday."""

Floats = NDArray[np.float64]


class Purse(NamedTuple):
    """A budget and what was spent of it, in minor units; None: no such limit. spent_today: in the local day. It is
    paced where both its ends are known."""

    budget: float | None = None
    daily_budget: float | None = None
    spent: float = 0.0
    spent_today: float = 0.0
    starts_us: float | None = None
    ends_us: float | None = None


@dataclass(frozen=True, slots=True)
class Purses:
    """B budgets as columns, nan for what is not limited. Made once, asked many times."""

    budget: Floats
    daily_budget: Floats
    spent: Floats
    spent_today: Floats
    starts_us: Floats
    ends_us: Floats

    @classmethod
    def of(cls, purses: Iterable[Purse]) -> Purses:
        """From one `Purse` each."""
        table = np.array([*purses], dtype=np.float64).reshape(-1, len(Purse._fields))
        return cls(*table.T)


def prices_now(prices: Sequence[float] | Floats, purses: Purses, pace: Sequence[float], now_local: datetime) -> Floats:
    """The prices in force now, [B]: what a minor unit of each budget is worth beyond itself.

    prices: the night's, [B]. pace: 168 shares of a week's spending by local hour, from Monday's first on. now_local:
    aware, in the app's time zone. An hour by which the clocks change is not seen.
    """
    scarce = _scarce(purses, pace, now_local)
    power = np.clip(np.where(scarce > 0, DEARER, CHEAPER) * scarce, -np.log(MOST), np.log(MOST))
    return np.maximum((1.0 + np.asarray(prices, np.float64)) * np.exp(power) - 1.0, 0.0)


def admits(claims: Sequence[float] | Floats, purses: Purses) -> NDArray[np.bool_]:
    """Whether each budget can carry one claim more, [B], of at most `claims` each."""
    claim = np.asarray(claims, np.float64)
    over = (purses.spent + claim > purses.budget) | (purses.spent_today + claim > purses.daily_budget)
    found: NDArray[np.bool_] = ~over
    return found


def on_course(
    claims: Sequence[float] | Floats, purses: Purses, pace: Sequence[float], now_local: datetime
) -> NDArray[np.bool_]:
    """Whether so little more is spent than a period and a day foresee that what no price holds back may be given, [B].
    One claim, of at most `claims` each, is not too much: of a small budget it is more than hours foresee."""
    course, claim = _course(purses, pace, now_local), np.asarray(claims, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        one = np.stack((claim / purses.budget, claim / purses.daily_budget))
    ahead = course.spent - one - course.planned >= course.slack
    found: NDArray[np.bool_] = ~np.logical_or(ahead[0], ahead[1])
    return found


def scheduled(starts_us: Floats, ends_us: Floats, pace: Sequence[float], now_local: datetime) -> Floats:
    """Share of a budget that should be spent by now, from its start to its end; nan where one of them is not known."""
    moments = np.concatenate((starts_us, ends_us, [now_local.timestamp() * 1e6]))
    passed = _passed(moments, pace, now_local.utcoffset() or timedelta())
    start, end = passed[: len(starts_us)], passed[len(starts_us) : -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Floats = np.clip((passed[-1] - start) / (end - start), 0.0, 1.0)
    return share


def _passed(moments_us: Floats, pace: Sequence[float], offset: timedelta) -> Floats:
    """How much of a week's spending has passed since a Monday long ago, by local time: 1 each week."""
    hours = np.asarray(pace, np.float64)
    total = hours.sum()
    share = hours / total if total > 0 else np.full(WEEK, 1 / WEEK)
    sums = np.concatenate(([0.0], np.cumsum((1 - LEAST_PACE) * share + LEAST_PACE / WEEK)))
    weeks, within = np.divmod((moments_us + offset.total_seconds() * 1e6) / HOUR_US - MONDAY, WEEK)
    found: Floats = weeks + np.interp(within, np.arange(WEEK + 1), sums)
    return found


class _Course(NamedTuple):
    """Of each budget's period and day, [2, B]: shares of the budget that are spent and that were to be by now, and by
    how much the first may exceed the second. nan where there is nothing to pace."""

    spent: Floats
    planned: Floats
    slack: Floats


def _course(purses: Purses, pace: Sequence[float], now_local: datetime) -> _Course:
    midnight = now_local.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1e6
    starts_us = np.append(purses.starts_us, midnight)
    ends_us = np.append(purses.ends_us, midnight + 24 * HOUR_US)
    planned = scheduled(starts_us, ends_us, pace, now_local)
    slack = np.minimum(AHEAD_HOURS * HOUR_US / (ends_us - starts_us), SHORT)
    with np.errstate(invalid="ignore", divide="ignore"):
        spent = np.stack((purses.spent / purses.budget, purses.spent_today / purses.daily_budget))
    of_day = np.full((2, len(purses.budget)), ((planned[-1],), (slack[-1],)))
    return _Course(spent, np.stack((planned[:-1], of_day[0])), np.stack((slack[:-1], of_day[1])))


def _scarce(purses: Purses, pace: Sequence[float], now_local: datetime) -> Floats:
    """Log of what is left of each budget's course over what is left of the budget, [B]: 0 on its course, above 0 ahead
    of it. The worse of its period and its day; 0, as the night foresaw, where there is nothing to pace."""
    course = _course(purses, pace, now_local)
    left = np.maximum(1.0 - course.spent, 0.0)
    worse: Floats = np.fmax.reduce(np.log((1.0 - course.planned + LEAST_LEFT) / (left + LEAST_LEFT)))
    return np.where(np.isnan(worse), 0.0, worse)
