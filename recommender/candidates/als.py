"""Matrix factorisation by alternating least squares (implicit).

Hu, Koren, Volinsky 2008, "Collaborative filtering for implicit feedback datasets".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from recommender.candidates.factors import FactorSource, scaled_factors
from recommender.dataset import Dataset


@dataclass
class Als(FactorSource):
    """ALS on all ties, recent ones with more confidence. factors is the most; small histories get fewer."""

    name: ClassVar[str] = "als"
    factors: int = 64
    regularization: float = 1.0
    alpha: float = 5.0
    iterations: int = 10
    half_life_share: float = 1.0

    def fit(self, dataset: Dataset, seed: int) -> Self:
        return self.fit_matrix(dataset.matrix(dataset.recent_us * self.half_life_share), seed)

    def fit_matrix(self, matrix: sp.csr_matrix, seed: int) -> Self:
        """Learn from users x items confidences."""
        self.known_users_ = np.diff(matrix.indptr) > 0
        self.known_items_ = matrix.getnnz(axis=0) > 0
        with threadpool_limits(1, "blas"):
            model = self.model(matrix.nnz, seed)
            model.fit(matrix, show_progress=False)
        self.user_factors_, self.item_factors_ = model.user_factors, model.item_factors
        return self

    def model(self, ties: int, seed: int) -> AlternatingLeastSquares:
        """The library's model for so many ties."""
        return AlternatingLeastSquares(
            factors=scaled_factors(ties, self.factors),
            regularization=self.regularization,
            alpha=self.alpha,
            iterations=self.iterations,
            random_state=seed,
        )
