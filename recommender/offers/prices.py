"""Prices of limits: the Lagrangian dual of the allocation, solved by cutting planes in a moving box.

For prices p >= 0 each visitor takes the best offer at these prices, or none; D(p) = sum of limits x prices + sum of
what the visitors then have is never below what any allocation within the limits can earn. Each evaluation adds a cut to
a small linear programme (HiGHS) whose minimum, inside a box around the best prices so far, is tried next: the boxstep
method of Marsten, Hogan and Blankenship (1975), which unlike plain cutting planes does not jump about at the start.
The multipliers of the last programme say in which shares the choices at the tried prices together keep the limits
(Dantzig and Wolfe, 1960): where visitors are alike, no one price does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from recommender.offers.problem import Floats, Problem

SAMPLES = (10_000, 100_000)
STEPS = 400
FAR, NEAR = 0.5, 1.0
"""Half of the first box, by the scale of prices; NEAR / sqrt(visitors), as a sample's prices are off by so much."""
TOLERANCE = 2e-4
MOST_CUTS = 400
LEAST_SHARE = 1e-6


class Priced(NamedTuple):
    """Prices [2 O + 1], and D of them, which no allocation exceeds. shares: of the visitors who choose at each of
    `mixed`, [K] and [K, 2 O + 1]: all together they keep the limits but for rounding."""

    prices: Floats
    bound: float
    shares: Floats
    mixed: Floats


class _Cut(NamedTuple):
    at: Floats
    value: float
    slope: Floats


class _Lowest(NamedTuple):
    at: Floats
    value: float
    shares: Floats


def best_prices(problem: Problem, seed: int) -> Priced:
    """Prices of least bound: found on a sample of visitors, then a larger one, then on all, each from the last."""
    free = np.isfinite(problem.limits) & (problem.potential > problem.limits)
    start = np.zeros(len(problem.limits))
    radius = FAR
    for size in SAMPLES:
        small = problem.sample(size, seed)
        if small is not problem and free.any():
            start = _boxstep(small, free, start, radius, STEPS).prices
            radius = NEAR / np.sqrt(size)
    return _boxstep(problem, free, start, radius, STEPS)


def evaluate(problem: Problem, prices: Floats) -> tuple[float, Floats]:
    """D(prices), and its slope: what is left of every limit when everyone takes their best."""
    worth, used = 0.0, np.zeros(len(prices))
    for rows in problem.blocks():
        scores = problem.scores(rows, prices)
        best = scores.argmax(axis=1)
        top = scores[np.arange(len(best)), best]
        takers = np.flatnonzero(top > 0)
        worth += float(problem.weight[rows][takers] @ top[takers].astype(np.float64))
        offset = rows.start if isinstance(rows, slice) else 0
        used += problem.use(takers + offset, best[takers])
    held = np.isfinite(problem.limits)
    left = np.where(held, problem.limits, 0.0) - used
    return worth + float(problem.limits[held] @ prices[held]), left


def _boxstep(problem: Problem, free: NDArray[np.bool_], start: Floats, radius: float, steps: int) -> Priced:
    center, shares = start.copy(), np.ones(1)
    value, slope = evaluate(problem, center)
    scale = _scale(problem, value)[free]
    cuts = [_Cut(center, value, slope)]
    for _ in range(steps if free.any() else 0):
        low = np.maximum(center[free] - radius * scale, 0.0)
        high = center[free] + radius * scale
        cuts = cuts[-MOST_CUTS:]
        tried = _lowest(cuts, free, low, high)
        shares = tried.shares
        at_edge = bool(((tried.at >= high) | ((tried.at <= low) & (low > 0))).any())
        if value - tried.value <= TOLERANCE * value:
            if not at_edge:
                break
            radius *= 4
            continue
        point = np.zeros_like(center)
        point[free] = tried.at
        found, slope = evaluate(problem, point)
        cuts.append(_Cut(point, found, slope))
        if found < value:
            radius *= 2 if at_edge and value - found > 0.5 * (value - tried.value) else 1
            value, center = found, point
        else:
            radius /= 2
    used = np.flatnonzero(shares > LEAST_SHARE)
    return Priced(center, value, shares[used] / shares[used].sum(), np.array([cuts[k].at for k in used]))


def _scale(problem: Problem, value: float) -> Floats:
    """One step of each price: 1 for money, for visitors what one of them is worth on average."""
    scale = np.ones(len(problem.limits))
    scale[problem.offers + 1 :] = max(value / max(float(problem.weight.sum()), 1e-9), 1e-6)
    return scale


def _lowest(cuts: list[_Cut], free: NDArray[np.bool_], low: Floats, high: Floats) -> _Lowest:
    """Where in the box the greatest of the cuts is least, how low it is, and the share of each cut in it."""
    unit = max(abs(cut.value) for cut in cuts) or 1.0
    slopes = np.array([cut.slope[free] for cut in cuts]) / unit
    heights = np.array([cut.value - cut.slope[free] @ cut.at[free] for cut in cuts]) / unit
    matrix = np.hstack([slopes, -np.ones((len(cuts), 1))])
    goal = np.zeros(matrix.shape[1])
    goal[-1] = 1.0
    box = [*zip(low, high, strict=True), (0.0, None)]
    found = linprog(goal, A_ub=matrix, b_ub=-heights, bounds=box, method="highs")
    if found.x is None:  # beyond what the solver's arithmetic can tell: what was found so far stays
        return _Lowest(low, -np.inf, np.eye(len(cuts))[0])
    return _Lowest(np.clip(found.x[:-1], low, high), float(found.x[-1]) * unit, -found.ineqlin.marginals)
