"""What the user looked at or put in the cart and did not take yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp

from recommender.candidates.opinions import SparseOpinions
from recommender.candidates.protocol import Source
from recommender.history.dataset import Dataset, Int32


@dataclass
class Touched(Source):
    """Items of the user's other events, by strength and age; a quarter of the recent window halves them.

    No opinion where the history holds target events only.
    """

    name: ClassVar[str] = "touched"
    half_life_share: float = 0.25

    def fit(self, dataset: Dataset, seed: int) -> Self:  # noqa: ARG002
        half_life = dataset.recent_us * self.half_life_share
        weight = np.where(dataset.is_target, 0.0, dataset.strength[dataset.kind] * dataset.age(half_life))
        chosen = weight > 0
        rows, columns = dataset.user[chosen], dataset.item[chosen]
        self.scores_ = sp.csr_matrix((weight[chosen].astype(np.float32), (rows, columns)), shape=dataset.shape)
        return self

    def opinions(self, users: Int32) -> SparseOpinions:
        return SparseOpinions(self.scores_[users])
