"""What people like the visitor take: popularity within the groups that the portrait puts them in.

Every word of a portrait (entrance, home store, a category looked at ...) makes a group with a popularity of its own. A
small or arbitrary group says little; so what it adds is shrunk towards everybody's: with C buyers of the item in the
group, a share p of the item among everybody's purchases and a precision k,

    lift(group, item) = log(1 + C / (k p))

which is, but for a constant of the group, the log of the posterior share under a Dirichlet prior over p itself. Each
group's k is the one by which half of its visitors foretell best what the other half took (empirical Bayes); a group
that foretells no better than everybody adds nothing. Lifts add up as in naive Bayes, by how much of the visitor
belongs to each group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.candidates.largest import largest
from recommender.candidates.opinions import DenseOpinions
from recommender.candidates.popular import tie_break
from recommender.candidates.protocol import Source
from recommender.history.dataset import Dataset, Float32, Int32

Floats = npt.NDArray[np.float64]

PRECISIONS = (3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0)
MOST_ITEMS = 2_000
"""Items that a group speaks of: those it takes most. It bounds the work where a catalogue is long."""


@dataclass
class Crowd(Source):
    """Popularity among visitors with the same words in their portraits.

    trusted: how much of the sum of lifts counts, since groups overlap. half_life_share: half-life of a purchase as a
    share of the recent window.
    """

    name: ClassVar[str] = "crowd"
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "trusted": (0.3, 0.7, 1.0),
        "half_life_share": (0.5, 1.0, 4.0),
    }
    trusted: float = 1.0
    half_life_share: float = 4.0

    @classmethod
    def suits(cls, dataset: Dataset) -> bool:
        """Where portraits have words that visitors share."""
        return dataset.user_features is not None and dataset.user_features.nnz > 0

    def fit(self, dataset: Dataset, seed: int) -> Self:
        known = dataset.user_features
        self.features_ = sp.csr_matrix((dataset.shape[0], 0), dtype=np.float32) if known is None else known.tocsr()
        self.precisions_ = precisions(self.features_, dataset.bought, seed)
        ties = dataset.matrix(dataset.recent_us * self.half_life_share, targets_only=True)
        overall = np.asarray(ties.sum(axis=0), np.float64).ravel() + tie_break(dataset.popularity)
        share = overall / max(overall.sum(), 1.0)
        with np.errstate(divide="ignore"):
            self.overall_: Float32 = np.log(share).astype(np.float32)
        lifts = most_taken((self.features_.T.tocsr() @ ties).tocsr(), MOST_ITEMS)
        lifts.data = np.log1p(lifts.data / (self.precisions_[rows_of(lifts)] * share[lifts.indices]))
        self.lifts_ = (lifts * self.trusted).astype(np.float32)
        self.lifts_.eliminate_zeros()
        self.known_ = np.diff(self.features_.indptr) > 0
        return self

    def opinions(self, users: Int32) -> DenseOpinions:
        """log share of each item among everybody, plus the lifts; none of a visitor of whom the portrait says nothing,
        nor of an item that nobody took."""
        scores: Float32 = (self.features_[users] @ self.lifts_).toarray()
        scores += self.overall_
        scores[~self.known_[users]] = -np.inf
        return DenseOpinions(scores)


def precisions(features: sp.csr_matrix, bought: sp.csr_matrix, seed: int) -> Floats:
    """float64[F]: the precision of each group's prior, infinite where the group foretells nothing.

    Two halves of the visitors, drawn by `seed`, each foretell the other: the log likelihood of what the one took under
    the shrunk shares of the other, beside that under everybody's shares.
    """
    first = np.random.default_rng(seed).random(features.shape[0]) < 0.5
    gains: Floats = np.zeros((len(PRECISIONS), features.shape[1]))
    for one, other in ((first, ~first), (~first, first)):
        learnt, judged = ((features[half].T.tocsr() @ bought[half]).tocsr() for half in (one, other))
        share = np.asarray(bought[one].sum(axis=0), np.float64).ravel() + 0.5
        share /= share.sum()
        total = np.asarray(learnt.sum(axis=1)).ravel()
        group, item = rows_of(judged), judged.indices
        counted, expected = _values_at(learnt, judged), share[item]
        for place, precision in enumerate(PRECISIONS):
            foretold = (counted + precision * expected) / (total[group] + precision)
            gains[place] += np.bincount(group, judged.data * np.log(foretold / expected), minlength=len(total))
    best = np.array(PRECISIONS)[gains.argmax(axis=0)]
    return np.where(gains.max(axis=0) > 0, best, np.inf)


def most_taken(counts: sp.csr_matrix, most: int) -> sp.csr_matrix:
    """`counts` with the `most` largest of each row, ties by the smaller column; float64."""
    return largest(counts.astype(np.float64), most)


def rows_of(matrix: sp.csr_matrix) -> npt.NDArray[np.intp]:
    """Row of each entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def _values_at(values: sp.csr_matrix, places: sp.csr_matrix) -> Floats:
    """What `values` holds at each entry of `places`, 0 where nothing."""
    keys, wanted = (rows_of(one).astype(np.int64) * one.shape[1] + one.indices for one in (values, places))
    order = np.argsort(keys)
    keys, held = keys[order], values.data[order]
    if not len(keys):
        return np.zeros(len(wanted))
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, held[at], 0.0).astype(np.float64)
