"""The pool: for each user the candidates of all sources together, with what is known about each pair.

Two kinds of candidates, kept apart from here on, because what makes people take something again is not what makes them
try something: repeats (the user has a target event on the item) and new ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.candidates.opinions import Opinions
from recommender.candidates.protocol import Source, block_rows, blocks
from recommender.fusion.signals import Signals
from recommender.history.dataset import Dataset, Float32, Int32, Mask

MORE_ROWS = 6
"""Blocks of the pool beside those of a single source's: every step costs the same for few rows as for many."""
MOST_ROWS = 1_024
MOST_Z = 1_000.0
"""Standard deviations beyond which a score says nothing more."""


@dataclass(frozen=True)
class Pool:
    """Candidates of B users. items: int32[B, C], -1 pads. repeat: bool[B, C], taken before.

    By source, [B, C, S]: scores, -inf = no opinion; z, the scores in standard deviations from the user's mean over the
    catalogue, 0 for padding; ranks, from 1 among what the source proposed (or among the repeats), NaN = not proposed.
    source: uint8[B, C], the source that ranks the item highest.
    """

    users: Int32
    items: Int32
    repeat: Mask
    scores: Float32
    z: Float32
    ranks: Float32
    source: npt.NDArray[np.uint8]

    @property
    def real(self) -> Mask:
        """bool[B, C]: not padding."""
        return self.items >= 0

    def part(self, repeats: bool | None) -> Mask:
        """bool[B, C]: the repeats, the new items, or (None) both."""
        return self.real if repeats is None else self.real & (self.repeat == repeats)

    def among(self, truth: sp.csr_matrix) -> Mask:
        """bool[B, C]: which candidates are in `truth` ([B, I])."""
        return np.take_along_axis(truth.toarray() > 0, np.maximum(self.items, 0), axis=1) & self.real


class Pooler:
    """Makes pools from fitted sources over the dataset they were fitted on.

    depth: new items each source may add; repeats: the most repeats of one user.
    """

    def __init__(self, dataset: Dataset, sources: Sequence[Source], depth: int, repeats: int) -> None:
        self.dataset = dataset
        self.sources = tuple(sources)
        self.depth = depth
        self.repeats = repeats
        self.signals = Signals(dataset)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What `features` holds."""
        of_sources = [f"{kind}_{source.name}" for kind in ("score", "z", "rank") for source in self.sources]
        return (*of_sources, *self.signals.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the sources, in the order of a pool's scores."""
        return tuple(source.name for source in self.sources)

    def features(self, pool: Pool) -> Float32:
        """float32[N, F] of the real candidates of a pool, row by row; NaN = not known. Never of padding."""
        real = pool.real
        known = np.where(np.isfinite(pool.scores[real]), pool.scores[real], np.nan)
        told = self.signals.of(pool.users, np.maximum(pool.items, 0))[real]
        return np.concatenate([known, pool.z[real], pool.ranks[real], told], axis=1, dtype=np.float32)

    def pools(self, users: Int32) -> Iterator[Pool]:
        """Pools of `users` in consecutive blocks that keep the memory bounded."""
        return map(self.draw, blocks(users, self.rows))

    @property
    def rows(self) -> int:
        """Users of a block."""
        return min(MOST_ROWS, MORE_ROWS * block_rows(self.dataset.shape[1], max(len(self.sources), 1)))

    def draw(self, users: Int32) -> Pool:
        """The pool of `users`, all at once."""
        taken = self.dataset.bought[users]
        opinions = [source.opinions(users) for source in self.sources]
        moments = [one.moments() for one in opinions]
        new = [one.best(self.depth, self.dataset.rankable, taken) for one in opinions]
        old = self._repeats(users)
        items, slots = _union(np.concatenate([old, *new], axis=1))
        at = np.maximum(items, 0)
        scores = np.stack([one.at(at) for one in opinions], axis=2)
        scores[items < 0] = -np.inf
        old_slots, new_slots = slots[:, : old.shape[1]], slots[:, old.shape[1] :]
        ranks = np.full(scores.shape, np.nan, np.float32)
        row, place = np.nonzero(new_slots >= 0)
        ranks[row, new_slots[row, place], place // self.depth] = place % self.depth + 1
        _rank_repeats(ranks, scores, old_slots)
        repeat = np.zeros(items.shape, bool)
        row, place = np.nonzero(old_slots >= 0)
        repeat[row, old_slots[row, place]] = True
        z = _standards(opinions, scores, moments)
        z[items < 0] = 0.0
        source = np.where(np.isnan(ranks), np.inf, ranks).argmin(axis=2).astype(np.uint8)
        return Pool(users, items, repeat, scores, z, ranks, source)

    def of(self, users: Int32, items: Int32) -> Pool:
        """The pool of given items (int32[B, C], -1 pads) instead of those the sources propose: ranks are not known."""
        opinions = [source.opinions(users) for source in self.sources]
        moments = [one.moments() for one in opinions]
        at = np.maximum(items, 0)
        scores = np.stack([one.at(at) for one in opinions], axis=2)
        scores[items < 0] = -np.inf
        z = _standards(opinions, scores, moments)
        z[items < 0] = 0.0
        known = np.take_along_axis(self.dataset.bought[users].toarray() > 0, at, axis=1) & (items >= 0)
        unknown = np.full(scores.shape, np.nan, np.float32)
        return Pool(users, items, known, scores, z, unknown, np.zeros(items.shape, np.uint8))

    def _repeats(self, users: Int32) -> Int32:
        """int32[B, R]: rankable items that each user took, those taken most often first, -1 pads."""
        orders = self.dataset.orders[users]
        row = np.repeat(np.arange(len(users)), np.diff(orders.indptr))
        kept = self.dataset.rankable[orders.indices]
        row, item, times = row[kept], orders.indices[kept], orders.data[kept]
        order = np.lexsort((item, -times, row))
        row, item = row[order], item[order]
        place = np.arange(len(row)) - np.searchsorted(row, row)
        chosen = place < self.repeats
        found = np.full((len(users), int(place[chosen].max(initial=0)) + 1), -1, np.int32)
        found[row[chosen], place[chosen]] = item[chosen]
        return found


def _union(listed: Int32) -> tuple[Int32, Int32]:
    """Each row's items once, ascending, -1 pads at the end, as wide as the widest row needs: int32[B, C]; and the
    column in which each listed item stands there: int32[B, L], -1 for -1."""
    order = np.argsort(np.where(listed < 0, np.iinfo(np.int32).max, listed), axis=1)
    ordered = np.take_along_axis(listed, order, axis=1)
    fresh = ordered >= 0
    fresh[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    column = np.cumsum(fresh, axis=1, dtype=np.int32) - 1
    items = np.full((len(listed), max(int(column.max(initial=0)) + 1, 1)), -1, np.int32)
    row, place = np.nonzero(fresh)
    items[row, column[row, place]] = ordered[row, place]
    slots = np.empty(listed.shape, np.int32)
    np.put_along_axis(slots, order, np.where(ordered < 0, -1, column).astype(np.int32), axis=1)
    return items, slots


def _rank_repeats(ranks: Float32, scores: Float32, slots: Int32) -> None:
    """Put each repeat's place (from 1) among the repeats into `ranks`, by source, where the source has an opinion.

    ranks, scores: [B, C, S]; slots: int32[B, R], columns of the repeats, -1 pads.
    """
    slots = np.sort(slots, axis=1)
    inside = np.take_along_axis(scores, np.maximum(slots, 0)[:, :, None], axis=1)
    inside[slots < 0] = -np.inf
    order = np.argsort(-inside, axis=1, kind="stable")
    places = np.empty(inside.shape, np.float32)
    np.put_along_axis(places, order, np.arange(1, slots.shape[1] + 1, dtype=np.float32)[None, :, None], axis=1)
    places[~np.isfinite(inside)] = np.nan
    row, place = np.nonzero(slots >= 0)
    ranks[row, slots[row, place]] = places[row, place]


def _standards(opinions: Sequence[Opinions], scores: Float32, moments: Sequence[tuple[Float32, Float32]]) -> Float32:
    """float32[B, C, S]: what each source says, in standard deviations."""
    of_each = zip(opinions, np.moveaxis(scores, 2, 0), moments, strict=True)
    return np.stack([_standard(*each) for each in of_each], axis=2)


def _standard(opinions: Opinions, scores: Float32, moments: tuple[Float32, Float32]) -> Float32:
    """float32[B, C]: scores in standard deviations from the user's mean."""
    mean, deviation = (moment[:, None] for moment in moments)
    silence = mean if opinions.silence is None else np.float32(opinions.silence)
    z: Float32 = np.clip((np.where(np.isfinite(scores), scores, silence) - mean) / deviation, -MOST_Z, MOST_Z)
    return z
