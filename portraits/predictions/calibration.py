"""From scores to probabilities that can be taken at their word, each with an interval, and the measures of that.

A calibrator is learned on a later time than the model, by Platt's two numbers. The interval around a probability is
what a tenth of the later split, all with scores alike, would leave open (Jeffreys' beta interval), widened by how far
whole moments came out above or below what the model says of them: a shop whose seasons swing gets wide intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.stats import beta
from sklearn.metrics import average_precision_score, roc_auc_score

from portraits.predictions.moments import expit, logit
from portraits.predictions.orders import Floats, Ints

BINS = 10
"""Bins of equal size, by score."""
COVER = 0.9
"""Share of cases that an interval of a probability is meant to cover."""
PULL = 2.0
"""How hard the calibrator is pulled to changing nothing, against one row's likelihood."""
FLATTEST = 0.05


class Chances(NamedTuple):
    """Probabilities and their intervals."""

    p: Floats
    low: Floats
    high: Floats


def chances(p: Floats, rows: Floats | float) -> Chances:
    """Probabilities that are known as well as from `rows` cases."""
    side = (1 - COVER) / 2
    yes, no = p * rows + 0.5, (1 - p) * rows + 0.5
    low, high = beta.ppf(side, yes, no), beta.ppf(1 - side, yes, no)
    return Chances(p, np.minimum(low, p), np.maximum(high, p))


@dataclass(frozen=True, slots=True)
class Calibrator:
    """probability = expit(shift + slope x odds). alike: rows that an interval counts on; drift: standard deviation of
    the shift from one moment to another, in log odds."""

    shift: float
    slope: float
    alike: float
    drift: float = 0.0

    @classmethod
    def fit(cls, odds: Floats, happened: Floats, shifts: Sequence[float] = ()) -> Calibrator:
        """From the scores that an earlier model gives to later rows, and what became of them. `shifts`: by which the
        earlier moments missed the same model."""
        shift, slope = platt(odds, happened)
        missed = np.array([missed_by(odds, happened), *shifts]) if len(shifts) else np.zeros(1)
        return cls(shift, slope, max(len(odds) / BINS, 1.0), float(np.sqrt(np.mean(missed**2))))

    def of(self, odds: Floats) -> Chances:
        """Calibrated probabilities."""
        p = expit(self.shift + self.slope * odds)
        return chances(p, 1 / (1 / self.alike + self.drift**2 * p * (1 - p)))


def platt(odds: Floats, happened: Floats) -> tuple[float, float]:
    """Platt 1999, "Probabilistic outputs for support vector machines": shift and slope of greatest likelihood."""

    def loss(numbers: Floats) -> tuple[float, Floats]:
        z = numbers[0] + numbers[1] * odds
        away = numbers - (0.0, 1.0)
        error = expit(z) - happened
        told = float(np.sum(np.logaddexp(0, z) - happened * z)) + PULL * float(away @ away)
        slope = np.array([error.sum(), error @ odds]) + 2 * PULL * away
        return told / len(odds), slope / len(odds)

    found = minimize(loss, np.array([0.0, 1.0]), jac=True, method="L-BFGS-B", bounds=[(-10, 10), (FLATTEST, 10)])
    return float(found.x[0]), float(found.x[1])


def missed_by(odds: Floats, happened: Floats) -> float:
    """By how much, in log odds, rows came out above their scores: one step of Newton's from no shift."""
    p = expit(odds)
    return float(np.sum(happened - p) / (np.sum(p * (1 - p)) + 1.0))


def crossed(odds: Floats, happened: Floats) -> Floats:
    """Probabilities by a calibrator that has not seen the row: each half of the rows is calibrated by the other."""
    half = np.arange(len(odds)) % 2 == 0
    p = np.empty(len(odds))
    for rows in (half, ~half):
        shift, slope = platt(odds[~rows], happened[~rows])
        p[rows] = expit(shift + slope * odds[rows])
    return p


def scores(p: Floats, happened: Floats) -> dict[str, float]:
    """AUC, AP, Brier, log loss, and ECE over `BINS` bins of equal size."""
    mixed = 0 < happened.mean() < 1
    odds = logit(p)
    return {
        "auc": round(float(roc_auc_score(happened, p)), 4) if mixed else 0.5,
        "ap": round(float(average_precision_score(happened, p)), 4) if mixed else float(happened.mean()),
        "brier": round(float(np.mean((p - happened) ** 2)), 5),
        "log_loss": round(float(np.mean(np.logaddexp(0, odds) - happened * odds)), 5),
        "ece": round(ece(p, happened), 4),
    }


def ece(p: Floats, happened: Floats) -> float:
    """Expected calibration error: how far rate and promise are apart in a bin, on average over the rows."""
    return float(sum(abs(np.sum(happened[rows] - p[rows])) for rows in _bins(p)) / len(p))


def _bins(p: Floats) -> list[Ints]:
    return [rows for rows in np.array_split(np.argsort(p, kind="stable").astype(np.int64), BINS) if len(rows)]
