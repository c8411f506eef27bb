"""What a source says about a block of users: one list for all, a few items each, or every item.

A catalogue is long and what is wanted of it short. So each kind of opinions finds its best items, and the scores of a
given few, in its own way; whole rows of the catalogue are written down only where a model really has them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.history.dataset import Float32, Int32, Mask

ABOVE_ZERO = float(np.finfo(np.float32).tiny)
FINITE = float(np.finfo(np.float32).min)
FEWEST_GROUPS = 1_024
MOMENT_ROWS = 16
ROUNDING = 1e-10
"""Below this share of the squared mean a variance is rounding."""

Indices = npt.NDArray[np.intp]


class Opinions(ABC):
    """Scores of I items for B users; -inf = no opinion. Never NaN.

    silence: what no opinion is worth beside the scores: 0 where only a few items are named, None (the user's mean)
    where a model scores all it knows.
    """

    silence: float | None = 0.0

    @abstractmethod
    def best(self, k: int, rankable: Mask, taken: sp.csr_matrix) -> Int32:
        """The k best items of each user, best first, ties by the smaller row number: int32[B, k], -1 pads.

        rankable: bool[I], others may lose their scores for good; taken: [B, I], items of each user to leave out.
        """

    @abstractmethod
    def at(self, items: Int32) -> Float32:
        """float32[B, C]: scores of items[b, c] (no padding) for each user."""

    @abstractmethod
    def dense(self) -> Float32:
        """float32[B, I]: all scores."""

    @abstractmethod
    def moments(self) -> tuple[Float32, Float32]:
        """float32[B], float32[B]: mean and standard deviation of each user's scores over the catalogue, no opinion
        counting as `silence`; a deviation of 0 is told as 1. To be asked before `best`, which may forget scores."""


@dataclass(frozen=True)
class SharedOpinions(Opinions):
    """The same for every user. values: float32[I]; order: all items, best first; users: how many."""

    values: Float32
    order: Int32
    users: int

    def best(self, k: int, rankable: Mask, taken: sp.csr_matrix) -> Int32:
        order = self.order[rankable[self.order]]
        place = np.full(len(rankable), len(order) + len(rankable) + k)
        place[order] = np.arange(len(order))
        row = _rows(taken)
        gaps = place[taken.indices]
        gaps = gaps[np.lexsort((gaps, row))] - (np.arange(len(row)) - taken.indptr[row])
        # A user's j-th gap, at place p of the list, moves on every entry that would stand at p - j or later.
        near = gaps < k
        moved = np.bincount(row[near] * k + gaps[near], minlength=self.users * k).reshape(self.users, k)
        at = np.arange(k) + moved.cumsum(axis=1)
        found: Int32 = np.append(order, np.int32(-1))[np.minimum(at, len(order))]
        return found

    def at(self, items: Int32) -> Float32:
        return self.values[items]

    def dense(self) -> Float32:
        return np.tile(self.values, (self.users, 1))

    def moments(self) -> tuple[Float32, Float32]:
        heard = np.where(self.values > FINITE, self.values, 0.0).astype(np.float64)
        return _spread(np.full(self.users, heard.sum()), np.full(self.users, heard @ heard), len(heard))


@dataclass(frozen=True)
class SparseOpinions(Opinions):
    """A few items of each user. values: [B, I] with sorted columns; what is not above 0 is no opinion."""

    values: sp.csr_matrix

    def best(self, k: int, rankable: Mask, taken: sp.csr_matrix) -> Int32:
        row, column = _rows(self.values), self.values.indices
        kept = rankable[column] & (self.values.data > 0)
        own = taken.sorted_indices()
        kept[_found(_keys(own), _keys(self.values))[0]] = False
        return _select(row[kept], column[kept], self.values.data[kept], self.values.shape[0], k)[0]

    def at(self, items: Int32) -> Float32:
        wanted = np.arange(len(items), dtype=np.int64)[:, None] * self.values.shape[1] + items
        there, place = _found(_keys(self.values), wanted)
        scores = np.full(items.shape, -np.inf, np.float32)
        scores[there] = self.values.data[place]
        scores[scores <= 0] = -np.inf
        return scores

    def dense(self) -> Float32:
        return DenseOpinions(self.values.toarray(), ABOVE_ZERO).dense()

    def moments(self) -> tuple[Float32, Float32]:
        heard = np.maximum(self.values.data, 0.0).astype(np.float64)
        row, rows = _rows(self.values), self.values.shape[0]
        return _spread(np.bincount(row, heard, rows), np.bincount(row, heard**2, rows), self.values.shape[1])


@dataclass(frozen=True)
class DenseOpinions(Opinions):
    """Every item of each user. values: float32[B, I]; what is below `least`, or not `known` (bool[I]; None = all are),
    is no opinion."""

    values: Float32
    least: float = FINITE
    known: Mask | None = None

    @property
    def silence(self) -> float | None:  # type: ignore[override]
        return None if self.least == FINITE else 0.0

    def best(self, k: int, rankable: Mask, taken: sp.csr_matrix) -> Int32:
        self._forget(rankable if self.known is None else rankable & self.known)
        own = _rows(taken), taken.indices
        kept = self.values[own]
        # Covered up and restored: a copy of the block would cost as much as the search.
        self.values[own] = -np.inf
        found = top(self.values, k, self.least)[0]
        self.values[own] = kept
        return found

    def at(self, items: Int32) -> Float32:
        scores: Float32 = np.take_along_axis(self.values, items, axis=1)
        return self._heard(scores, items)

    def dense(self) -> Float32:
        return self._heard(self.values.copy(), slice(None))

    def moments(self) -> tuple[Float32, Float32]:
        found = np.empty((2, len(self.values)), np.float32)
        # A few rows at a time stay in the processor's cache; copies of the block would cost more than the search.
        for start in range(0, len(self.values), MOMENT_ROWS):
            rows = slice(start, start + MOMENT_ROWS)
            found[:, rows] = self._moments(self.values[rows])
        return found[0], found[1]

    def _moments(self, heard: Float32) -> tuple[Float32, Float32]:
        count: npt.NDArray[Any] = np.full(len(heard), heard.shape[1])
        if self.silence is not None:
            heard = np.maximum(heard, 0.0)
        else:
            heard = heard if self._all_known else heard[:, self.known]
            deaf = heard < FINITE
            count = heard.shape[1] - deaf.sum(axis=1)
            heard = np.where(deaf, np.float32(0.0), heard) if deaf.any() else heard
        centre = heard.sum(axis=1) / np.maximum(count, 1)
        apart = heard - centre[:, None].astype(np.float32)
        squares = np.einsum("ij,ij->i", apart, apart) - (heard.shape[1] - count) * centre**2
        return centre.astype(np.float32), _deviation(squares / np.maximum(count, 1), centre)

    @cached_property
    def _all_known(self) -> bool:
        return self.known is None or bool(self.known.all())

    def _heard(self, scores: Float32, items: Int32 | slice) -> Float32:
        """`scores` of `items`, -inf where there is no opinion."""
        scores[scores < self.least] = -np.inf
        return scores if self.known is None else np.where(self.known[items], scores, np.float32(-np.inf))

    def _forget(self, kept: Mask) -> None:
        """Set the columns that are not `kept` to -inf: by an addition, far faster than a choice of columns."""
        if not kept.all():
            np.add(self.values, np.where(kept, 0.0, -np.inf).astype(np.float32), out=self.values)


def top(scores: Float32, k: int, least: float = FINITE) -> tuple[Int32, Float32]:
    """The k largest of each row that are at least `least`, best first, ties by the smaller column: int32[B, k] and
    float32[B, k]; -1 and -inf where a row has fewer."""
    rows, columns = scores.shape
    least_of_row = np.maximum(_bound(scores, k), np.float32(least))
    flat = np.flatnonzero(scores >= least_of_row[:, None])
    row, column = np.divmod(flat, max(columns, 1))
    return _select(row, column, scores.reshape(-1)[flat], rows, k)


def _bound(scores: Float32, k: int) -> Float32:
    """float32[B]: something at or a little below the k-th largest of each row.

    Columns fall into groups; the k-th largest of the groups' maxima has k values at or above it. Reading the row once
    for that is several times faster than partitioning it.
    """
    rows, columns = scores.shape
    groups = max(FEWEST_GROUPS, 8 * k)
    if columns <= 2 * groups:
        return np.full(rows, -np.inf, np.float32)
    deep = columns // groups
    largest = scores[:, : deep * groups].reshape(rows, deep, groups).max(axis=1)
    rest = columns - deep * groups
    np.maximum(largest[:, :rest], scores[:, deep * groups :], out=largest[:, :rest])
    bound: Float32 = np.partition(largest, groups - k, axis=1)[:, groups - k]
    return bound


def _select(row: Indices, column: Indices, value: Float32, rows: int, k: int) -> tuple[Int32, Float32]:
    """The k largest of each row among entries in ascending order of (row, column)."""
    count = np.bincount(row, minlength=rows)
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    width = max(int(count.max(initial=0)), k)
    values = np.full((rows, width), -np.inf, np.float32)
    columns = np.full((rows, width), -1, np.int32)
    values[row, place], columns[row, place] = value, column
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)


def _spread(total: npt.NDArray[Any], squares: npt.NDArray[Any], items: int) -> tuple[Float32, Float32]:
    """Mean and standard deviation from sums over so many items."""
    mean = total / max(items, 1)
    return mean.astype(np.float32), _deviation(squares / max(items, 1) - mean**2, mean)


def _deviation(variance: npt.NDArray[Any], mean: npt.NDArray[Any]) -> Float32:
    """The root of a variance; 1 where nothing but rounding is left of it."""
    flat = variance <= ROUNDING * np.asarray(mean) ** 2
    return np.sqrt(np.where(flat | (variance <= 0), 1.0, variance)).astype(np.float32)


def _rows(matrix: sp.csr_matrix) -> Indices:
    """Row of each entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def _keys(matrix: sp.csr_matrix) -> npt.NDArray[np.int64]:
    """Each entry's place in the full matrix; ascending when the columns are sorted."""
    keys: npt.NDArray[np.int64] = _rows(matrix).astype(np.int64) * matrix.shape[1] + matrix.indices
    return keys


def _found(keys: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]) -> tuple[Mask, Indices]:
    """Which of `wanted` (any shape) are among ascending `keys`, and where those are."""
    if not len(keys):
        return np.zeros(wanted.shape, bool), np.empty(0, np.intp)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    there = keys[at] == wanted
    return there, at[there]
