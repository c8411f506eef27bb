"""How well predicted effects rank visitors, for one offer against none: Qini, area under the uplift curve, uplift at k.

Visitors stand in order of their predicted effect, the highest first. Within the first share x of them (by weight, see
below) let Y_t, Y_c be the sums of the outcomes of those with the offer and without, N_t, N_c their numbers; at x = 1
these are all. Visitors of equal prediction are one step. Where one side is empty its mean counts as 0.

- Qini curve (Radcliffe 2007, "Using control groups to target on predicted lift"): Q = (Y_t - Y_c N_t / N_c) / N_t(1),
  what the offer added a treated visitor so far. scikit-uplift's and causalml's qini_curve are this times N_t(1).
- Qini coefficient: the area between Q and the straight line to its end (a random order), unnormalised: 0 for a random
  order, in units of the outcome. `qini_ratio`: the same over that of the best order that outcomes of 0 and 1 allow
  (first who bought with the offer, last who bought without it): scikit-uplift's qini_auc_score(negative_effect=True).
- Uplift curve (Gutierrez & Gerardy 2017, "Causal inference and uplift modelling"): G(x) = (Y_t / N_t - Y_c / N_c) x,
  what a visitor of all gains if the first x get the offer. scikit-uplift's uplift_curve is this times the rows.
- AUUC: the area under G, unnormalised: half the average effect for a random order. (causalml's auuc_score divides by
  G(1); scikit-uplift's takes the best order's as 1.)
- uplift at k: G(k) / k, the mean effect among the first k (scikit-uplift: uplift_at_k, strategy "overall").

Rows count as 1 / propensity of the action taken, so that both sides stand for everybody (Horvitz & Thompson 1952).
Intervals: percentiles of bootstrap draws over units (Efron 1979), the order as given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from portraits.errors import InvalidValue
from recommender.effects.rows import Floats

LEVEL = 0.95
DRAWS = 200


class Measured(NamedTuple):
    """A figure with its interval of `LEVEL`; nan where there is nothing to tell it from."""

    value: float
    low: float
    high: float

    def as_json(self) -> list[float] | None:
        """[value, low, high], or None."""
        return None if np.isnan(self.value) else [round(float(one), 6) for one in self]


class Curve(NamedTuple):
    """Points of a curve from (0, 0) on; share: of the visitors, 0 to 1."""

    share: Floats
    gain: Floats

    def area(self) -> float:
        """Under the curve, by trapezia."""
        return float(np.trapezoid(self.gain, self.share))


@dataclass(frozen=True, slots=True)
class Ranked:
    """Rows of one offer and of none, in order of what was predicted; ends: the last row of each step."""

    treated: NDArray[np.bool_]
    outcome: Floats
    weight: Floats
    unit: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        predicted: NDArray[Any],
        treated: NDArray[Any],
        outcome: NDArray[Any],
        propensity: NDArray[Any] | None = None,
        unit: NDArray[Any] | None = None,
    ) -> Ranked:
        """predicted: effect of the offer [n]. treated: whether the row had it. propensity: of what it had, 1 for all by
        default (a plain experiment). unit: whose row; each its own by default. Raises InvalidValue naming what is of
        another length."""
        n = len(predicted)
        chance = np.ones(n) if propensity is None else np.asarray(propensity, np.float64)
        whose = np.arange(n) if unit is None else np.unique(np.asarray(unit), return_inverse=True)[1]
        for name, given in (("treated", treated), ("outcome", outcome), ("propensity", chance), ("unit", whose)):
            if len(given) != n:
                raise InvalidValue(name, len(given), f"as many rows as predicted ({n})")
        if n and not (chance.min() > 0 and chance.max() <= 1):
            raise InvalidValue("propensity", [float(chance.min()), float(chance.max())], "above 0 and at most 1")
        order = np.argsort(-np.asarray(predicted, np.float64), kind="stable")
        told = np.asarray(predicted, np.float64)[order]
        ends = np.append(np.flatnonzero(np.diff(told)), n - 1) if n else np.zeros(0, np.int64)
        shown, came = np.asarray(treated, bool)[order], np.asarray(outcome, np.float64)[order]
        return cls(shown, came, 1 / chance[order], whose[order].astype(np.int64), ends)

    def sums(self, times: Floats | None = None) -> tuple[Floats, Floats, Floats, Floats]:
        """N_t, N_c, Y_t, Y_c after each step, from 0 on. times: how often each row counts."""
        weight = self.weight if times is None else self.weight * times
        with_it, without = np.where(self.treated, weight, 0.0), np.where(self.treated, 0.0, weight)
        parts = (with_it, without, with_it * self.outcome, without * self.outcome)
        first, second, third, fourth = (np.append(0.0, np.cumsum(part)[self.ends]) for part in parts)
        return first, second, third, fourth

    def measured(self, figure: Callable[[tuple[Floats, ...]], float], seed: int, draws: int) -> Measured:
        """A figure of the sums, with its interval."""
        value = figure(self.sums())
        units = int(self.unit.max(initial=-1)) + 1
        if np.isnan(value) or units < 2:
            return Measured(value, float("nan"), float("nan"))
        rng = np.random.default_rng(seed)
        found = []
        for _ in range(draws):
            times = np.bincount(rng.integers(0, units, units), minlength=units).astype(np.float64)
            found.append(figure(self.sums(times[self.unit])))
        low, high = np.nanpercentile(found, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
        return Measured(value, float(low), float(high))


def qini_curve(ranked: Ranked) -> Curve:
    """Q of the module's text."""
    return _qini(ranked.sums())


def uplift_curve(ranked: Ranked) -> Curve:
    """G of the module's text."""
    return _uplift(ranked.sums())


def qini(ranked: Ranked, seed: int = 0, draws: int = DRAWS) -> Measured:
    """The Qini coefficient; nan without rows of both sides."""
    return ranked.measured(_qini_area, seed, draws)


def auuc(ranked: Ranked, seed: int = 0, draws: int = DRAWS) -> Measured:
    """The area under the uplift curve; nan without rows of both sides."""
    return ranked.measured(lambda sums: _uplift(sums).area() if _both(sums) else float("nan"), seed, draws)


def uplift_at_k(ranked: Ranked, k: float, seed: int = 0, draws: int = DRAWS) -> Measured:
    """The mean effect among the first `k` (a share, above 0 and at most 1) of the visitors; within a step of equal
    predictions everybody counts in part. Raises InvalidValue for another k."""
    if not 0 < k <= 1:
        raise InvalidValue("k", k, "a share above 0 and at most 1")

    def figure(sums: tuple[Floats, ...]) -> float:
        curve = _uplift(sums)
        return float(np.interp(k, curve.share, curve.gain)) / k if _both(sums) else float("nan")

    return ranked.measured(figure, seed, draws)


def qini_ratio(ranked: Ranked) -> float:
    """The Qini coefficient over the best order's; nan where that has none. For outcomes of 0 and 1 (raises
    InvalidValue else)."""
    if not np.isin(ranked.outcome, (0.0, 1.0)).all():
        raise InvalidValue("outcome", float(ranked.outcome.max()), "0 and 1")
    best = np.where(ranked.treated, ranked.outcome, -ranked.outcome)
    ideal = Ranked.of(best, ranked.treated, ranked.outcome, 1 / ranked.weight, ranked.unit)
    most = _qini_area(ideal.sums())
    return _qini_area(ranked.sums()) / most if most > 0 else float("nan")


def _both(sums: tuple[Floats, ...]) -> bool:
    return bool(sums[0][-1] > 0 and sums[1][-1] > 0)


def _share(treated: Floats, others: Floats) -> Floats:
    together = treated + others
    return np.asarray(together / together[-1]) if together[-1] > 0 else together


def _over(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _qini(sums: tuple[Floats, ...]) -> Curve:
    treated, others, with_it, without = sums
    added = with_it - without * _over(treated, others)
    return Curve(_share(treated, others), added / (treated[-1] if treated[-1] > 0 else 1.0))


def _qini_area(sums: tuple[Floats, ...]) -> float:
    curve = _qini(sums)
    return curve.area() - float(curve.gain[-1]) / 2 if _both(sums) else float("nan")


def _uplift(sums: tuple[Floats, ...]) -> Curve:
    treated, others, with_it, without = sums
    share = _share(treated, others)
    return Curve(share, (_over(with_it, treated) - _over(without, others)) * share)
