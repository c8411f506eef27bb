"""What a visitor will spend within a horizon.

For buyers, the geometric mean of two estimates: a Poisson regression on what is known of them, and orders to expect by
BG/NBD times what an order of theirs is worth. The first learns, the second cannot run away with a few huge orders. On
the later split the two together must beat the second alone (by Poisson deviance), which else speaks alone. What those
who have not bought yet will spend is their probability to buy times what such first buyers spent.

The interval covers what a visitor will really spend in `COVER` of the cases: the quantiles of what came of those with
like estimates on the later split.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import PoissonRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from portraits.predictions.bgnbd import BgNbd
from portraits.predictions.blend import MOST_ROWS
from portraits.predictions.buying import (
    BUYERS,
    EMPIRICAL,
    ENOUGH_FOR_CELLS,
    ENOUGH_TO_LEARN,
    MODEL,
    NONE,
    POOLED,
    Study,
)
from portraits.predictions.moments import Moment
from portraits.predictions.orders import Floats, Ints
from portraits.predictions.samples import BETWEEN, Samples, capped, stacked

COVER = 0.8
ROWS_OF_A_SPREAD = 50
"""Rows with like estimates from which quantiles are taken, at least."""
MOST_SPREADS = 20
PENALTY = 0.1
WIDEST = 4.0
"""How many times more than anyone did, an estimate may promise."""


class Values(NamedTuple):
    """Money to expect, and the interval."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles of what came of an estimate, as multiples of it, by classes of estimates (upper `edges`)."""

    edges: Floats
    low: Floats
    high: Floats

    @classmethod
    def fit(cls, expected: Floats, came: Floats) -> Spread | None:
        """None where there are too few rows to tell."""
        classes = min(len(came) // ROWS_OF_A_SPREAD, MOST_SPREADS)
        if not classes:
            return None
        parts = np.array_split(np.argsort(expected, kind="stable"), classes)
        side = (1 - COVER) / 2
        times = [np.quantile(came[rows] / np.maximum(expected[rows], 1.0), (side, 1 - side)) for rows in parts]
        low, high = np.array(times).T
        return cls(np.array([expected[rows[-1]] for rows in parts[:-1]]), low, high)

    def of(self, expected: Floats) -> Values:
        """Estimates with their intervals."""
        at = np.searchsorted(self.edges, expected)
        return Values(expected, np.minimum(self.low[at], 1) * expected, np.maximum(self.high[at], 1) * expected)


class Line(NamedTuple):
    """A regression of money in units of `unit`, since penalties mean nothing for fen."""

    pipeline: Pipeline
    unit: float

    def of(self, X: Floats) -> Floats:
        """Money."""
        return np.asarray(self.pipeline.predict(X) * self.unit)


@dataclass(frozen=True, slots=True)
class BuyersValue:
    """`line` is None where BG/NBD speaks alone. scale: what the later split came out at, against the estimates."""

    days: int
    shop: BgNbd
    line: Line | None
    scale: float
    most: float
    spread: Spread | None
    basis: str

    def of(self, moment: Moment) -> Values:
        """Of the buyers at a moment."""
        expected = self.scale * _expected(self.line, self.shop, moment, self.days, self.most)
        if self.spread is None:
            unknown = np.full(len(expected), np.nan)
            return Values(expected, unknown, unknown)
        return self.spread.of(expected)


def of_buyers(study: Study, days: int) -> tuple[BuyersValue | None, dict[str, Any]]:
    """What estimates of buyers stand on, and the account of it; None where nothing can be said."""
    samples = study.samples
    if samples.days < days or len(samples.moment(0).buyers) < ENOUGH_TO_LEARN:
        return None, {"basis": NONE}
    later = samples.later(days)
    if later is None:
        return BuyersValue(days, study.shop(0), None, 1.0, np.inf, None, POOLED), {"basis": POOLED}
    came, moment, then = _spent(samples, later, days), samples.moment(later), study.shop(later)
    line, most = None, max(float(came.max(initial=0)) * WIDEST, 1.0)
    alone = _expected(None, then, moment, days, most)
    account: dict[str, Any] = {"later_days": later, "rows": len(came)}
    expected, refitted = alone, None
    if min((came > 0).sum(), len(came)) >= ENOUGH_TO_LEARN and (earlier := samples.earlier(days)):
        line = _line(study, then, earlier, days)
        both = _expected(line, then, moment, days, most)
        account["scores"] = {"model": _scores(both, came), "rule": _scores(alone, came)}
        if account["scores"]["model"]["deviance"] < account["scores"]["rule"]["deviance"]:
            moments = [later, *samples.earlier(days, BETWEEN), *earlier]
            expected, refitted = both, _line(study, study.shop(0), moments, days)
    scale = _scale(expected, came)
    basis = MODEL if refitted is not None else EMPIRICAL
    spread = Spread.fit(scale * expected, came)
    return BuyersValue(days, study.shop(0), refitted, scale, most, spread, basis), account | {"basis": basis}


def first_spend(samples: Samples, days: int) -> float | None:
    """What those spend within the horizon, on average, who had not bought before and then do; None if not known."""
    later = samples.later(days)
    if later is None:
        return None
    spent = samples.after(later, days).total[samples.moment(later).others]
    spent = spent[spent > 0]
    return float(spent.mean()) if len(spent) >= ENOUGH_FOR_CELLS else None


def _line(study: Study, shop: BgNbd, moments: list[int], days: int) -> Line:
    X = stacked([_columns(study.samples.moment(before), shop, days) for before in moments])
    spent = stacked([_spent(study.samples, before, days) for before in moments])
    rows = capped(len(X), MOST_ROWS, study.seed)
    unit = max(float(spent.mean()), 1.0)
    line = make_pipeline(StandardScaler(), PoissonRegressor(alpha=PENALTY, solver="newton-cholesky", max_iter=200))
    return Line(line.fit(X[rows], spent[rows] / unit), unit)


def _expected(line: Line | None, shop: BgNbd, moment: Moment, days: int, most: float) -> Floats:
    alone = _alone(moment, shop, days)
    if line is None or not len(alone):
        return np.minimum(alone, most)
    return np.minimum(np.sqrt(line.of(_columns(moment, shop, days)) * alone), most)


def _alone(moment: Moment, shop: BgNbd, days: int) -> Floats:
    return shop.orders(moment.rhythm, days) * moment.order_value


def _columns(moment: Moment, shop: BgNbd, days: int) -> Floats:
    return np.column_stack([BUYERS.columns(moment, shop, days), np.log1p(_alone(moment, shop, days))])


def _spent(samples: Samples, before: int, days: int) -> Floats:
    return samples.after(before, days).total[samples.moment(before).buyers]


def _scale(expected: Floats, came: Floats) -> float:
    """Ratio of what came to what was expected, drawn to 1 as by ten rows of the average."""
    some = 10 * float(expected.mean()) if len(expected) else 1.0
    return float((came.sum() + some + 1) / (expected.sum() + some + 1))


def _scores(expected: Floats, came: Floats) -> dict[str, float]:
    """After the scale is set right: Poisson deviance, RMSE, MAE, rank correlation."""
    told = np.maximum(expected * _scale(expected, came), 1e-3)
    logs = np.where(came > 0, came * np.log(np.maximum(came, 1e-9) / told), 0.0)
    return {
        "deviance": round(float(2 * np.mean(logs - came + told)), 2),
        "rmse": round(float(np.sqrt(np.mean((told - came) ** 2))), 2),
        "mae": round(float(np.mean(np.abs(told - came))), 2),
        "rank_correlation": round(_rank_correlation(told, came), 4),
    }


def _rank_correlation(a: Floats, b: Floats) -> float:
    ranks = np.array([_ranks(value) for value in (a, b)])
    return float(np.corrcoef(ranks)[0, 1]) if ranks.std(axis=1).min() > 0 else 0.0


def _ranks(value: Floats) -> Floats:
    """Average ranks."""
    _, place, count = np.unique(value, return_inverse=True, return_counts=True)
    last: Ints = np.cumsum(count)
    return np.asarray((last - (count - 1) / 2)[place])
