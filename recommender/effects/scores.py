"""Doubly robust scores: for each row and offer a noisy number whose expectation is the effect of the offer there.

    score_o = mu_o(x) - mu_none(x) + [a = o] w (y - mu_o(x)) - [a = none] w (y - mu_none(x)),   w = 1 / propensity

(Robins, Rotnitzky & Zhao 1994; several actions: Athey & Wager 2021.) It is right where the propensities are, however
wrong mu is, or the other way round. mu is cross-fitted (Chernozhukov et al. 2018): the pooled expectation over all
actions plus what each action's rows leave of it, so that an action of few rows borrows from all. Weights of an action
sum to the rows there are (Hajek) and none is above the square root of them (truncated importance sampling: Ionides
2008). Where an offer could not be given (`Rows.could`) there is nothing to compare, and its score is 0 and counts for
nothing: effects are those on visitors who could have it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recommender.effects.means import Mean, Table, all_told, fit_mean
from recommender.effects.rows import NONE, Floats, Rows, folds

FOLDS = 3
USUAL = 10
ENOUGH_FOR_ARMS = 300
"""Rows of an action from which more than their mean is learnt of what the pool leaves of them."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """E[y | x, action]: what all rows say, and what each action (offers, then none) adds to it."""

    pooled: Mean
    arms: tuple[Mean, ...]

    @classmethod
    def fit(cls, rows: Rows, seed: int) -> Outcomes:
        """From rows; an action without any is taken as the pool."""
        pooled = fit_mean(rows.X, rows.settled, rows.weight, seed)
        left = rows.settled - pooled(rows.X)
        arms = []
        for action in (*range(rows.offers), NONE):
            own = rows.action == action
            told = rows.X[own] if np.count_nonzero(own) >= ENOUGH_FOR_ARMS else rows.X[own, :0]
            arms.append(fit_mean(told, left[own], rows.weight[own], seed))
        return cls(pooled, tuple(arms))

    def __call__(self, X: Table) -> Floats:
        """[n, O + 1]; the last column is none."""
        found = all_told((self.pooled, *self.arms), X)
        return found[:, :1] + found[:, 1:]


@dataclass(frozen=True, slots=True)
class Crossfitted:
    """Outcomes from rows, each told by a model that did not see it. mu: [n, O + 1]."""

    models: tuple[Outcomes, ...]
    mu: Floats

    @classmethod
    def fit(cls, rows: Rows, seed: int) -> Crossfitted:
        """`FOLDS` models; from a single unit, one that has seen it."""
        fold = folds(rows.unit, FOLDS, seed)
        mu = np.zeros((len(rows), rows.offers + 1))
        models = []
        for one in range(FOLDS):
            held = fold == one
            past = rows.take(~held) if (~held).any() else rows
            models.append(Outcomes.fit(past, seed + one))
            mu[held] = models[-1](rows.X[held])
        return cls(tuple(models), mu)

    def __call__(self, X: Table) -> Floats:
        """[n, O + 1] for rows that no model saw: the mean of what they say."""
        return np.asarray(np.mean([model(X) for model in self.models], axis=0))

    def without(self, X: Table) -> Floats:
        """[n]: the same of none alone."""
        parts = [part for model in self.models for part in (model.pooled, model.arms[-1])]
        return np.asarray(all_told(parts, X).sum(axis=1) / len(self.models))


def scores(rows: Rows, mu: Floats) -> Floats:
    """[n, O]: see the module. `mu`: [n, O + 1] from models that did not see the rows."""
    inverse = np.minimum(1 / rows.propensity, np.sqrt(len(rows)))
    none = np.flatnonzero(rows.action == NONE)
    total = rows.pairs.sum(axis=0)
    found = mu[:, :-1] - mu[:, -1:]
    for offer in range(rows.offers):
        own = np.flatnonzero(rows.action == offer)
        beside = none[rows.could[none, offer]]
        for which, at, sign in ((own, offer, 1.0), (beside, rows.offers, -1.0)):
            stands_for = inverse[which] * (total[offer] / max(float(rows.weight[which] @ inverse[which]), 1e-12))
            found[which, offer] += sign * stands_for * (rows.settled[which] - mu[which, at])
    return np.where(rows.could, found, 0.0)


def averages(score: Floats, rows: Rows) -> tuple[Floats, Floats]:
    """Mean score of each offer and its standard error, rows of a unit counted as one: [O], [O]; an offer of less than
    two rows, or without as many of none beside it: 0 and inf. Few rows that happen to agree are no certainty: the
    error is mixed with that of outcomes that vary as everybody's do, which counts as `USUAL` rows."""
    known, given, beside = rows.compared(2), rows.counts()[:-1], rows.beside
    if not known.any():
        return np.zeros(rows.offers), np.full(rows.offers, np.inf)
    pairs = rows.pairs
    total = np.maximum(pairs.sum(axis=0), 1e-12)
    mean = (pairs * score).sum(axis=0) / total
    left = (score - mean) * pairs
    of_units = np.stack([np.bincount(rows.unit, left[:, offer]) for offer in range(rows.offers)], axis=1)
    many = max(len(np.unique(rows.unit)), 2)
    error = np.sqrt((of_units**2).sum(axis=0) * many / (many - 1)) / total
    fewest = np.maximum(np.minimum(given, beside), 1)
    usual = spread_of(rows) ** 2 * (1 / np.maximum(given, 1) + 1 / np.maximum(beside, 1))
    variance = (USUAL * usual + fewest * error**2) / (USUAL + fewest)
    return np.where(known, mean, 0.0), np.where(known, np.sqrt(variance), np.inf)


def spread_of(rows: Rows) -> float:
    """Standard deviation of the outcomes; of a single value its size, and 1 of nothing but noughts: no outcome yet is
    not certainty that there is none (rule of three: Hanley & Lippman-Hand 1983)."""
    if not len(rows):
        return 1.0
    mean = float(np.average(rows.outcome, weights=rows.weight))
    found = float(np.sqrt(np.average((rows.outcome - mean) ** 2, weights=rows.weight)))
    return found or abs(mean) or 1.0
