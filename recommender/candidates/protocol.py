"""What a candidate source is: something fitted on a dataset that scores items for users.

`__init__` (a frozen set of parameters) only stores; `fit` learns and returns self; learned state ends in `_`. A source
says nothing about an item (-inf) rather than guess. Ties are broken by the smaller row number, so that the same
history and seed give the same list.

Users come in blocks that the caller bounds (see `block_rows`), so memory does not grow with their number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np

from recommender.candidates.opinions import Opinions, top
from recommender.history.dataset import Dataset, Float32, Int32, Mask

BLOCK_BYTES = 128_000_000
MOST_ROWS = 1_024
AGEING = frozenset({"half_life_share", "baskets"})
"""Parameters that say how ties and orders fade: without time they say nothing."""


class Source(ABC):
    """One way to find items a user may want.

    space: parameters that a night may try, and the values that each may take, the same for every app; a parameter
    outside it keeps its default.
    """

    name: ClassVar[str]
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    @classmethod
    def suits(cls, dataset: Dataset) -> bool:  # noqa: ARG003
        """Whether there is anything in `dataset` that this source could learn from (titles, friends, an order)."""
        return True

    @abstractmethod
    def fit(self, dataset: Dataset, seed: int) -> Self:
        """Learn from `dataset`. The same dataset and seed give the same scores."""

    @abstractmethod
    def opinions(self, users: Int32) -> Opinions:
        """How much each of `users` may want each item."""

    def scores(self, users: Int32) -> Float32:
        """float32[B, I]: all opinions written down; -inf = none. Never NaN."""
        return self.opinions(users).dense()

    def recommend(self, users: Int32, k: int, allowed: Mask | None = None) -> tuple[Int32, Float32]:
        """The k best items of each user, best first: int32[B, k] padded with -1, float32[B, k] padded with -inf.

        allowed: bool[I] or bool[B, I], items that may be proposed (default: all).
        """
        scores = self.scores(users)
        if allowed is not None:
            scores = np.where(allowed, scores, np.float32(-np.inf))
        return top(scores, k)


Fit = Callable[[Source, Dataset, int], Source]
"""Fits a source on a dataset by a seed, and gives it back."""


def fit_here(source: Source, dataset: Dataset, seed: int) -> Source:
    """In this process."""
    return source.fit(dataset, seed)


def block_rows(items: int, arrays: int = 1) -> int:
    """How many users fit into a block when `arrays` dense float32 blocks are alive at once."""
    return max(1, min(MOST_ROWS, BLOCK_BYTES // (4 * max(items, 1) * arrays)))


def blocks(users: Int32, rows: int) -> Iterator[Int32]:
    """`users` in consecutive blocks of at most `rows`."""
    for start in range(0, len(users), rows):
        yield users[start : start + rows]
