"""A budget is spent over its period and not in its first hour: prices that follow what was spent.

The night's prices would spend a budget exactly if the coming days were as expected; they are not. So the price in
force rises when more was spent than the course of the period foresees by now, and falls when less was (adaptive pacing:
Balseiro and Gur, "Learning in repeated auctions with budgets", 2019; the schedule from the traffic of the hours:
Agarwal et al., "Budget pacing for targeted online advertisements at LinkedIn", 2014). It depends on the books and the
clock alone, so all workers agree, and nothing is remembered.

`AHEAD_HOURS` of average spending (an eighth of a shorter period) is what the schedule gives way: so far ahead of it,
the rate 1 + price is `STRENGTH` times the night's, and nothing is given until the schedule has caught up; so far behind
it, the rate is as much lower, though never below 1: an offer is never worth more than it earns.
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
STRENGTH = 4.0
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
    error = np.clip(_error(purses, pace, now_local), -1.0, 1.0)
    return np.maximum((1.0 + np.asarray(prices, np.float64)) * STRENGTH**error - 1.0, 0.0)


def admits(
    claims: Sequence[float] | Floats, purses: Purses, pace: Sequence[float], now_local: datetime
) -> NDArray[np.bool_]:
    """Whether each budget can carry one claim more, [B], of at most `claims` each, and is not too far ahead."""
    claim = np.asarray(claims, np.float64)
    over = (purses.spent + claim > purses.budget) | (purses.spent_today + claim > purses.daily_budget)
    found: NDArray[np.bool_] = ~over & ((claim == 0) | (_error(purses, pace, now_local) < 1.0))
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


def _error(purses: Purses, pace: Sequence[float], now_local: datetime) -> Floats:
    """How far each budget is ahead of its course, in parts of what it may be ahead; below 0: behind. The worse of its
    period and its day; 0, as the night foresaw, where there is nothing to pace."""
    midnight = now_local.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1e6
    starts_us = np.append(purses.starts_us, midnight)
    ends_us = np.append(purses.ends_us, midnight + 24 * HOUR_US)
    planned = scheduled(starts_us, ends_us, pace, now_local)
    most = np.minimum(AHEAD_HOURS * HOUR_US / (ends_us - starts_us), SHORT)
    whole = _ahead(purses.spent, purses.budget, planned[:-1], most[:-1])
    worse = np.fmax(whole, _ahead(purses.spent_today, purses.daily_budget, planned[-1], most[-1]))
    return np.where(np.isnan(worse), 0.0, worse)


def _ahead(spent: Floats, budget: Floats, planned: Floats | float, most: Floats | float) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(budget == 0, np.inf, (spent / budget - planned) / most)
