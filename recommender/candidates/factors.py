"""Scores of a factor model: a dot product of user and item vectors."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from recommender.candidates.opinions import DenseOpinions
from recommender.candidates.protocol import Source
from recommender.history.dataset import Float32, Int32, Mask

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
    """A factor model of the library implicit."""

    def keep(self, matrix: sp.csr_matrix, user_factors: Float32, item_factors: Float32) -> Self:
        """What the library, or another, learnt from users x items confidences."""
        self.known_users_ = np.diff(matrix.indptr) > 0
        self.known_items_ = matrix.getnnz(axis=0) > 0
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


def scaled_factors(ties: int, most: int) -> int:
    """How many factors a history of so many ties of users and items can carry: 8 to `most`, in steps of 8.

    A square root, because the parameters grow with factors x (users + items) while each needs several ties.
    """
    return int(np.clip(8 * round(np.sqrt(ties) / 40), 8, most))


def bounded_rank(rank: int, shape: tuple[int, int]) -> int:
    """`rank`, or as many singular vectors of users and items as fit into LARGEST_FACTORS numbers."""
    return max(1, min(rank, LARGEST_FACTORS // max(sum(shape), 1), *shape))
