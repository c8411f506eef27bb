"""What everybody takes: the shelf for whoever is unknown, and the baseline that every model must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from recommender.candidates.opinions import SharedOpinions
from recommender.candidates.protocol import Source
from recommender.history.dataset import Dataset, Int32


@dataclass
class Popular(Source):
    """Items by distinct buyers (or clickers, by the app's target)."""

    name: ClassVar[str] = "popular"

    def fit(self, dataset: Dataset, seed: int) -> Self:  # noqa: ARG002
        self.item_scores_ = self.count(dataset).astype(np.float32)
        self.order_ = np.argsort(-self.item_scores_, kind="stable").astype(np.int32)
        return self

    def count(self, dataset: Dataset) -> npt.NDArray[np.float64]:
        return dataset.popularity

    def opinions(self, users: Int32) -> SharedOpinions:
        """The same for every user: number of buyers; an item nobody bought scores 0."""
        return SharedOpinions(self.item_scores_, self.order_, len(users))


@dataclass
class RecentPopular(Popular):
    """Items by distinct buyers of late (`Dataset.recent_us`), ties by buyers ever."""

    name: ClassVar[str] = "recent_popular"

    def count(self, dataset: Dataset) -> npt.NDArray[np.float64]:
        return dataset.recent_popularity + tie_break(dataset.popularity)


def tie_break(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`values` (>= 0) squeezed below 1/2, so that they order only what is equal in whole numbers."""
    squeezed: npt.NDArray[np.float64] = values / (2.0 * (values.max(initial=0.0) + 1.0))
    return squeezed
