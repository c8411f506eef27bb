"""Scores of a factor model: a dot product of user and item vectors."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from recommender.candidates.opinions import DenseOpinions
from recommender.candidates.protocol import Source
from recommender.history.dataset import Float32, Int32, Int64, Mask

LARGEST_FACTORS = 200_000_000
"""Numbers in the singular vectors of one decomposition, which works on several such arrays at once."""


class FactorSource(Source):
    """A source whose learned state is `user_factors_` [U, d], `item_factors_` [I, d] and who was known."""

    user_factors_: Float32
    item_factors_: Float32
    known_users_: Mask
    known_items_: Mask

    def opinions(self, users: Int32) -> DenseOpinions:
        scores: Float32 = self.user_factors_[users] @ self.item_factors_.T
        scores[~self.known_users_[users]] = -np.inf
        return DenseOpinions(scores, known=self.known_items_)


class ImplicitSource(FactorSource):
    """A factor model of the library implicit. takers_: int[I], how many users it knows each item from."""

    takers_: Int64

    def keep(self, matrix: sp.csr_matrix, user_factors: Float32, item_factors: Float32) -> Self:
        """What the library, or another, learnt from users x items confidences."""
        self.known_users_ = in_company(matrix)
        self.takers_ = matrix.getnnz(axis=0)
        self.known_items_ = self.takers_ > 0
        self.user_factors_, self.item_factors_ = user_factors, item_factors
        return self

    @abstractmethod
    def model(self, matrix: sp.csr_matrix, seed: int) -> Any:
        """The library's model for such users x items confidences."""

    def fit_matrix(self, matrix: sp.csr_matrix, seed: int) -> Self:
        """Learn from users x items confidences."""
        with threadpool_limits(1, "blas"):
            model = self.model(matrix, seed)
            model.fit(matrix, show_progress=False)
        return self.keep(matrix, model.user_factors, model.item_factors)


def in_company(matrix: sp.csr_matrix) -> Mask:
    """bool[U]: who has a tie (of users x items) to something that somebody else has a tie to as well.

    Of anybody else ties cannot tell what they like: their place among the factors is where the draw put it.
    """
    shared = np.flatnonzero(matrix.getnnz(axis=0) > 1)
    known: Mask = np.diff(matrix[:, shared].indptr) > 0
    return known


def scaled_factors(ties: int, most: int) -> int:
    """How many factors a history of so many ties of users and items can carry: 8 to `most`, in steps of 8.

    A square root, because the parameters grow with factors x (users + items) while each needs several ties.
    """
    return int(np.clip(8 * round(np.sqrt(ties) / 40), 8, most))


def item_directions(matrix: sp.csr_matrix, rank: int, seed: int) -> tuple[Float32, Float32]:
    """The `rank` largest singular values of users x items ties, float32[r], and the items' part of each, float32[r, I].

    Where the vectors of all users would not fit into LARGEST_FACTORS numbers, those of a draw of the users stand for
    them: what goes together is told by some as well as by all, while fewer directions would say less of it.
    """
    users, items = matrix.shape
    rank = max(1, min(rank, LARGEST_FACTORS // max(2 * items, 1), users, items))
    most = LARGEST_FACTORS // rank - items
    if users > most:
        matrix = matrix[np.sort(np.random.default_rng(seed).choice(users, most, replace=False))]
    _, values, vectors = randomized_svd(matrix.astype(np.float32), rank, n_iter=3, random_state=seed)
    return values * np.float32(np.sqrt(users / matrix.shape[0])), vectors
