"""Matrix factorisation by alternating least squares (implicit).

Hu, Koren, Volinsky 2008, "Collaborative filtering for implicit feedback datasets".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from implicit.cpu.als import AlternatingLeastSquares

from recommender.candidates.factors import ImplicitSource, scaled_factors
from recommender.dataset import Dataset


@dataclass
class Als(ImplicitSource):
    """ALS on all ties, recent ones with more confidence. factors is the most; small histories get fewer."""

    name: ClassVar[str] = "als"
    factors: int = 64
    regularization: float = 1.0
    alpha: float = 5.0
    iterations: int = 10
    half_life_share: float = 1.0

    def fit(self, dataset: Dataset, seed: int) -> Self:
        return self.fit_matrix(dataset.matrix(dataset.recent_us * self.half_life_share), seed)

    def model(self, ties: int, seed: int) -> AlternatingLeastSquares:
        return AlternatingLeastSquares(
            factors=scaled_factors(ties, self.factors),
            regularization=self.regularization,
            alpha=self.alpha,
            iterations=self.iterations,
            random_state=seed,
        )
