"""Matrix factorisation by alternating least squares (implicit).

Hu, Koren, Volinsky 2008, "Collaborative filtering for implicit feedback datasets". As in Rendle et al. 2021,
"Revisiting the performance of iALS on item recommendation benchmarks", the penalty grows with the data, so that one
value means the same in every shop: it is a share of the confidence of all ties of the mean user and of the mean item.
The library takes one number for both sides; as a factor model does not change when users are scaled up and items down,
only the product of both sides' penalties counts, and their geometric mean does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares

from recommender.candidates.factors import ImplicitSource, scaled_factors
from recommender.history.dataset import Dataset


@dataclass
class Als(ImplicitSource):
    """ALS on all ties, recent ones with more confidence. factors is the most; small histories get fewer.

    penalty: see the module. alpha: confidence of a full tie beside the 1 of none. half_life_share: half-life as a share
    of the recent window (`Dataset.recent_us`).
    """

    name: ClassVar[str] = "als"
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "factors": (32, 64, 128, 256),
        "penalty": (0.003, 0.01, 0.03, 0.1, 0.3),
        "alpha": (1.0, 3.0, 10.0, 30.0),
        "half_life_share": (0.5, 1.0, 2.0, 8.0),
    }
    factors: int = 128
    penalty: float = 0.03
    alpha: float = 5.0
    iterations: int = 10
    half_life_share: float = 1.0

    def fit(self, dataset: Dataset, seed: int) -> Self:
        return self.fit_matrix(self.matrix(dataset), seed)

    def matrix(self, dataset: Dataset) -> sp.csr_matrix:
        """Users x items ties to learn from."""
        return dataset.matrix(dataset.recent_us * self.half_life_share)

    def regularization(self, matrix: sp.csr_matrix) -> float:
        """The library's number for the penalty, where it learns from such ties."""
        users, items = matrix.shape
        return float(self.penalty * self.alpha * float(matrix.sum()) / np.sqrt(max(users * items, 1)))

    def model(self, matrix: sp.csr_matrix, seed: int) -> AlternatingLeastSquares:
        self.regularization_ = self.regularization(matrix)
        return AlternatingLeastSquares(
            factors=scaled_factors(matrix.nnz, self.factors),
            regularization=self.regularization_,
            alpha=self.alpha,
            iterations=self.iterations,
            random_state=seed,
        )
