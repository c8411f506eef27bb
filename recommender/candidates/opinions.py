"""What a source says about a block of users: one list for all, a few items each, or every item.

A catalogue is long and what is wanted of it short. So each kind of opinions finds its best items, and the scores of a
given few, in its own way; whole rows of the catalogue are written down only where a model really has them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.dataset import Float32, Int32, Mask

ABOVE_ZERO = float(np.finfo(np.float32).tiny)
FINITE = float(np.finfo(np.float32).min)
FEWEST_GROUPS = 1_024

Indices = npt.NDArray[np.intp]


class Opinions(ABC):
    """Scores of I items for B users; -inf = no opinion. Never NaN."""

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


@dataclass(frozen=True)
class DenseOpinions(Opinions):
    """Every item of each user. values: float32[B, I]; what is below `least`, or not `known` (bool[I]; None = all are),
    is no opinion."""

    values: Float32
    least: float = FINITE
    known: Mask | None = None

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
