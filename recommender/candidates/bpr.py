"""Pairwise ranking of what was taken above what was not (implicit).

Rendle et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback". One thread: the library's threads
race on the factors, and the same seed would not give the same model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp
from implicit.cpu.bpr import BayesianPersonalizedRanking
from threadpoolctl import threadpool_limits

from recommender.candidates.factors import FactorSource, scaled_factors
from recommender.dataset import Dataset


@dataclass
class Bpr(FactorSource):
    """BPR on all ties. samples: the most gradient steps of a fit; the iterations follow from the ties."""

    name: ClassVar[str] = "bpr"
    factors: int = 64
    learning_rate: float = 0.05
    regularization: float = 0.01
    iterations: int = 60
    samples: int = 50_000_000

    def fit(self, dataset: Dataset, seed: int) -> Self:
        return self.fit_matrix(dataset.matrix(), seed)

    def fit_matrix(self, matrix: sp.csr_matrix, seed: int) -> Self:
        """Learn from users x items ties."""
        self.known_users_ = np.diff(matrix.indptr) > 0
        self.known_items_ = matrix.getnnz(axis=0) > 0
        with threadpool_limits(1, "blas"):
            model = self.model(matrix.nnz, seed)
            model.fit(matrix, show_progress=False)
        self.user_factors_, self.item_factors_ = model.user_factors, model.item_factors
        return self

    def model(self, ties: int, seed: int) -> BayesianPersonalizedRanking:
        """The library's model for so many ties."""
        return BayesianPersonalizedRanking(
            factors=scaled_factors(ties, self.factors),
            learning_rate=self.learning_rate,
            regularization=self.regularization,
            iterations=int(np.clip(self.samples // max(ties, 1), 1, self.iterations)),
            num_threads=1,
            random_state=seed,
        )
