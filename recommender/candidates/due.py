"""What the user is due to take again: the rhythm of the item, of its category, and of the user.

How long people wait before they take an item again is close to log-normal, and many never do. So for each pair: the
chance that the item was taken for the last time, else a waiting time around the pair's own usual gap. The score is the
chance of the next purchase within the coming `horizon`, given that it did not come until now: it rises as the usual gap
is reached and falls when that is long past. Few gaps say little: the pair's rhythm leans on the item's (times how much
slower or faster the user is than others), the item's on its category's, the category's on the shop's (empirical Bayes).
After Bhagat et al. 2018, "Buy it again: modeling repeat purchase recommendations" (repeat rate times waiting time).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.special import ndtr

from recommender.candidates.opinions import SparseOpinions
from recommender.candidates.protocol import Source
from recommender.candidates.sequences import moments
from recommender.history.dataset import Dataset, Int32, Int64

Floats = npt.NDArray[np.float64]
LEAST_SPREAD = 0.2
FAINTEST = 1e-30


@dataclass
class Due(Source):
    """Items the user took before, by the chance that they are taken again soon; no opinion on anything else.

    horizon_share: how soon, as a share of the recent window. lean: after how many gaps of its own a pair (an item, a
    category) follows its own rhythm as much as that of the wider group.
    """

    name: ClassVar[str] = "due"
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "horizon_share": (0.05, 0.1, 0.25, 0.5, 1.0),
        "lean": (1.0, 3.0, 10.0),
    }
    horizon_share: float = 0.25
    lean: float = 3.0

    @classmethod
    def suits(cls, dataset: Dataset) -> bool:
        """Where there is an order and anybody took anything twice."""
        return dataset.time_kind != "none" and bool((dataset.orders.data > 1).any())

    def fit(self, dataset: Dataset, seed: int) -> Self:  # noqa: ARG002
        pairs = Pairs.of(dataset)
        group = leaf_of(dataset)
        usual, spread = self._rhythm(pairs, group)
        waited = np.maximum((dataset.until_us - pairs.last_us) / dataset.recent_us, 1e-9)
        returns = self._returns(pairs, group)
        before = ndtr((np.log(waited) - usual) / spread)
        after = ndtr((np.log(waited + self.horizon_share) - usual) / spread)
        chance = returns * (after - before) / (1.0 - returns * before)
        data = np.maximum(chance, FAINTEST).astype(np.float32)
        self.scores_ = sp.csr_matrix((data, (pairs.user, pairs.item)), shape=dataset.shape)
        return self

    def opinions(self, users: Int32) -> SparseOpinions:
        return SparseOpinions(self.scores_[users])

    def _rhythm(self, pairs: Pairs, group: Int32) -> tuple[Floats, Floats]:
        """The mean of each pair's log gap, in recent windows, and its spread."""
        items, users = len(group), int(pairs.user.max(initial=-1)) + 1
        mean = float(pairs.sum_log.sum() / max(pairs.gaps.sum(), 1.0))
        wide = self._leaned(pairs.gaps, pairs.sum_log, group[pairs.item], np.full(int(group.max(initial=0)) + 1, mean))
        of_item = self._leaned(pairs.gaps, pairs.sum_log, pairs.item, wide[group] if items else wide[:0])
        # How much slower than others each user is, in logarithms.
        slower = pairs.sum_log - pairs.gaps * of_item[pairs.item]
        of_user = self._leaned(pairs.gaps, slower, pairs.user, np.zeros(users))
        expected = of_item[pairs.item] + of_user[pairs.user]
        usual = (pairs.sum_log + self.lean * expected) / (pairs.gaps + self.lean)
        squares = pairs.sum_squares - 2 * usual * pairs.sum_log + pairs.gaps * usual**2
        common = float(squares.sum() / max(pairs.gaps.sum(), 1.0)) if pairs.gaps.sum() else 1.0
        variance = (squares + self.lean * common) / (pairs.gaps + self.lean)
        return usual, np.sqrt(np.maximum(variance, LEAST_SPREAD**2))

    def _leaned(self, count: Floats, total: Floats, group: Int32, prior: Floats) -> Floats:
        """Mean of each group, leaning on its prior."""
        counts = np.bincount(group, count, minlength=len(prior))
        return (np.bincount(group, total, minlength=len(prior)) + self.lean * prior) / (counts + self.lean)

    def _returns(self, pairs: Pairs, group: Int32) -> Floats:
        """The chance that an order of each pair is followed by another."""
        orders = pairs.gaps + 1.0
        rate = float(pairs.gaps.sum() / max(orders.sum(), 1.0))
        wide = self._leaned(orders, pairs.gaps, group[pairs.item], np.full(int(group.max(initial=0)) + 1, rate))
        of_item = self._leaned(orders, pairs.gaps, pairs.item, wide[group] if len(group) else wide[:0])
        return (pairs.gaps + self.lean * of_item[pairs.item]) / (orders + self.lean)


@dataclass(frozen=True)
class Pairs:
    """What a user took and when. user, item: int32[P]; last_us: int64[P]; gaps: how many times it was taken again;
    sum_log, sum_squares: of the logarithms of the gaps, in recent windows."""

    user: Int32
    item: Int32
    last_us: Int64
    gaps: Floats
    sum_log: Floats
    sum_squares: Floats

    @classmethod
    def of(cls, dataset: Dataset) -> Pairs:
        """All pairs of a dataset."""
        found = moments(dataset, dataset.is_target)
        user, item = np.repeat(found.user, found.sizes), found.items.indices
        ts_us = np.repeat(found.ts_us, found.sizes)
        order = np.lexsort((ts_us, item, user))
        user, item, ts_us = user[order], item[order], ts_us[order]
        same = (user[1:] == user[:-1]) & (item[1:] == item[:-1])
        first = np.concatenate([[True], ~same]) if len(user) else np.empty(0, bool)
        pair = np.cumsum(first) - 1
        log_gap = np.log(np.maximum(np.diff(ts_us)[same], 1) / dataset.recent_us)
        later = pair[1:][same]
        count = int(first.sum())
        gaps, total, squares = (_sums(later, weight, count) for weight in (np.ones(len(later)), log_gap, log_gap**2))
        last = np.append(np.flatnonzero(first)[1:], len(user))[:count] - 1
        return cls(user[first], item[first], ts_us[last], gaps, total, squares)


def _sums(group: npt.NDArray[np.intp], weight: Floats, groups: int) -> Floats:
    return np.bincount(group, weight, minlength=groups).astype(np.float64)


def leaf_of(dataset: Dataset) -> Int32:
    """int32[I]: a number for the deepest category of each item; items without one share the number 0."""
    category = dataset.facts.category
    depth = np.sum(category >= 0, axis=1)
    leaf: Int32 = category[np.arange(len(category)), np.maximum(depth - 1, 0)] + 1
    return leaf
