"""Pairwise ranking of what was taken above what was not (implicit).

Rendle et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback". One thread: the library's threads
race on the factors, and the same seed would not give the same model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from implicit.cpu.bpr import BayesianPersonalizedRanking

from recommender.candidates.factors import ImplicitSource, scaled_factors
from recommender.dataset import Dataset


@dataclass
class Bpr(ImplicitSource):
    """BPR on all ties. samples: the most gradient steps of a fit; the iterations follow from the ties."""

    name: ClassVar[str] = "bpr"
    factors: int = 64
    learning_rate: float = 0.05
    regularization: float = 0.01
    iterations: int = 60
    samples: int = 50_000_000

    def fit(self, dataset: Dataset, seed: int) -> Self:
        return self.fit_matrix(dataset.matrix(), seed)

    def model(self, ties: int, seed: int) -> BayesianPersonalizedRanking:
        return BayesianPersonalizedRanking(
            factors=scaled_factors(ties, self.factors),
            learning_rate=self.learning_rate,
            regularization=self.regularization,
            iterations=int(np.clip(self.samples // max(ties, 1), 1, self.iterations)),
            num_threads=1,
            random_state=seed,
        )
