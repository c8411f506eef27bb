"""What becomes of an item that is shown: how likely it is opened where it is looked at, and taken once it is opened.

What visitors take of their own accord follows also what they come by: the popular is met more often. Shown, every item
is met. So where it is known what was shown and opened, the shelf is ordered by what being shown leads to:

    P(opened | looked at) x P(taken | opened) x what passing over says

Clicks on shown items are few and tell little of many features. Most of a visitor's taste is learnt from everything that
visitors touch, by contrast: which of the items that were touched after a moment did this visitor touch, rather than
somebody else? Both sides hold the same items equally often, so that popularity is no answer, and what is learnt is how
far visitor and item go together (the logarithm of P(i | u) / P(i), as in Levy & Goldberg 2014, "Neural word embedding
as implicit matrix factorization"). A logistic regression on what was shown then weighs taste and popularity; a look at
a lower place counts as much as it is likely (position bias: Joachims et al. 2017, "Unbiased learning-to-rank with
biased feedback"). Little to go by leaves taste as it is.

What is left is the item's own: opened more often than the tastes of those who saw it foretold, it appeals more. And who
looked at an item again and again and did not open it likes it less than was thought. How much either says is the
Gamma-Poisson law (empirical Bayes): the spread of opens around what was expected tells how wrong that is for single
items, and for single pairs.

Only items new to the visitor are learnt from. Who has one wants it again when the need is back, which `due` tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.optimize import minimize
from scipy.special import expit, gammaln, logit

from recommender.candidates.due import Due
from recommender.fusion.encounters import Encounters, Pairs, opened_above
from recommender.fusion.pool import Pool
from recommender.fusion.ranker import PartRanker
from recommender.history.dataset import DAY_US, Float32, Int32, Mask
from recommender.judging.metrics import paired_bootstrap

Floats = npt.NDArray[np.float64]

NIGHT_US = DAY_US
"""From one night to the next."""
TREES, LEAVES, RATE = 100, 8, 0.05
SHAPES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, np.inf)
"""Of the Gamma law; inf: the model is right for every pair."""
PULL = 4.0
"""How strongly weights are pulled to where taste alone speaks: as much as so many clicks say."""
WEIGHED = ("log_recent_buyers",)
"""Features that are weighed beside taste. Clicks are few: what taste has heard already is not asked again."""
RARELY = 1e-6


class Response:
    """P(opened | looked at) x P(taken | opened) of pairs, learnt from encounters."""

    def __init__(self, names: Sequence[str], items: int, seed: int) -> None:
        self.names = tuple(names)
        self.items = items
        self.seed = seed

    def fit(self, parts: Sequence[Encounters]) -> Self:
        """Learn from the encounters of one or several moments; features of other names are left out."""
        met, shown, touched = (
            (
                np.concatenate([_named(part, getattr(part, kind).features, self.names) for part in parts]),
                np.concatenate([getattr(part, kind).came for part in parts]),
            )
            for kind in ("met", "shown", "touched")
        )
        looks = np.concatenate([part.looks for part in parts])
        user, item = (np.concatenate([getattr(part.shown, name) for part in parts]) for name in ("user", "item"))
        self.taste_ = PartRanker(self.names, self.seed, TREES, LEAVES, RATE).fit(*met)
        self.taking_: PartRanker | None = None
        if len(touched[1]):
            self.taking_ = PartRanker(self.names, self.seed, TREES // 2, LEAVES, RATE).fit(*touched)
        columns, opened = self._columns(shown[0]), shown[1]
        self.mean_, self.scale_ = columns.mean(axis=0), np.maximum(columns.std(axis=0), 1e-6)
        self.mean_[0], prior = 0.0, np.zeros(columns.shape[1] + 1)
        prior[1] = self.scale_[0]
        # A look that nobody is sure of counts as much as it is likely; an opened item was looked at.
        weight = np.where(opened, 1.0, looks)
        self.weights_ = logistic((columns - self.mean_) / self.scale_, opened, weight, prior)
        self.appeal_ = np.ones(self.items)
        expected = self.opened(shown[0], item) * looks
        of_items = fitted_shape(item, expected, opened)
        if np.isfinite(of_items):
            more = of_items + np.bincount(item, opened, self.items)
            self.appeal_ = more / (of_items + np.bincount(item, expected, self.items))
        pair = user.astype(np.int64) << 32 | item
        self.shape_ = fitted_shape(pair, self.opened(shown[0], item) * looks, opened)
        return self

    def opened(self, features: Float32, items: Int32) -> Floats:
        """float64[N]: how likely a look at each pair opens it, whatever was passed over."""
        columns = (self._columns(features) - self.mean_) / self.scale_
        likely = expit(self.weights_[0] + columns @ self.weights_[1:])
        found: Floats = np.minimum(likely * self.appeal_[items], 1.0)
        return found

    def predict(self, features: Float32, items: Int32, passed: Floats) -> Floats:
        """float64[N]: how likely a look leads to what the shop wants. passed: looks of late that opened nothing."""
        opened = self.opened(features, items)
        if np.isfinite(self.shape_):
            opened = opened * self.shape_ / (self.shape_ + opened * passed)
        return opened if self.taking_ is None else opened * self.taking_.predict(features)

    def _columns(self, features: Float32) -> Floats:
        """float64[N, 1 + len(WEIGHED)]: what the regression weighs."""
        at = {name: place for place, name in enumerate(self.names)}
        taste = logit(np.clip(self.taste_.predict(features), 1e-6, 1 - 1e-6))
        whole = np.column_stack([taste, features[:, [at[name] for name in WEIGHED]]])
        whole[~np.isfinite(whole)] = 0.0
        return whole


class Responding:
    """A response with the features of one moment, that of the pairs."""

    def __init__(self, response: Response, pairs: Pairs) -> None:
        self.response = response
        self.pairs = pairs
        dataset = pairs.pooler.dataset
        self._passed = None if dataset.exposures is None else dataset.exposures.passed
        self._due = Due(horizon_share=NIGHT_US / dataset.recent_us).fit(dataset, 0).scores_

    def likely(self, pool: Pool) -> Floats:
        """float64[B, C]: what showing each candidate leads to, -inf for padding. Who has it already wants it again when
        the need is back: the chance that it comes before the next night."""
        found = np.full(pool.items.shape, -np.inf)
        passed = np.zeros(pool.items.shape) if self._passed is None else _stored(self._passed, pool)
        found[pool.real] = self.response.predict(self.pairs.of(pool), pool.items[pool.real], passed[pool.real])
        return np.where(pool.repeat, _stored(self._due, pool), found)


def proven(parts: Sequence[Encounters], names: Sequence[str], shape: tuple[int, int], seed: int) -> dict[str, Any]:
    """For the report: how many opened items tell, `opened_above` of the recipe's order and of what half of the visitors
    teach about the others, and `used`: whether the latter is not worse beyond noise.

    More would be asked in vain of a response that chose what was shown: among the items it likes it has little left to
    tell, and everybody else has more.
    """
    side = np.random.default_rng(seed).random(shape[0]) < 0.5
    mine, theirs = [np.empty(0)], [np.empty(0)]
    for teaching in (side, ~side):
        lessons = [part.of(teaching) for part in parts]
        if not any(lesson.shown.came.any() for lesson in lessons):
            continue
        response = Response(names, shape[1], seed).fit(lessons)
        for judged in (part.of(~teaching) for part in parts):
            shown = _named(judged, judged.shown.features, response.names)
            mine.append(opened_above(judged, response.opened(shown, judged.shown.item)))
            theirs.append(opened_above(judged, judged.order))
    values, before = np.concatenate(mine), np.concatenate(theirs)
    if not len(values):
        return {}
    figures = {name: round(float(one.mean()), 4) for name, one in (("recipe", before), ("response", values))}
    return {"used": paired_bootstrap(values, before, seed).high >= 0, "opened": len(values), **figures}


def fitted_shape(pair: npt.NDArray[np.int64], expected: Floats, opened: npt.NDArray[Any]) -> float:
    """The shape of the Gamma law under which the opens of each pair beside what was expected are most likely."""
    _, which = np.unique(pair, return_inverse=True)
    mean, count = np.bincount(which, expected), np.bincount(which, opened)
    said = []
    for shape in SHAPES:
        if np.isfinite(shape):
            likely = (
                gammaln(count + shape) - gammaln(shape) + shape * np.log(shape) - (shape + count) * np.log(shape + mean)
            )
        else:
            likely = -mean
        said.append(float(likely.sum()))
    return SHAPES[int(np.argmax(said))]


def _stored(matrix: sp.csr_matrix, pool: Pool) -> Floats:
    """float64[B, C]: what `matrix` [U, I] holds of the candidates."""
    found: Floats = np.take_along_axis(matrix[pool.users].toarray(), np.maximum(pool.items, 0), axis=1)
    return found.astype(np.float64)


def _named(part: Encounters, features: Float32, names: Sequence[str]) -> Float32:
    return features[:, [part.names.index(name) for name in names]]


def logistic(columns: Floats, label: Mask, weight: Floats, prior: Floats) -> Floats:
    """float64[F + 1]: intercept and weights of a weighted logistic regression, pulled to `prior` by PULL / 2 times the
    squared distance (the intercept hardly at all)."""
    design = np.column_stack([np.ones(len(columns)), columns])
    pull = np.full(design.shape[1], PULL)
    pull[0] = 1e-6
    start = prior.copy()
    start[0] = logit(np.clip(label.sum() / max(weight.sum(), 1e-9), RARELY, 1 - RARELY))

    def loss(found: Floats) -> tuple[float, Floats]:
        said = design @ found
        value = weight @ (np.logaddexp(0.0, said) - label * said) + pull @ (found - prior) ** 2 / 2
        return float(value), design.T @ (weight * (expit(said) - label)) + pull * (found - prior)

    found: Floats = minimize(loss, start, jac=True, method="L-BFGS-B").x
    return found
