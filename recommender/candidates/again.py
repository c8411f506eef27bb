"""What the user takes again: own frequency, the strongest simple source wherever people come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from recommender.candidates.opinions import SparseOpinions
from recommender.candidates.popular import tie_break
from recommender.candidates.protocol import Source
from recommender.dataset import Dataset, Int32


@dataclass
class Again(Source):
    """Items the user took before, by number of orders, ties by recent popularity; no opinion on anything else."""

    name: ClassVar[str] = "again"

    def fit(self, dataset: Dataset, seed: int) -> Self:  # noqa: ARG002
        matrix = dataset.orders.copy()
        matrix.data = matrix.data + tie_break(dataset.recent_popularity)[matrix.indices].astype(np.float32)
        self.scores_ = matrix
        return self

    def opinions(self, users: Int32) -> SparseOpinions:
        return SparseOpinions(self.scores_[users])
