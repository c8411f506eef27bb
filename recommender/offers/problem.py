"""Who may have which offer and what there is to spend, read in blocks: at no time is there a second copy of it.

Limits stand in one vector of 2 O + 1: the budget of each offer, the budget over all, the visitors an offer may have;
infinite where there is none. Prices stand in a vector of the same layout: per minor unit spent, and per visitor. At
prices p an offer o is worth gain - (1 + p[o] + p[O]) cost - p[O + 1 + o] to a visitor ("score").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portraits.errors import InvalidValue

BLOCK = 1 << 18
"""Cells looked at together: their scores (1 MB) stay in the processor's cache."""

Floats = NDArray[np.float64]
Scores = NDArray[np.float32]
Rows = slice | NDArray[np.int64]


class Longer:
    """An array [U, O] read as if its last row were repeated `more` times; nothing is copied.

    It can be asked only as `Problem` asks: by a slice, by row numbers, or by row and column numbers together.
    """

    def __init__(self, array: NDArray[Any], more: int) -> None:
        self._array, self._rows = array, len(array)
        self.shape = (self._rows + more, array.shape[1])

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):
            return self._array[np.minimum(key[0], self._rows - 1), key[1]]
        if isinstance(key, slice):
            if key.stop <= self._rows:
                return self._array[key]
            key = np.arange(key.start, key.stop)
        return self._array[np.minimum(key, self._rows - 1)]


@dataclass(frozen=True)
class Problem:
    """What is to be allocated, U visitors and O offers.

    gain, cost: minor units when the offer is shown once, float32 [U, O], may be mapped from a file. eligible: bool
    [U, O]. weight: answers expected of each visitor, [U]. limits: [2 O + 1], see the module. most: [2 O + 1], what a
    single answer must not exceed; the same as `limits`, but for a sample, whose limits are scaled down.
    """

    gain: NDArray[Any] | Longer
    cost: NDArray[Any] | Longer
    eligible: NDArray[np.bool_] | Longer
    weight: Floats
    limits: Floats
    most: Floats

    @property
    def offers(self) -> int:
        """How many offers there are, O."""
        return int(self.gain.shape[1])

    @property
    def visitors(self) -> int:
        """How many visitors there are, U."""
        return int(self.gain.shape[0])

    def blocks(self, rows: NDArray[np.int64] | None = None) -> Iterator[Rows]:
        """All rows, or `rows`, in parts of at most `BLOCK` cells."""
        size = max(1, BLOCK // max(self.offers, 1))
        for start in range(0, self.visitors if rows is None else len(rows), size):
            if rows is None:
                yield slice(start, min(start + size, self.visitors))
            else:
                yield rows[start : start + size]

    def scores(self, rows: Rows, prices: Floats) -> Scores:
        """What each offer is worth to each of `rows` at these prices, [rows, O]; -inf for what they cannot have."""
        width = self.offers
        rate = (1.0 + prices[:width] + prices[width]).astype(np.float32)
        scores: Scores = np.multiply(self.cost[rows], -rate, dtype=np.float32)
        scores += self.gain[rows]
        if prices[width + 1 :].any():
            scores -= prices[width + 1 :].astype(np.float32)
        np.copyto(scores, np.float32(-np.inf), where=~self.eligible[rows])
        if self.tight:
            np.copyto(scores, np.float32(-np.inf), where=self._too_much(rows))
        return scores

    @cached_property
    def tight(self) -> bool:
        """Is there a cell that alone exceeds a limit?"""
        if not np.isfinite(self._dearest).any():
            return False
        return any(bool((self._too_much(rows) & self.eligible[rows]).any()) for rows in self.blocks())

    def use(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Floats:
        """What visitors `rows` with the offers `columns` use of every limit, [2 O + 1]."""
        used = np.zeros(2 * self.offers + 1)
        weight = self.weight[rows]
        spent = weight * self.cost[rows, columns]
        used[: self.offers] = np.bincount(columns, spent, self.offers)
        used[self.offers] = spent.sum()
        used[self.offers + 1 :] = np.bincount(columns, weight, self.offers)
        return used

    @cached_property
    def potential(self) -> Floats:
        """More than can be used of every limit, [2 O + 1]. A limit above it need not have a price."""
        most = np.zeros(2 * self.offers + 1)
        for rows in self.blocks():
            weight = self.weight[rows]
            cost = np.where(self.eligible[rows], self.cost[rows], 0.0)
            most[: self.offers] += weight @ cost
            most[self.offers] += weight @ cost.max(axis=1)
            most[self.offers + 1 :] += weight @ self.eligible[rows]
        return most

    def sample(self, size: int, seed: int) -> Problem:
        """The same with `size` visitors drawn at random and limits in proportion; itself if there are no more."""
        if self.visitors <= size:
            return self
        drawn = np.sort(np.random.default_rng(seed).choice(self.visitors, size, replace=False))
        share = self.weight[drawn].sum() / max(self.weight.sum(), 1e-300)
        return replace(
            self,
            gain=self.gain[drawn],
            cost=self.cost[drawn],
            eligible=self.eligible[drawn],
            weight=self.weight[drawn],
            limits=self.limits * share,
        )

    def check(self) -> None:
        """Raises InvalidValue for shapes that do not fit, a gain or cost of an eligible cell that is no number, or a
        cost below 0."""
        for name in ("cost", "eligible"):
            if getattr(self, name).shape != self.gain.shape:
                raise InvalidValue(name, getattr(self, name).shape, f"the shape of gain, {self.gain.shape}")
        if self.weight.shape != self.gain.shape[:1] or not (np.isfinite(self.weight) & (self.weight >= 0)).all():
            raise InvalidValue("weight", self.weight.shape, f"{self.visitors} numbers, none below 0")
        for rows in self.blocks():
            eligible = self.eligible[rows]
            if not np.isfinite(self.gain[rows]).all(where=eligible):
                raise InvalidValue("gain", "not a number", "an amount for every eligible offer of a visitor")
            cost = self.cost[rows]
            if not (np.isfinite(cost) & (cost >= 0)).all(where=eligible):
                raise InvalidValue("cost", "not a number or below 0", "an amount for every eligible offer of a visitor")

    def _too_much(self, rows: Rows) -> NDArray[np.bool_]:
        """bool [rows, O]: cells whose cost alone exceeds a budget; half an offer cannot be given."""
        found: NDArray[np.bool_] = self.cost[rows] > self._dearest
        return found

    @cached_property
    def _dearest(self) -> Floats:
        found: Floats = np.minimum(self.most[: self.offers], self.most[self.offers])
        return found
