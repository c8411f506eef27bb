"""The expected value of a number given features: first its mean, then a line, then trees, each only as far as rows that
were held out say that it helps.

Few rows leave the mean; some give a ridge regression whose penalty, up to none but the mean, is chosen by held-out
folds; many give boosted trees over what the line leaves (scikit-learn's HistGradientBoostingRegressor), as many as
held-out rows ask for. So one estimator serves arms of ten rows and of a hundred thousand, and noise that no feature
explains yields a constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

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
MOST_ROWS = 120_000
"""Rows that are learnt from, by lot; more hardly change what is learnt."""
BLOCK = 1 << 12
"""Rows looked at together: what is made of them stays in the processor's cache."""


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
        found = np.empty((len(X), len(self.varying)))
        for start in range(0, len(X), BLOCK):
            rows, some = X[start : start + BLOCK], found[start : start + BLOCK, : X.shape[1]]
            np.divide(np.subtract(rows, self.mean, out=some), self.scale, out=some)
            np.copyto(np.clip(some, -FARTHEST, FARTHEST, out=some), 0.0, where=np.isnan(some))
            found[start : start + BLOCK, X.shape[1] :] = np.isnan(rows[:, self.gappy])
        return found


@dataclass(frozen=True, slots=True)
class Bins:
    """Features as the trees take them: the number of the bin, nan stays. scikit-learn's own bins are those of weighted
    rows, one percentile at a time: on a hundred thousand rows that takes longer than all trees. columns: features that
    `FEW` rows know and that are not the same for all: the others say nothing, and scikit-learn cannot bin what is never
    known. edges: float64 [BINS - 1, columns]."""

    columns: NDArray[np.int64]
    edges: Floats

    @classmethod
    def of(cls, X: Table) -> Bins:
        """About equally many rows a bin."""
        known = np.count_nonzero(~np.isnan(X), axis=0)
        varies = (known < len(X)) | (np.fmin.reduce(X) < np.fmax.reduce(X))
        columns = np.flatnonzero((known >= FEW) & varies)
        some = np.sort(X[:: max(len(X) // BINNED_BY, 1), columns], axis=0)  # what is not known comes last
        last = np.maximum(np.count_nonzero(~np.isnan(some), axis=0) - 1, 0)
        at = np.arange(1, BINS)[:, None] / BINS * last
        low = at.astype(np.int64)
        below, above = (np.take_along_axis(some, one, axis=0) for one in (low, np.minimum(low + 1, last)))
        return cls(columns, below + (above - below) * (at - low))

    def __call__(self, X: Table) -> Table:
        """[n, columns]"""
        found = np.ascontiguousarray(X[:, self.columns])
        missing = np.isnan(found)
        for at, edges in enumerate(self.edges.T):
            found[:, at] = np.searchsorted(edges, found[:, at], "right")
        found[missing] = np.nan
        return found


@dataclass(frozen=True, slots=True)
class Trees:
    """Boosted trees that were learnt over bins and ask for features as they come: visitors are not binned anew for each
    of a hundred models."""

    columns: NDArray[np.int64]
    model: HistGradientBoostingRegressor

    @classmethod
    def of(cls, model: HistGradientBoostingRegressor, bins: Bins) -> Trees:
        """The thresholds become those of features: a bin is k or less where the value is below edge k. (scikit-learn
        has no door to what its trees ask.)"""
        most = np.vstack([np.nextafter(bins.edges, -np.inf), np.full(len(bins.columns), np.inf)])
        for (tree,) in model._predictors:
            asks = tree.nodes["is_leaf"] == 0
            k = np.minimum(tree.nodes["num_threshold"][asks], BINS - 1).astype(np.int64)
            tree.nodes["num_threshold"][asks] = most[k, tree.nodes["feature_idx"][asks]]
        return cls(bins.columns, model)

    def __call__(self, X: Floats) -> Floats:
        """[n]"""
        return np.asarray(self.model.predict(X[:, self.columns]))


@dataclass(frozen=True, slots=True)
class Mean:
    """A fitted expectation: a constant, a line where there is one, trees where there are any."""

    constant: float
    scale: Scale | None = None
    slope: Floats = field(default_factory=lambda: np.zeros(0))
    trees: Trees | None = None

    def __call__(self, X: Table) -> Floats:
        """[n]: expected values of rows."""
        return all_told((self,), X)[:, 0]


def all_told(means: Sequence[Mean], X: Table) -> Floats:
    """[n, K]: what each of K means expects of rows, in one pass over these."""
    found = np.tile(np.array([one.constant for one in means]), (len(X), 1))
    trees = [(place, one.trees) for place, one in enumerate(means) if one.trees is not None]
    lines = {place: (one.scale, one.slope) for place, one in enumerate(means) if one.scale is not None}
    slopes = _Slopes.of(list(lines.values()), X.shape[1]) if lines else None
    for start in range(0, len(X) if lines or trees else 0, BLOCK):
        part = slice(start, start + BLOCK)
        some = X[part].astype(np.float64)
        if slopes is not None:
            found[part, list(lines)] += slopes(some)
        for place, model in trees:
            found[part, place] += model(some)
    return found


class _Slopes(NamedTuple):
    """K lines that take features as `Scale` does, for any rows at once: features times slopes, less what is beyond the
    end of a line. columns: features that any line goes by; centre: what they are taken from; low, high: where lines
    end, and slope, all [columns, K]; unknown: what a line gets, beside its value at `centre`, where a feature is not
    known; constant: [K], values at `centre`."""

    columns: NDArray[np.int64]
    centre: Floats
    low: Floats
    high: Floats
    slope: Floats
    unknown: Floats
    constant: Floats

    @classmethod
    def of(cls, lines: Sequence[tuple[Scale, Floats]], features: int) -> _Slopes:
        mean, slope, gap = (np.zeros((features, len(lines))) for _ in range(3))
        reach = np.full_like(mean, np.inf)
        for k, (scale, own) in enumerate(lines):
            mean[:, k], slope[:, k], gap[scale.gappy, k] = scale.mean, own[:features] / scale.scale, own[features:]
            reach[slope[:, k] != 0, k] = FARTHEST * scale.scale[slope[:, k] != 0]
        columns = np.flatnonzero(slope.any(axis=1) | gap.any(axis=1))
        mean, slope, gap, reach = (one[columns] for one in (mean, slope, gap, reach))
        centre = mean.mean(axis=1)
        off = slope * (centre[:, None] - mean)
        return cls(columns, centre, mean - reach, mean + reach, slope, gap - off, off.sum(axis=0))

    def __call__(self, X: Floats) -> Floats:
        """[n, K]"""
        lowest, highest = (np.where(np.isfinite(end), end, self.centre[:, None]) for end in (self.low, self.high))
        x = np.clip(X[:, self.columns], lowest.min(axis=1), highest.max(axis=1))
        row, column = np.nonzero((x < self.low.max(axis=1)) | (x > self.high.min(axis=1)))
        far = x[row, column][:, None]
        beyond = (far - np.clip(far, self.low[column], self.high[column])) * self.slope[column]
        missing = np.isnan(x)
        x -= self.centre
        x[missing] = 0.0
        found = x @ self.slope + missing @ self.unknown + self.constant
        first = np.flatnonzero(np.diff(row, prepend=-1))
        if len(first):
            found[row[first]] -= np.add.reduceat(beyond, first, axis=0)
        return np.asarray(found)


def fit_mean(X: Table, y: Floats, weight: Floats, seed: int) -> Mean:
    """E[y | X] from rows of some weight; 0 from no rows."""
    if not len(y):
        return Mean(0.0)
    if len(y) > MOST_ROWS:
        some = np.sort(np.random.default_rng([seed, len(y)]).choice(len(y), MOST_ROWS, replace=False))
        X, y, weight = X[some], y[some], weight[some]
    constant = float(np.average(y, weights=weight))
    if len(y) < FEW or not X.shape[1] or float(np.ptp(y)) == 0.0:
        return Mean(constant)
    line = fit_line(X, y - constant, weight, seed)
    line = Mean(constant + line.constant, line.scale, line.slope)
    if len(y) < ENOUGH_FOR_TREES:
        return line
    trees = _trees(X, y - line(X), weight, seed)
    return line if trees is None else replace(line, trees=trees)


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
    if not len(bins.columns):
        return None
    binned = bins(X)
    chosen = dict(TREES, min_samples_leaf=max(20, len(y) // 200), random_state=seed % 2**32, max_bins=BINS + 1)
    trial = HistGradientBoostingRegressor(
        **chosen, max_iter=MOST_TREES, early_stopping=True, validation_fraction=0.2, n_iter_no_change=PATIENCE
    ).fit(binned, y, weight)
    best = int(np.argmax(trial.validation_score_))
    if best == 0:
        return None
    model = HistGradientBoostingRegressor(**chosen, max_iter=best, early_stopping=False)
    return Trees.of(model.fit(binned, y, weight), bins)
