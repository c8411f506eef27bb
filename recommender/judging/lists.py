"""What lists are like, whatever was taken from them: how unknown, how varied, how near to the visitor's taste.

novelty: mean self-information of the items shown, -log2 of the share of users who took the item before (Vargas &
Castells 2011): 1 bit more is half as popular. An item that nobody took counts as taken by half a user.

diversity: mean distance of the pairs shown. Two items whose category paths share s levels, of lengths a and b, are
1 - 2 s / (a + b) apart (Wu & Palmer 1994): 0 for one path, 1 for nothing in common.

miscalibration: Kullback-Leibler divergence, in bits, of the categories shown from those of what the visitor took
before, the former mixed with 1% of the latter so that it is finite (Steck 2018, "Calibrated recommendations"): 0 for a
list that holds them in the proportions of the visitor's own history. An item counts 1 in all, shared by the levels of
its path.

nan where a list holds nothing to measure, or nothing is known of the visitor's taste.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import scipy.sparse as sp

from recommender.history.dataset import Dataset, Int32
from recommender.judging.metrics import Values

MIXED_IN = 0.01
BLOCK = 2_000
NATURE = ("novelty", "diversity", "miscalibration")


class Nature:
    """What lists are like beside a past, `train`."""

    def __init__(self, train: Dataset) -> None:
        self._train = train

    def per_user(self, lists: Int32, users: Int32, k: int) -> dict[str, Values]:
        """Each of NATURE for the first k of each row of `lists` (int32[E, n], -1 pads), a list for each of `users`."""
        lists = lists[:, :k]
        blocks = [slice(start, start + BLOCK) for start in range(0, max(len(lists), 1), BLOCK)]
        return {
            "novelty": self._novelty(lists),
            "diversity": np.concatenate([self._diversity(lists[rows]) for rows in blocks]),
            "miscalibration": np.concatenate([self._miscalibration(lists[rows], users[rows]) for rows in blocks]),
        }

    def _novelty(self, lists: Int32) -> Values:
        return _ratio(self._information[lists].sum(axis=1), (lists >= 0).sum(axis=1).astype(np.float64))

    def _diversity(self, lists: Int32) -> Values:
        paths = self._train.facts.category[lists]
        lengths = np.where(lists >= 0, np.count_nonzero(paths >= 0, axis=2), 0)
        near, apart = np.zeros(len(lists)), np.zeros(len(lists))
        for first in range(lists.shape[1] - 1):
            one, others = paths[:, first, None], paths[:, first + 1 :]
            shared = np.logical_and.accumulate((one == others) & (one >= 0), axis=2).sum(axis=2)
            both = (lengths[:, first, None] > 0) & (lengths[:, first + 1 :] > 0)
            total = np.maximum(lengths[:, first, None] + lengths[:, first + 1 :], 1)
            near += both.sum(axis=1)
            apart += np.where(both, 1 - 2 * shared / total, 0.0).sum(axis=1)
        return _ratio(apart, near)

    def _miscalibration(self, lists: Int32, users: Int32) -> Values:
        taste, shown = self._shares(self._train.orders[users]), self._shares(_counts(lists, self._train.shape[1]))
        both = MIXED_IN * taste + (1 - MIXED_IN) * shown
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = np.where(taste > 0, taste * np.log2(taste / both), 0.0)
        known = taste.any(axis=1) & shown.any(axis=1)
        return np.where(known, parts.sum(axis=1), np.nan)

    def _shares(self, items: sp.csr_matrix) -> Values:
        """[E, G] the share of each category in what each row holds, 0 where it holds none."""
        sums = np.asarray((items @ self._categories).todense(), np.float64)
        total = sums.sum(axis=1, keepdims=True)
        shares: Values = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
        return shares

    @cached_property
    def _information(self) -> Values:
        """[I + 1] bits; the last stands for none."""
        share = np.maximum(self._train.popularity, 0.5) / max(self._train.shape[0], 1)
        return np.append(-np.log2(share), 0.0)

    @cached_property
    def _categories(self) -> sp.csr_matrix:
        """[I, G] an item's categories, which sum to 1."""
        item, level = np.nonzero(self._train.facts.category >= 0)
        codes = self._train.facts.category[item, level]
        share = 1.0 / np.bincount(item, minlength=self._train.shape[1])[item]
        return sp.csr_matrix((share, (item, codes)), shape=(self._train.shape[1], len(self._train.facts.categories)))


def _counts(lists: Int32, items: int) -> sp.csr_matrix:
    row, place = np.nonzero(lists >= 0)
    return sp.csr_matrix((np.ones(len(row)), (row, lists[row, place])), shape=(len(lists), items))


def _ratio(sums: Values, counts: Values) -> Values:
    """nan where there is nothing to count."""
    found: Values = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    return found
