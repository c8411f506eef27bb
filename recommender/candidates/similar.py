"""Items like the ones the user took: item-item cosine (implicit), plain and with time decay.

The library's `all_pairs_knn` finds the neighbours; the score of an item is the sum, over the user's items, of their
weight times the cosine. Sarwar et al. 2001, "Item-based collaborative filtering recommendation algorithms".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp
from implicit.nearest_neighbours import ItemItemRecommender
from threadpoolctl import threadpool_limits

from recommender.candidates.opinions import ABOVE_ZERO, DenseOpinions, Opinions, SparseOpinions
from recommender.candidates.protocol import Source
from recommender.dataset import Dataset, Float32, Int32

FULL_ABOVE = 0.1
FULL_ITEMS = 8_000
DENSE_ABOVE = 0.01


@dataclass
class Similar(Source):
    """Item-item cosine over all ties of users and items, whenever they were made.

    neighbours: the most an item keeps; entries: the most all items keep together, which bounds memory.
    """

    name: ClassVar[str] = "similar"
    neighbours: int = 2_000
    entries: int = 20_000_000

    def fit(self, dataset: Dataset, seed: int) -> Self:  # noqa: ARG002
        return self.fit_matrix(self.matrix(dataset))

    def matrix(self, dataset: Dataset) -> sp.csr_matrix:
        """Users x items, as the library takes it."""
        return dataset.matrix()

    def fit_matrix(self, matrix: sp.csr_matrix) -> Self:
        """Learn from the ties themselves: neighbours from their columns, users from their rows."""
        model = ItemItemRecommender(K=self.kept(matrix.shape[1]))
        with threadpool_limits(1, "blas"):
            model.fit(unit_columns(matrix), show_progress=False)
        similarity = model.similarity.astype(np.float32)
        similarity.data[similarity.indices == np.repeat(np.arange(matrix.shape[1]), np.diff(similarity.indptr))] = 0.0
        similarity.eliminate_zeros()
        self.similarity_: sp.csr_matrix = similarity
        self.ties_: sp.csr_matrix = matrix
        # A product with a well filled sparse matrix costs several times that with the same matrix in full.
        full = similarity.nnz > FULL_ABOVE * matrix.shape[1] ** 2 and matrix.shape[1] <= FULL_ITEMS
        self.factor_: sp.csr_matrix | Float32 = similarity.toarray() if full else similarity
        return self

    def kept(self, items: int) -> int:
        """Neighbours each of so many items keeps."""
        return int(np.clip(self.entries // max(items, 1), 50, self.neighbours))

    def opinions(self, users: Int32) -> Opinions:
        found = self.ties_[users] @ self.factor_
        if isinstance(found, np.ndarray):
            return DenseOpinions(found, ABOVE_ZERO)
        if found.nnz > DENSE_ABOVE * np.prod(found.shape):
            return DenseOpinions(found.toarray(), ABOVE_ZERO)
        found.sort_indices()
        return SparseOpinions(found)


@dataclass
class RecentSimilar(Similar):
    """Item-item cosine where an old tie counts less, in the item vectors and in the user's.

    half_life_share: half-life as a share of the recent window (`Dataset.recent_us`).
    """

    name: ClassVar[str] = "recent_similar"
    half_life_share: float = 1.0

    def matrix(self, dataset: Dataset) -> sp.csr_matrix:
        return dataset.matrix(dataset.recent_us * self.half_life_share)


def unit_columns(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """`matrix` with columns of length 1, so that products of columns are cosines (float64, as the library wants)."""
    scaled = matrix.astype(np.float64)
    length = np.sqrt(np.bincount(scaled.indices, scaled.data**2, minlength=matrix.shape[1]))
    scaled.data /= length[scaled.indices]
    return scaled
