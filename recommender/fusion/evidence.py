"""Which of a visitor's own items may be named as the cause of a candidate: only one that raised its score.

Item-item sources add up what each of the visitor's own items says about a candidate. So where such a source is credited
with the candidate (`Recipe.credited`), the own item that says most there is a true cause; where another one is
(factors, popularity, what neighbours took), no single item is, and none is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.candidates.largest import listed
from recommender.candidates.protocol import Source
from recommender.fusion.pool import Pool
from recommender.history.dataset import Int32

EXPLAINING = 10
"""How many of the items that say most about a candidate may be named for it."""


class Evidence:
    """The causes that fitted sources know. `sources` in the order of the pool's scores."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._known: list[tuple[int, sp.csr_matrix, Int32]] = []
        for at, source in enumerate(sources):
            similarity, ties = getattr(source, "similarity_", None), getattr(source, "ties_", None)
            if similarity is not None and ties is not None:
                # Of each item (column) those that say most about it, the first most.
                self._known.append((at, ties, listed(similarity.T.tocsr(), EXPLAINING)[0]))

    def of(self, pool: Pool, credited: npt.NDArray[np.uint8]) -> Int32:
        """int32[B, C]: the user's own item that says most about each candidate in the source `credited` with it
        (uint8[B, C]); -1 where that one knows none, or has no opinion."""
        cause = np.full(pool.items.shape, -1, np.int32)
        for at, ties, speakers in self._known:
            row, column = np.nonzero((credited == at) & np.isfinite(pool.scores[:, :, at]) & pool.real)
            cause[row, column] = _loudest(ties[pool.users], row, speakers[pool.items[row, column]])
        return cause


def _loudest(ties: sp.csr_matrix, row: npt.NDArray[np.intp], near: Int32) -> Int32:
    """int32[N]: of the own items of users (ties [B, I]; row: int[N], whose) the first among `near` (int32[N, M], -1
    pads), else -1."""
    own = np.zeros((ties.shape[0], ties.shape[1] + 1), bool)  # the last column stands for the padding
    own[_rows(ties), ties.indices] = ties.data > 0
    found = own[row[:, None], near]
    first = np.take_along_axis(near, found.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.where(found.any(axis=1), first, -1).astype(np.int32)


def _rows(matrix: sp.csr_matrix) -> npt.NDArray[Any]:
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
