"""Pairwise ranking of what was taken above what was not (implicit).

Rendle et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback". One thread: the library's threads
race on the factors, and the same seed would not give the same model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
from implicit.cpu.bpr import BayesianPersonalizedRanking

from recommender.candidates.factors import ImplicitSource, scaled_factors
from recommender.history.dataset import Dataset


@dataclass
class Bpr(ImplicitSource):
    """BPR on all ties. samples: the most gradient steps of a fit; the iterations follow from the ties."""

    name: ClassVar[str] = "bpr"
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "factors": (32, 64, 128),
        "learning_rate": (0.02, 0.05, 0.1),
        "regularization": (0.001, 0.01, 0.05),
    }
    factors: int = 64
    learning_rate: float = 0.05
    regularization: float = 0.01
    iterations: int = 60
    samples: int = 50_000_000

    def fit(self, dataset: Dataset, seed: int) -> Self:
        return self.fit_matrix(dataset.matrix(), seed)

    def model(self, matrix: sp.csr_matrix, seed: int) -> BayesianPersonalizedRanking:
        return BayesianPersonalizedRanking(
            factors=scaled_factors(matrix.nnz, self.factors),
            learning_rate=self.learning_rate,
            regularization=self.regularization,
            iterations=int(np.clip(self.samples // max(matrix.nnz, 1), 1, self.iterations)),
            num_threads=1,
            random_state=seed,
        )
