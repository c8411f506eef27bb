"""The expected value of a number given features: first its mean, then a line, then trees, each only as far as rows that
were held out say that it helps.

Few rows leave the mean; some give a ridge regression whose penalty, up to none but the mean, is chosen by held-out
folds; many give boosted trees over what the line leaves (scikit-learn's HistGradientBoostingRegressor), as many as
held-out rows ask for. So one estimator serves arms of ten rows and of a hundred thousand, and noise that no feature
explains yields a constant.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from recommender.effects.rows import FEW, Floats

Table = NDArray[np.float32]
ENOUGH_FOR_TREES = 600
FOLDS = 5
FARTHEST = 4.0
"""Standard deviations at which the line takes a feature to end: far values are not to carry it away."""
PENALTIES = 10.0 ** np.arange(-4, 3, 0.5)
"""Per row, in units of standardised features; inf, the mean alone, is tried too."""
TREES = {"learning_rate": 0.08, "max_leaf_nodes": 8, "l2_regularization": 5.0}
MOST_TREES, PATIENCE = 150, 8
BINS, BINNED_BY = 64, 10_000
"""Bins of a feature, and about how many rows tell their edges."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Features as the line takes them: standardised, unknown as the mean, with a column that says so where it says
    something. varying: [F + gappy], the columns that say what no other one does: a customer file knows nothing of most
    fields of a portrait, and what is unknown together is told once."""

    mean: Floats
    scale: Floats
    gappy: NDArray[np.bool_]
    varying: NDArray[np.bool_]

    @classmethod
    def of(cls, X: Table) -> Scale:
        """From the rows that are learnt from."""
        known = ~np.isnan(X)
        many = np.maximum(known.sum(axis=0), 1)
        filled = np.where(known, X, 0).astype(np.float64)
        mean = filled.sum(axis=0) / many
        spread = np.sqrt((np.where(known, filled - mean, 0) ** 2).sum(axis=0) / many)
        varies = spread > 1e-9 * np.maximum(np.abs(mean), 1e-9)
        share = known.mean(axis=0)
        gappy = (share > 0.01) & (share < 0.99)
        once = np.zeros(int(gappy.sum()), bool)
        if once.size:
            once[np.unique(np.packbits(~known[:, gappy], axis=0), axis=1, return_index=True)[1]] = True
        return cls(mean, np.where(varies, spread, np.inf), gappy, np.append(varies, once))

    def __call__(self, X: Table) -> Floats:
        """[n, F + gappy features]."""
        shifted = np.clip((X - self.mean) / self.scale, -FARTHEST, FARTHEST)
        return np.hstack([np.nan_to_num(shifted, nan=0.0), np.isnan(X[:, self.gappy]).astype(np.float64)])


@dataclass(frozen=True, slots=True)
class Bins:
    """Features as the trees take them: the number of the bin, nan stays. scikit-learn's own bins are those of weighted
    rows, one percentile at a time: on a hundred thousand rows that takes longer than all trees. A feature that fewer
    than `FEW` rows know is 0 for all: what is never known, or known only where it validates, it cannot bin."""

    edges: tuple[Floats, ...]
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, X: Table) -> Bins:
        """About equally many rows a bin."""
        some = X[:: max(len(X) // BINNED_BY, 1)]
        places = np.arange(1, BINS) / BINS
        columns = (column[~np.isnan(column)] for column in some.T)
        edges = tuple(np.unique(np.quantile(one, places)) if len(one) else np.zeros(0) for one in columns)
        return cls(edges, np.count_nonzero(~np.isnan(X), axis=0) >= FEW)

    def __call__(self, X: Table) -> Table:
        """[n, F]"""
        found = np.empty_like(X)
        for at, edges in enumerate(self.edges):
            found[:, at] = np.searchsorted(edges, X[:, at], "right")
        found[np.isnan(X)] = np.nan
        found[:, ~self.known] = 0.0
        return found


@dataclass(frozen=True, slots=True)
class Trees:
    """Boosted trees over bins."""

    bins: Bins
    model: HistGradientBoostingRegressor

    def __call__(self, X: Table) -> Floats:
        """[n]"""
        return np.asarray(self.model.predict(self.bins(X)))


@dataclass(frozen=True, slots=True)
class Mean:
    """A fitted expectation: a constant, a line where there is one, trees where there are any."""

    constant: float
    scale: Scale | None = None
    slope: Floats = field(default_factory=lambda: np.zeros(0))
    trees: Trees | None = None

    def __call__(self, X: Table) -> Floats:
        """[n]: expected values of rows."""
        found = np.full(len(X), self.constant)
        if self.scale is not None and len(X):
            found += self.scale(X) @ self.slope
        if self.trees is not None and len(X):
            found += self.trees(X)
        return found


def fit_mean(X: Table, y: Floats, weight: Floats, seed: int) -> Mean:
    """E[y | X] from rows of some weight; 0 from no rows."""
    if not len(y):
        return Mean(0.0)
    constant = float(np.average(y, weights=weight))
    if len(y) < FEW or not X.shape[1] or float(np.ptp(y)) == 0.0:
        return Mean(constant)
    line = fit_line(X, y - constant, weight, seed)
    line = Mean(constant + line.constant, line.scale, line.slope)
    if len(y) < ENOUGH_FOR_TREES:
        return line
    trees = _trees(X, y - line(X), weight, seed)
    return line if trees is None else Mean(line.constant, line.scale, line.slope, trees)


def fit_line(X: Table, y: Floats, weight: Floats, seed: int) -> Mean:
    """The line alone, from any number of rows above 0."""
    scale = Scale.of(X)
    table = np.hstack([scale(X), np.ones((len(y), 1))])
    fold = np.random.default_rng([seed, len(y)]).permutation(len(y)) % FOLDS
    parts = [_sums(table[fold == one], y[fold == one], weight[fold == one]) for one in range(FOLDS)]
    gram, moment = (np.sum([part[at] for part in parts], axis=0) for at in (0, 1))
    losses = np.zeros(len(PENALTIES) + 1)
    for one, (own_gram, own_moment) in enumerate(parts):
        held, total = fold == one, float(weight[fold != one].sum())
        guesses = _path(gram - own_gram, moment - own_moment, np.append(PENALTIES * total, np.inf))
        left = y[held, None] - table[held] @ guesses
        losses += weight[held] @ left**2
    penalty = (*PENALTIES, np.inf)[int(np.argmin(losses))]
    found = _path(gram, moment, np.array([penalty * float(weight.sum())]))[:, 0]
    return Mean(float(found[-1]), scale if np.isfinite(penalty) else None, found[:-1])


def _sums(table: Floats, y: Floats, weight: Floats) -> tuple[Floats, Floats]:
    weighed = table * weight[:, None]
    return weighed.T @ table, weighed.T @ y


def _path(gram: Floats, moment: Floats, penalties: Floats) -> Floats:
    """[columns, penalties]: the ridge regressions of some penalties, by one decomposition. The last column is the
    constant, which no penalty holds back."""
    total = max(float(gram[-1, -1]), 1e-12)
    mean = gram[:-1, -1] / total
    size, axes = np.linalg.eigh(gram[:-1, :-1] - total * np.outer(mean, mean))
    along = axes.T @ (moment[:-1] - mean * moment[-1])
    slopes = axes @ (along[:, None] / (np.maximum(size, 0.0)[:, None] + penalties))
    return np.vstack([slopes, moment[-1] / total - mean @ slopes])


def _trees(X: Table, y: Floats, weight: Floats, seed: int) -> Trees | None:
    """As many trees as lower the error on held-out rows, learnt again from all rows; None where none does."""
    bins = Bins.of(X)
    binned = bins(X)
    chosen = dict(TREES, min_samples_leaf=max(20, len(y) // 200), random_state=seed % 2**32, max_bins=BINS + 1)
    trial = HistGradientBoostingRegressor(
        **chosen, max_iter=MOST_TREES, early_stopping=True, validation_fraction=0.2, n_iter_no_change=PATIENCE
    ).fit(binned, y, weight)
    best = int(np.argmax(trial.validation_score_))
    if best == 0:
        return None
    model = HistGradientBoostingRegressor(**chosen, max_iter=best, early_stopping=False)
    return Trees(bins, model.fit(binned, y, weight))
