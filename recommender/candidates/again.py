"""What the user takes again: own frequency, the strongest simple source wherever people come back.

Late orders say more than early ones: the personal frequency with recency of next-basket research (Hu et al. 2020,
"Modeling personalized item frequency information for next-basket recommendation": TIFU-kNN; Faggioli et al. 2020,
"Recency aware collaborative filtering for next basket recommendation": UP-CF@r).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.candidates.opinions import SparseOpinions
from recommender.candidates.protocol import Source
from recommender.candidates.sequences import Moments, moments
from recommender.history.dataset import Dataset, Int32

FAINTEST = 1e-30


@dataclass
class Again(Source):
    """Items the user took before, by number of orders, late ones counting more; near ties by recent popularity; no
    opinion on anything else.

    baskets: after how many more orders of the user an order counts half (0 = never less). half_life_share: the same by
    time, as a share of the recent window (0 = never less). crowd: what the most popular item gains, in orders; others
    gain by the square root of their recent popularity.
    """

    name: ClassVar[str] = "again"
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "baskets": (0.0, 40.0, 20.0, 10.0, 5.0, 2.0),
        "half_life_share": (0.0, 8.0, 4.0, 2.0, 1.0),
        "crowd": (0.1, 0.5, 1.0, 2.0),
    }
    baskets: float = 40.0
    half_life_share: float = 0.0
    crowd: float = 0.5

    def fit(self, dataset: Dataset, seed: int) -> Self:  # noqa: ARG002
        found = moments(dataset, dataset.is_target)
        worth = np.repeat(self._worth(found, dataset), found.sizes)
        owner = np.repeat(found.user, found.sizes)
        matrix = sp.csr_matrix((worth, (owner, found.items.indices)), shape=dataset.shape)
        matrix.sum_duplicates()
        lately = dataset.recent_popularity
        gain = self.crowd * np.sqrt(lately / max(lately.max(initial=0.0), 1.0))
        # However long ago, an order is an opinion still.
        matrix.data = np.maximum(matrix.data + gain[matrix.indices], FAINTEST).astype(np.float32)
        self.scores_ = matrix
        return self

    def opinions(self, users: Int32) -> SparseOpinions:
        return SparseOpinions(self.scores_[users])

    def _worth(self, found: Moments, dataset: Dataset) -> npt.NDArray[np.float64]:
        """float64[M]: what each order counts."""
        worth = np.ones(len(found.user))
        if dataset.time_kind == "none":
            return worth
        if self.baskets:
            worth *= np.exp2(-found.back / self.baskets)
        if self.half_life_share:
            worth *= np.exp2((found.ts_us - dataset.until_us) / (self.half_life_share * dataset.recent_us))
        return worth
