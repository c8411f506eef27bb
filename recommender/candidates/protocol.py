"""What a candidate source is: something fitted on a dataset that scores items for users.

`__init__` (a frozen set of parameters) only stores; `fit` learns and returns self; learned state ends in `_`. A source
says nothing about an item (-inf) rather than guess. Ties are broken by the smaller row number, so that the same
history and seed give the same list.

Scores are dense blocks, users of the block x all items: the caller bounds the block (see `block_rows`), so memory does
not grow with the number of users.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp

from recommender.dataset import Dataset, Float32, Int32, Mask

BLOCK_BYTES = 128_000_000


class Source(ABC):
    """One way to find items a user may want."""

    name: ClassVar[str]

    @abstractmethod
    def fit(self, dataset: Dataset, seed: int) -> Self:
        """Learn from `dataset`. The same dataset and seed give the same scores."""

    @abstractmethod
    def scores(self, users: Int32) -> Float32:
        """float32[B, I]: how much each of `users` may want each item; -inf = no opinion. Never NaN."""

    def recommend(self, users: Int32, k: int, allowed: Mask | None = None) -> tuple[Int32, Float32]:
        """The k best items of each user, best first: int32[B, k] padded with -1, float32[B, k] padded with -inf.

        allowed: bool[I] or bool[B, I], items that may be proposed (default: all).
        """
        scores = self.scores(users)
        if allowed is not None:
            scores = np.where(allowed, scores, np.float32(-np.inf))
        return top(scores, k)


def top(scores: Float32, k: int) -> tuple[Int32, Float32]:
    """The k largest of each row, best first, ties by the smaller column; -1 and -inf where a row has fewer."""
    rows, columns = scores.shape
    width = min(k, columns)
    items = np.full((rows, k), -1, np.int32)
    values = np.full((rows, k), -np.inf, np.float32)
    if width == 0 or rows == 0:
        return items, values
    chosen = np.argpartition(-scores, width - 1, axis=1)[:, :width] if width < columns else _all(rows, columns)
    chosen.sort(axis=1)
    found = np.take_along_axis(scores, chosen, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    values[:, :width] = np.take_along_axis(found, order, axis=1)
    items[:, :width] = np.where(np.isfinite(values[:, :width]), np.take_along_axis(chosen, order, axis=1), -1)
    return items, values


def _all(rows: int, columns: int) -> np.ndarray[tuple[int, int], np.dtype[np.intp]]:
    return np.tile(np.arange(columns), (rows, 1))


def block_rows(items: int, arrays: int = 1) -> int:
    """How many users fit into a block when `arrays` dense float32 blocks are alive at once."""
    return max(1, min(4096, BLOCK_BYTES // (4 * max(items, 1) * arrays)))


def blocks(users: Int32, rows: int) -> Iterator[Int32]:
    """`users` in consecutive blocks of at most `rows`."""
    for start in range(0, len(users), rows):
        yield users[start : start + rows]


def opinions(block: sp.csr_matrix | Float32) -> Float32:
    """Scores of a block, sparse or not: what is not above 0 is no opinion."""
    dense: Float32 = block if isinstance(block, np.ndarray) else block.toarray()
    dense[dense <= 0] = -np.inf
    return dense
