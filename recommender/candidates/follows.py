"""Next after this: what people took soon after the items that the user took last.

Order-aware item-item neighbours. Whoever takes a and then b speaks for b after a: the less the more moments lie between
them, and the less the more people take a or b anyway. What was taken at once (a basket) has no order and speaks both
ways. An item's score is the sum, over the user's items, of their recency times what follows them. After the sequential
rules of Ludewig & Jannach 2018, "Evaluation of session-based recommendation algorithms" (weight 1 / distance), and the
recency of Garg et al. 2019, "Sequence and time aware neighborhood for session-based recommendations: STAN".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.candidates.largest import largest
from recommender.candidates.opinions import ABOVE_ZERO, DenseOpinions, Opinions, SparseOpinions
from recommender.candidates.protocol import Source
from recommender.candidates.sequences import Moments, moments
from recommender.history.dataset import Dataset, Int32

DENSE_ABOVE = 0.01
PAIRS_AT_ONCE = 20_000_000


@dataclass
class Follows(Source):
    """What follows the user's latest items.

    window: how many moments later (or earlier) still count, with weight 1 / distance. backward: what "b came before a"
    counts for b after a, beside 1 for "b came after a"; 1 = the order is ignored, only nearness counts. damping:
    exponent by which the popularity of what follows is damped (that of what was taken is by a half). decay: what an
    item of the user counts beside one taken a moment later. neighbours, entries: the most that an item, and all items
    together, keep.
    """

    name: ClassVar[str] = "follows"
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "window": (1, 3, 10),
        "backward": (0.0, 0.5, 1.0),
        "damping": (0.0, 0.25, 0.5, 0.75),
        "decay": (0.5, 0.7, 0.85, 1.0),
    }
    window: int = 3
    backward: float = 0.5
    damping: float = 0.25
    decay: float = 0.7
    neighbours: int = 1_000
    entries: int = 20_000_000

    @classmethod
    def suits(cls, dataset: Dataset) -> bool:
        """Where there is an order."""
        return dataset.time_kind != "none"

    def fit(self, dataset: Dataset, seed: int) -> Self:  # noqa: ARG002
        found = moments(dataset)
        self.similarity_: sp.csr_matrix = self._what_follows(found)
        recency = np.repeat(self.decay ** found.back.astype(np.float64), found.sizes)
        owner = np.repeat(found.user, found.sizes)
        weight = (found.items.data * recency).astype(np.float32)
        self.ties_ = sp.csr_matrix((weight, (owner, found.items.indices)), shape=dataset.shape)
        return self

    def opinions(self, users: Int32) -> Opinions:
        found = self.ties_[users] @ self.similarity_
        if found.nnz > DENSE_ABOVE * np.prod(found.shape):
            return DenseOpinions(found.toarray(), ABOVE_ZERO)
        found.sort_indices()
        return SparseOpinions(found)

    def _what_follows(self, found: Moments) -> sp.csr_matrix:
        """[I, I] how much each item (column) follows each (row), its neighbours only, found by blocks of rows."""
        items = found.items.shape[1]
        kept = int(np.clip(self.entries // max(items, 1), 50, self.neighbours))
        baskets = found.items.copy()
        # A basket of many items says less of each pair.
        baskets.data = baskets.data / np.sqrt(np.repeat(found.sizes, found.sizes)).astype(np.float32)
        takers = np.maximum(found.items.getnnz(axis=0), 1).astype(np.float32)
        taken = found.items.T.tocsr()
        parts = []
        pairs = np.diff(taken.indptr) * (2 * self.window + 1) * (baskets.nnz / max(len(found.user), 1))
        for start, end in _row_blocks(pairs):
            near = (self._around(taken[start:end], found.user) @ baskets).tocoo()
            other = near.row + start != near.col
            row, column, weight = near.row[other], near.col[other], near.data[other]
            weight = weight / np.sqrt(takers[row + start]) / takers[column] ** np.float32(self.damping)
            parts.append(largest(sp.csr_matrix((weight, (row, column)), shape=near.shape), kept))
        return sp.vstack(parts, format="csr", dtype=np.float32) if parts else sp.csr_matrix((items, items))

    def _around(self, taken: sp.csr_matrix, user: Int32) -> sp.csr_matrix:
        """[b, M] of the moments [b, M] at which items were taken: the moments around them, by what they count."""
        row, moment = np.repeat(np.arange(taken.shape[0]), np.diff(taken.indptr)), taken.indices
        rows, moments_, weights = [row], [moment], [taken.data]
        for distance in range(1, self.window + 1):
            for step, share in ((distance, 1.0), (-distance, self.backward)):
                at = np.clip(moment + step, 0, len(user) - 1)
                inside = (at == moment + step) & (user[at] == user[moment]) & (share > 0)
                rows.append(row[inside])
                moments_.append(at[inside])
                weights.append(taken.data[inside] * np.float32(share / distance))
        places = np.concatenate(rows), np.concatenate(moments_)
        return sp.csr_matrix((np.concatenate(weights), places), shape=taken.shape)


def _row_blocks(pairs: npt.NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Consecutive rows that make at most about PAIRS_AT_ONCE pairs together. pairs: about how many each row makes."""
    number = (np.cumsum(pairs) // PAIRS_AT_ONCE).astype(np.int64)
    edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(pairs)]
    return ((start, end) for start, end in pairwise(edges) if end > start)
