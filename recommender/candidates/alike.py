"""What people like the user take: user-user neighbours over ties that fade.

Likeness of a user u to a neighbour v, with x the ties of the given half-life, n_i how many people have to do with i and
|v| the length of v's ties when they were fresh:

    sum over items of x_ui x_vi n_i^(-1/2) / (|u|^0.7 |v|^1.3)

so that a rare item in common tells more and a neighbour of many items less than in the cosine (Verstrepen & Goethals
2014, "Unifying nearest neighbors collaborative filtering", has both ideas). An item's score is the mean tie of the
nearest neighbours to it, each by their likeness, over n_i^damping, plus `own` times what the user themselves take of
it: every time counts and fades (Hu et al. 2020, "Modeling personalized item frequency information for next-basket
recommendation").

Where there are many people only so many are asked: the most active of twice as many, drawn by the seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp

from recommender.candidates.largest import largest
from recommender.candidates.opinions import Opinions
from recommender.candidates.protocol import Source
from recommender.candidates.similar import of_product
from recommender.history.dataset import Dataset, Int32

RARITY = 0.25
"""Power of n_i that each of the two ties is divided by."""
CROWDING = 1.3
"""Power of a neighbour's length."""


@dataclass
class Alike(Source):
    """Nearest neighbours among the users.

    neighbours: how many count. half_life_share: half-life of ties as a share of the recent window
    (`Dataset.recent_us`). damping: how much popular items are held back. own: weight of the user's own ties beside the
    neighbours'. references: the most people who are asked at all, which bounds time and memory.
    """

    name: ClassVar[str] = "alike"
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "neighbours": (50, 100, 300, 1_000),
        "half_life_share": (0.25, 0.5, 1.0, 2.0, 8.0),
        "damping": (0.0, 0.15, 0.3, 0.5),
        "own": (0.1, 0.5, 2.0),
    }
    neighbours: int = 300
    half_life_share: float = 1.0
    damping: float = 0.3
    own: float = 0.5
    references: int = 50_000

    def fit(self, dataset: Dataset, seed: int) -> Self:
        half_life = dataset.recent_us * self.half_life_share
        ties = dataset.matrix(half_life)
        takers = np.maximum(ties.getnnz(axis=0), 1)
        asked = self.asked(ties, seed)
        self.place_: Int32 = np.full(ties.shape[0], -1, np.int32)
        self.place_[asked] = np.arange(len(asked), dtype=np.int32)
        telling = scaled_columns(ties, takers**-RARITY)
        # Of ties as they were when fresh: else somebody gone long ago, with faint ties alone, would be short and near.
        length = np.sqrt(np.asarray(scaled_columns(dataset.matrix(), takers**-RARITY).power(2).sum(axis=1)).ravel())
        length[length == 0] = 1.0
        self.telling_: sp.csr_matrix = scaled_rows(telling, length ** (CROWDING - 2.0))
        self.near_: sp.csr_matrix = scaled_rows(telling[asked], length[asked] ** -CROWDING).T.tocsr()
        usual = takers.sum() / max(len(takers), 1)
        self.taken_: sp.csr_matrix = scaled_columns(ties[asked], (takers / max(usual, 1.0)) ** -self.damping)
        self.own_: sp.csr_matrix = faded(dataset, half_life) * np.float32(self.own)
        return self

    def asked(self, ties: sp.csr_matrix, seed: int) -> Int32:
        """Rows of the users who are asked, ascending."""
        count = np.diff(ties.indptr)
        people = np.flatnonzero(count).astype(np.int32)
        if len(people) > self.references:
            size = min(2 * self.references, len(people))
            people = np.random.default_rng(seed).permutation(people)[:size]
            people = np.sort(people[np.argsort(-count[people], kind="stable")[: self.references]])
        return people

    def opinions(self, users: Int32) -> Opinions:
        return of_product((self._of_neighbours(users) + self.own_[users]).tocsr())

    def _of_neighbours(self, users: Int32) -> sp.csr_matrix:
        """[B, I]: mean tie of the nearest neighbours of each of `users`."""
        likeness = (self.telling_[users] @ self.near_).tocsr()
        row = np.repeat(np.arange(len(users)), np.diff(likeness.indptr))
        likeness.data[likeness.indices == self.place_[users][row]] = 0.0  # nobody is their own neighbour
        nearest = largest(likeness, self.neighbours)
        total = np.asarray(nearest.sum(axis=1)).ravel()
        return scaled_rows(nearest, 1.0 / np.where(total > 0, total, 1.0)) @ self.taken_


def faded(dataset: Dataset, half_life_us: float) -> sp.csr_matrix:
    """[U, I]: sum of the strengths of all interactions of each user and item, halved after each half-life."""
    weight = (dataset.strength[dataset.kind] * dataset.age(half_life_us)).astype(np.float32)
    matrix = sp.csr_matrix((weight, (dataset.user, dataset.item)), shape=dataset.shape)
    matrix.sum_duplicates()
    return matrix


def scaled_columns(matrix: sp.csr_matrix, scale: Any) -> sp.csr_matrix:
    """float32 copy with each column times its `scale`."""
    return _with_data(matrix, matrix.data * scale[matrix.indices])


def scaled_rows(matrix: sp.csr_matrix, scale: Any) -> sp.csr_matrix:
    """float32 copy with each row times its `scale`."""
    return _with_data(matrix, matrix.data * np.repeat(scale, np.diff(matrix.indptr)))


def _with_data(matrix: sp.csr_matrix, data: Any) -> sp.csr_matrix:
    return sp.csr_matrix((data.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)
