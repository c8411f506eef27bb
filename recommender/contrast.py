"""Two randomised arms compared: a difference and a ratio with their intervals, and whether they tell anything.

Visitors were drawn into the arms, so visitors are what varies: an average over answers (a click rate) is a ratio of two
sums over visitors, and its variance that of the residuals `of - rate x by` (the delta method; Deng, Knoblich, Lu 2018,
"Applying the Delta Method in Metric Analytics"). Arms of different size and spread: Welch's degrees of freedom.
"""

from __future__ import annotations

from math import inf, isnan, nan, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, t

Floats = npt.NDArray[np.float64]

SURE = 0.95
POWER = 0.8
FEWEST_WITH_ANY = 10
"""Visitors of each arm with anything at all to count, below which an interval would promise what it cannot keep."""

UNLIKELY = 0.001
"""A split of visitors that chance gives less often than this was not made by the draw that the settings state."""


class Arm(NamedTuple):
    """One figure of one arm. visitors: how many. mean: sum of what is counted over sum of what it is counted by (1 for
    each visitor: a mean). error: its standard error; nan for fewer than two visitors. some: visitors with more (or
    less) than nothing to count."""

    visitors: int
    mean: float
    error: float
    some: int

    @classmethod
    def of(cls, counted: Floats, by: Floats | None = None) -> Arm:
        """From one value a visitor."""
        size = len(counted)
        weight = np.ones(size) if by is None else by
        total = float(weight.sum())
        if not total:
            return cls(size, nan, nan, 0)
        mean = float(counted.sum()) / total
        some = int(np.count_nonzero(counted))
        if size < 2:
            return cls(size, mean, nan, some)
        error = float(np.std(counted - mean * weight, ddof=1)) / sqrt(size) / (total / size)
        return cls(size, mean, error, some)

    @classmethod
    def of_sums(cls, visitors: int, counted: float, by: float, squares: tuple[float, float, float], some: int) -> Arm:
        """The same from sums over visitors, as an engine gives them. squares: of counted x counted, counted x by, by x
        by."""
        if not by:
            return cls(visitors, nan, nan, 0)
        mean = counted / by
        if visitors < 2:
            return cls(visitors, mean, nan, some)
        own, both, weights = squares
        rest = max(own - 2 * mean * both + mean**2 * weights, 0.0)
        return cls(visitors, mean, sqrt(rest * visitors / (visitors - 1)) / abs(by), some)


class Contrast(NamedTuple):
    """What the treated arm has beside the control arm.

    difference and lift (difference as a share of control's mean): (value, low, high), nan where nothing can be said.
    detectable: the least difference that so many visitors would have shown in four of five such comparisons. says:
    "more", "less", "alike" (no visitor differs), or "too few to tell". chance: of a difference as great as this where
    there is none (two-sided); nan where nothing can be said.
    """

    treated: Arm
    control: Arm
    difference: tuple[float, float, float]
    lift: tuple[float, float, float]
    detectable: float
    says: str
    chance: float = nan


def contrast(treated: Arm, control: Arm) -> Contrast:
    """Welch's interval of the difference; and of the lift, by the delta method, where control's mean is surely above
    0."""
    value = treated.mean - control.mean
    error = sqrt(treated.error**2 + control.error**2)
    if isnan(error):
        unknown = (value, nan, nan)
        return Contrast(treated, control, unknown, (nan, nan, nan), nan, "too few to tell")
    freedom = _freedom(treated, control)
    wide = float(t.ppf((1 + SURE) / 2, freedom))
    low, high = value - wide * error, value + wide * error
    enough = min(treated.some, control.some) >= FEWEST_WITH_ANY
    says = "alike" if not value and not error else "more" if low > 0 else "less" if high < 0 else "too few to tell"
    detectable = (wide + float(t.ppf(POWER, freedom))) * error if enough else nan
    lift = _lift(treated, control, wide) if enough else (nan, nan, nan)
    says = says if enough else "too few to tell"
    chance = 2 * float(t.sf(abs(value) / error, freedom)) if enough and error else nan
    return Contrast(treated, control, (value, low, high), lift, detectable, says, chance)


def interval(arm: Arm, least: float = -inf, most: float = inf) -> tuple[float, float, float]:
    """(mean, low, high) of one arm by itself, within what such a figure can be; low and high nan where too few visitors
    have anything to count."""
    if arm.some < FEWEST_WITH_ANY or isnan(arm.error):
        return arm.mean, nan, nan
    wide = float(t.ppf((1 + SURE) / 2, arm.visitors - 1)) * arm.error
    return arm.mean, max(arm.mean - wide, least), min(arm.mean + wide, most)


def split_is_unlikely(control: int, everyone: int, share: float) -> bool:
    """Whether a draw with the share of control that the settings state hardly ever splits visitors so."""
    return bool(everyone) and float(binomtest(control, everyone, min(share, 1.0)).pvalue) < UNLIKELY


def _freedom(treated: Arm, control: Arm) -> float:
    parts = [(arm.error**2, arm.visitors - 1) for arm in (treated, control)]
    below = sum(variance**2 / rest for variance, rest in parts)
    return sum(variance for variance, _ in parts) ** 2 / below if below else inf


def _lift(treated: Arm, control: Arm, wide: float) -> tuple[float, float, float]:
    if control.mean - wide * control.error <= 0:
        return nan, nan, nan
    ratio = treated.mean / control.mean
    error = sqrt(treated.error**2 + (ratio * control.error) ** 2) / control.mean
    return ratio - 1, ratio - 1 - wide * error, ratio - 1 + wide * error
