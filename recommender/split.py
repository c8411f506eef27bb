"""Past and future: what a model may learn from, and what it is then judged on.

By time where there is time (or an order): train on what came before a moment, judge on what came after. Without
time, some of each user's items are put aside by a seeded draw. Judged are users with a
target event in the future and any event in the past.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.dataset import NOTHING_BESIDE, Beside, Dataset, Int32, Mask

HORIZON_SHARE = 0.2
HELD_OUT_SHARE = 0.2


@dataclass(frozen=True)
class Split:
    """A past and what followed it.

    train: the past. users: int32[E], who is judged. truth: [E, I], 1 for each distinct item of their target events
    afterwards; new_truth: the same without what they had a target event on before.
    """

    train: Dataset
    users: Int32
    truth: sp.csr_matrix
    new_truth: sp.csr_matrix

    def sample(self, most: int, seed: int) -> Split:
        """The split with at most so many judged users, drawn by `seed`."""
        if len(self.users) <= most:
            return self
        chosen = np.sort(np.random.default_rng(seed).choice(len(self.users), most, replace=False))
        return Split(self.train, self.users[chosen], self.truth[chosen], self.new_truth[chosen])


def horizon_us(dataset: Dataset) -> int:
    """How long a time the future of a split is: the recent window, at most a fifth of the history."""
    return max(1, min(dataset.recent_us, int(dataset.span_us * HORIZON_SHARE)))


def by_time(dataset: Dataset, cut_us: int, beside: Beside = NOTHING_BESIDE) -> Split:
    """Past before `cut_us`, future from then on. `beside`: as of the cut, see `Dataset.before`."""
    return between(dataset, dataset.before(cut_us, beside), dataset.ts_us >= cut_us)


def leave_out(dataset: Dataset, seed: int) -> Split:
    """A fifth of the user-item pairs (all their events) of users who have two or more, drawn by `seed`."""
    rng = np.random.default_rng(seed)
    key = dataset.user.astype(np.int64) * dataset.shape[1] + dataset.item
    pairs, position = np.unique(key, return_inverse=True)
    owner = pairs // max(dataset.shape[1], 1)
    draw = rng.random(len(pairs))
    aside = (draw < HELD_OUT_SHARE) & ~_last_of_each(owner, draw)
    held = aside[position]
    return between(dataset, dataset.subset(~held, dataset.until_us), held)


def between(dataset: Dataset, train: Dataset, future: Mask) -> Split:
    """The split of `dataset` whose past is `train` and whose future is where `future`."""
    chosen = future & dataset.is_target
    key = np.unique(dataset.user[chosen].astype(np.int64) * dataset.shape[1] + dataset.item[chosen])
    owner = key // max(dataset.shape[1], 1)
    known = np.zeros(len(train.users), bool)
    known[train.user] = True
    key = key[known[owner]]
    users, row = np.unique(key // max(dataset.shape[1], 1), return_inverse=True)
    shape = (len(users), dataset.shape[1])
    truth = sp.csr_matrix((np.ones(len(key), np.float32), (row, key % max(dataset.shape[1], 1))), shape=shape)
    rows = users.astype(np.int32)
    return Split(train, rows, truth, without(truth, train.bought[rows]))


def given(train: Dataset, test: Dataset) -> Split:
    """A split that somebody else made: both datasets must share their vocabularies."""
    whole = Dataset.from_codes(
        train.users,
        train.items,
        user=np.concatenate([train.user, test.user]),
        item=np.concatenate([train.item, test.item]),
        ts_us=np.concatenate([np.zeros(len(train.user), np.int64), np.ones(len(test.user), np.int64)]),
        kind=np.concatenate([train.kind, test.kind]),
        time_kind="order",
    )
    return between(whole, train, whole.ts_us == 1)


def without(truth: sp.csr_matrix, seen: sp.csr_matrix) -> sp.csr_matrix:
    """`truth` less what is stored in `seen` (same shape)."""
    left = truth - truth.multiply(seen)
    left.eliminate_zeros()
    return left.tocsr()


def _last_of_each(owner: npt.NDArray[np.int64], draw: npt.NDArray[np.float64]) -> Mask:
    """Which pair of each owner has the largest draw: it stays, so that nobody loses everything."""
    order = np.lexsort((draw, owner))
    last = np.ones(len(owner), bool)
    last[:-1] = np.diff(owner[order]) != 0
    chosen = np.zeros(len(owner), bool)
    chosen[order[last]] = True
    return chosen
