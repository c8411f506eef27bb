"""Past and future: what a model may learn from, and what it is then judged on.

By time where there is time (or an order): train on what came before a moment, judge on what came after. Where only the
order within each user is known, or hardly anybody is there before and after a moment, the last events of each user are
put aside. Without time, some of each user's items are, by a seeded draw. Judged are users with a target event in the
future and any event in the past.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.history.dataset import NOTHING_BESIDE, Beside, Dataset, Int32, Int64, Mask

HORIZON_SHARE = 0.2
HELD_OUT_SHARE = 0.2
OFTEN_REPEATED = 0.02
"""Share of repeats from which on they can be learnt."""
MOST_STRANGERS = 2_000
"""All of them are shown the same list: so many tell how good it is."""


class Strangers(NamedTuple):
    """Users of the future whom the past does not know. users: int32[X]; truth: [X, I], as in `Split`."""

    users: Int32
    truth: sp.csr_matrix

    def some(self, most: int) -> Strangers:
        """At most so many of them, evenly over the vocabulary."""
        chosen = slice(None, None, max(-(-len(self.users) // most), 1))
        return Strangers(self.users[chosen], self.truth[chosen])


@dataclass(frozen=True)
class Split:
    """A past and what followed it.

    train: the past. users: int32[E], who is judged. truth: [E, I], 1 for each distinct item of their target events
    afterwards; new_truth: the same without what they had a target event on before. after: everybody's interactions
    from the cut on, where there is a cut in time. strangers: who can be judged by what everybody unknown is shown.
    """

    train: Dataset
    users: Int32
    truth: sp.csr_matrix
    new_truth: sp.csr_matrix
    after: Dataset | None = None
    strangers: Strangers | None = None

    def sample(self, most: int, seed: int) -> Split:
        """The split with at most so many judged users, drawn by `seed`."""
        if len(self.users) <= most:
            return self
        chosen = np.sort(np.random.default_rng(seed).choice(len(self.users), most, replace=False))
        return replace(self, users=self.users[chosen], truth=self.truth[chosen], new_truth=self.new_truth[chosen])


def horizon_us(dataset: Dataset) -> int:
    """How long a time the future of a split is: the recent window, at most a fifth of the history."""
    return max(1, min(dataset.recent_us, int(dataset.span_us * HORIZON_SHARE)))


def by_time(dataset: Dataset, cut_us: int, beside: Beside = NOTHING_BESIDE) -> Split:
    """Past before `cut_us`, future from then on. `beside`: as of the cut, see `Dataset.before`."""
    later = dataset.ts_us >= cut_us
    found = between(dataset, dataset.before(cut_us, beside), later)
    after = dataset.subset(later, dataset.until_us)
    unknown = strangers(found.train, after)
    return replace(found, after=after, strangers=None if unknown is None else unknown.some(MOST_STRANGERS))


def last_of_each(dataset: Dataset, held: npt.NDArray[np.integer[Any]], seed: int) -> Split:
    """The last `held` (int[U]) target events of each user and what came with or after them; what was done at the same
    time is ordered by a draw. Everybody keeps their first event: whoever has too few puts fewer aside, or none.

    Nothing beside the interactions is known at the many moments at which such a past ends.
    """
    key = dataset.user.astype(np.int64) * dataset.shape[1] + dataset.item
    pairs, pair = np.unique(key, return_inverse=True)
    draw = np.random.default_rng(seed).random(len(pairs))
    rows = np.lexsort((dataset.kind, draw[pair], dataset.ts_us, dataset.user))
    user = dataset.user[rows]
    until_here = np.cumsum(dataset.is_target[rows])
    total = np.zeros(dataset.shape[0], np.int64)
    total[user] = until_here  # rows of a user ascend, so that the last one stays
    first = np.ones(len(rows), bool)
    first[1:] = np.diff(user) != 0
    aside = np.zeros(len(rows), bool)
    aside[rows] = (total[user] - until_here < held[user]) & ~first
    train = dataset.subset(~aside, dataset.until_us, Beside(facts=dataset.facts.timeless()))
    return between(dataset, train.in_turns() if train.time_kind == "turns" else train, aside)


def last_share(dataset: Dataset, share: float = HELD_OUT_SHARE) -> Int64:
    """int64[U]: the given share of each user's target events, at least one."""
    return np.maximum((_targets(dataset) * share).astype(np.int64), 1)


def last_moments(dataset: Dataset) -> Int64:
    """int64[U]: target events of each user's last moment (basket) that has any; 0 for whoever has only one moment."""
    chosen = dataset.is_target
    user, ts_us = dataset.user[chosen], dataset.ts_us[chosen]
    last = np.zeros(dataset.shape[0], np.int64)
    first = np.full(dataset.shape[0], np.iinfo(np.int64).max)
    last[user] = ts_us  # events are in order of time, so that the last one stays
    np.minimum.at(first, user, ts_us)
    size = np.bincount(user[ts_us == last[user]], minlength=dataset.shape[0])
    return np.where(first < last, size, 0)


def leave_out(dataset: Dataset, seed: int, share: float = HELD_OUT_SHARE, whole: bool | None = None) -> Split:
    """A share of the user-item pairs (all their events), or of the single events where not `whole`, of users who have
    two or more, drawn by `seed`. What is taken again can stand on both sides, and teach that it is taken again, only
    where events are drawn: by default where there is no time and more than OFTEN_REPEATED of the events are repeats."""
    if whole is None:
        whole = dataset.time_kind != "none" or repeated(dataset) <= OFTEN_REPEATED
    rng = np.random.default_rng(seed)
    pair = dataset.user.astype(np.int64) * dataset.shape[1] + dataset.item
    key = pair if whole else np.arange(len(pair))
    units, first, position = np.unique(key, return_index=True, return_inverse=True)
    draw = rng.random(len(units))
    aside = ((draw < share) & ~_largest_of_each(dataset.user[first], draw))[position]
    return between(dataset, dataset.subset(~aside, dataset.until_us), aside)


def repeated(dataset: Dataset) -> float:
    """Share of the target events that repeat an earlier one of the same user and item."""
    return 1.0 - float(dataset.orders.nnz) / max(int(dataset.is_target.sum()), 1)


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
    """A split that somebody else made: both datasets must share their vocabularies. Users of `test` who are not in
    `train` are its strangers."""
    found = between(test, train, np.ones(len(test.user), bool))
    return replace(found, strangers=strangers(train, test))


def strangers(train: Dataset, after: Dataset) -> Strangers | None:
    """Users with a target event in `after` and nothing in `train`; None where there is none."""
    unknown = np.ones(len(train.users), bool)
    unknown[train.user] = False
    users = np.unique(after.user[after.is_target & unknown[after.user]])
    return Strangers(users, after.bought[users]) if len(users) else None


def without(truth: sp.csr_matrix, seen: sp.csr_matrix) -> sp.csr_matrix:
    """`truth` less what is stored in `seen` (same shape)."""
    left = truth - truth.multiply(seen)
    left.eliminate_zeros()
    return left.tocsr()


def _targets(dataset: Dataset) -> Int64:
    """int64[U]: target events of each user."""
    return np.bincount(dataset.user[dataset.is_target], minlength=dataset.shape[0])


def _largest_of_each(owner: npt.NDArray[np.integer[Any]], draw: npt.NDArray[np.float64]) -> Mask:
    """Which pair of each owner has the largest draw: it stays, so that nobody loses everything."""
    order = np.lexsort((draw, owner))
    last = np.ones(len(owner), bool)
    last[:-1] = np.diff(owner[order]) != 0
    chosen = np.zeros(len(owner), bool)
    chosen[order[last]] = True
    return chosen
