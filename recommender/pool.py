"""The pool: for each user the candidates of all sources together, with what is known about each pair.

Two kinds of candidates, kept apart from here on, because what makes people take something again is not what makes them
try something: repeats (the user has a target event on the item) and new ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recommender.candidates.protocol import Source, block_rows, blocks, top
from recommender.dataset import Dataset, Float32, Int32, Mask
from recommender.signals import Signals


@dataclass(frozen=True)
class Pool:
    """Candidates of B users. items: int32[B, C], -1 pads. repeat: bool[B, C], taken before.

    features: float32[B, C, F], NaN = not known. scores: float32[B, C, S] by source, -inf = no opinion. source:
    uint8[B, C], the source that ranks the item highest.
    """

    users: Int32
    items: Int32
    repeat: Mask
    features: Float32
    scores: Float32
    source: npt.NDArray[np.uint8]

    @property
    def real(self) -> Mask:
        """bool[B, C]: not padding."""
        return self.items >= 0


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
        of_sources = [f"{kind}_{source.name}" for kind in ("score", "share", "rank") for source in self.sources]
        return (*of_sources, *self.signals.names)

    def pools(self, users: Int32) -> Iterator[Pool]:
        """Pools of `users` in consecutive blocks that keep the memory bounded."""
        rows = block_rows(self.dataset.shape[1], 2 * len(self.sources) + 2)
        for block in blocks(users, rows):
            yield self.draw(block)

    def draw(self, users: Int32) -> Pool:
        """The pool of `users`, all at once."""
        taken = self.dataset.bought[users]
        open_items = np.tile(self.dataset.rankable, (len(users), 1))
        open_items[taken.nonzero()] = False
        dense = [source.scores(users) for source in self.sources]
        new = [top(np.where(open_items, scores, np.float32(-np.inf)), self.depth)[0] for scores in dense]
        old = self._repeats(users)
        items = _distinct(np.concatenate([old, *new], axis=1))
        at = np.maximum(items, 0)
        scores = np.stack([np.take_along_axis(of_source, at, axis=1) for of_source in dense], axis=2)
        scores[items < 0] = -np.inf
        repeat = _places(items, old, self.dataset.shape[1]) > 0
        new_ranks = [_places(items, found, self.dataset.shape[1]) for found in new]
        ranks = np.where(repeat[:, :, None], _ranks(scores, repeat), np.stack(new_ranks, axis=2))
        features = np.concatenate([_of_sources(scores, ranks), self.signals.of(users, at)], axis=2)
        source = np.where(np.isnan(ranks), np.inf, ranks).argmin(axis=2).astype(np.uint8)
        return Pool(users, items, repeat, features, scores, source)

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


def _distinct(items: Int32) -> Int32:
    """Each row's items once, ascending, -1 pads at the end; as wide as the widest row needs."""
    ordered = np.sort(items, axis=1)
    repeated = np.zeros(ordered.shape, bool)
    repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    ordered[repeated] = -1
    order = np.argsort(ordered < 0, axis=1, kind="stable")
    packed = np.take_along_axis(ordered, order, axis=1)
    width = int((packed >= 0).sum(axis=1).max(initial=1))
    return np.ascontiguousarray(packed[:, : max(width, 1)])


def _places(items: Int32, listed: Int32, columns: int) -> Float32:
    """float32[B, C]: place (from 1) of each of `items` in the list of its row, NaN where it is not there.

    `items` as `_distinct` gives them; every listed item is among them.
    """
    rows, width = items.shape
    start = np.arange(rows, dtype=np.int64)[:, None] * (columns + 1)
    keys = (start + np.where(items < 0, columns, items)).ravel()
    row, place = np.nonzero(listed >= 0)
    found = np.searchsorted(keys, start[row, 0] + listed[row, place])
    places = np.full(rows * width, np.nan, np.float32)
    places[found] = place + 1
    return places.reshape(rows, width)


def _ranks(scores: Float32, part: Mask) -> Float32:
    """float32[B, C, S]: place (from 1) of each candidate of `part` in each source's order of it, NaN elsewhere."""
    inside = np.where(part[:, :, None], scores, -np.inf)
    order = np.argsort(-inside, axis=1, kind="stable")
    places = np.empty(scores.shape, np.float32)
    np.put_along_axis(places, order, np.arange(1, scores.shape[1] + 1, dtype=np.float32)[None, :, None], axis=1)
    places[~np.isfinite(inside)] = np.nan
    return places


def _of_sources(scores: Float32, ranks: Float32) -> Float32:
    """Each source's score, its share of the user's best score, and its rank: [B, C, 3 S]."""
    known = np.where(np.isfinite(scores), scores, np.nan)
    best = np.where(np.isfinite(scores), scores, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = known / np.where(best > 0, best, np.nan)
    return np.concatenate([known, share, ranks], axis=2)
