"""How a test file was split from the training file: told by times, by the order of rows, or by who took what.

Did the test come after everything (a cut in time), after the rest of each user's own (the last of each), or was it
drawn at random? Files without times are asked as well: where the rows are in an order, what was put aside from their
end is closer to a user's last rows than to the first. And what was drawn is as close to the rest as what is drawn from
the rest itself; what came later is not, for it came from other baskets.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.candidates.sequences import moments
from recommender.history.dataset import Dataset
from recommender.history.split import Split

MOSTLY = 0.95
PROBED = 3_000
PROBED_USERS = 1_000
AT_EITHER_END = 5
"""Moments that are probed at either end of a sequence; one row of a basket of many tells little."""
PROBED_TIES = 20_000_000
FEWEST_PROBED = 100
LIKELY = 3.0
LATER = "later"
KINDS_OF_SPLIT = {
    "time": "the test is later than all of the training",
    "baskets": "the test is each user's last basket",
    "last": "the test is the last of each user",
    "drawn": "the test is a random share",
    LATER: "the test is not a random share, but nothing tells the order of the training",
}


def comes_after(train: Dataset, test: Dataset, seed: int) -> bool:
    """Whether what users took in `test` goes better with their last than with their first moments in `train`, beyond
    chance: then the rows of `train` are in an order, and `test` comes after them."""
    found = moments(train)
    length = np.bincount(found.user, minlength=train.shape[0])
    chosen = np.flatnonzero(length[test.user] >= 3)
    if len(chosen) < FEWEST_PROBED:
        return False
    a_pair = found.sizes.mean() * float((train.popularity**2).sum() / train.popularity.sum())
    probed = int(np.clip(PROBED_TIES / (AT_EITHER_END * a_pair), FEWEST_PROBED, PROBED))
    chosen = np.random.default_rng(seed).permutation(chosen)[:probed]
    user, item = test.user[chosen], test.item[chosen]
    last = np.cumsum(length)[user] - 1
    first = last + 1 - length[user]
    near = np.zeros(len(user))
    for inwards in range(AT_EITHER_END):  # the halves of a short sequence do not overlap
        step = np.minimum(inwards, (length[user] - 1) // 2)
        near += _nearest(train, found.items[last - step], item) - _nearest(train, found.items[first + step], item)
    error = float(near.std()) / np.sqrt(len(near))
    return bool(near.mean() > max(LIKELY * error, 0.0))


def comes_later(outer: Split, inner: Split, seed: int) -> bool:
    """Whether what is new to users of the test is further from what they have than in a draw from their own past,
    `inner`, beyond chance."""
    given, drawn = (_nearness(split, outer, seed) for split in (outer, inner))
    if min(len(given), len(drawn)) < FEWEST_PROBED:
        return False
    error = np.sqrt(given.var() / len(given) + drawn.var() / len(drawn))
    return bool(drawn.mean() - given.mean() > max(LIKELY * error, 0.0))


def _nearness(split: Split, outer: Split, seed: int) -> npt.NDArray[np.float64]:
    """float64[P]: for some users of `outer`, how near one thing new to them is to what they have."""
    able = np.flatnonzero(np.isin(split.users, outer.users) & (np.diff(split.new_truth.indptr) > 0))
    rng = np.random.default_rng(seed)
    rows = rng.permutation(able)[:PROBED_USERS]
    first, count = split.new_truth.indptr[rows], np.diff(split.new_truth.indptr)[rows]
    item = split.new_truth.indices[first + (rng.random(len(rows)) * count).astype(np.int64)]
    return _nearest(split.train, split.train.bought[split.users[rows]], item)


def _nearest(train: Dataset, taken: sp.csr_matrix, item: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """float64[N]: the largest cosine, by their takers, between an item of each row of `taken` ([N, I]) and `item`."""
    takers = train.bought.T.tocsr().astype(np.float64)
    row = np.repeat(np.arange(len(item)), np.diff(taken.indptr))
    count = np.maximum(np.diff(takers.indptr), 1).astype(np.float64)
    first, second = taken.indices, item[row]
    both = np.asarray(takers[first].multiply(takers[second]).sum(axis=1)).ravel()
    cosine = np.where(first == second, 0.0, both / np.sqrt(count[first] * count[second]))
    largest = np.zeros(len(item))
    np.maximum.at(largest, row, cosine)
    return largest


def kind_of(train: Dataset, test: Dataset, test_has_time: bool, seed: int) -> str:
    """Which of KINDS_OF_SPLIT but LATER, which is "drawn" until the splits can be compared (`comes_later`)."""
    if train.time_kind == "none" or not len(train.user) or not len(test.user):
        return "drawn"
    if test_has_time:
        return _kind_by_time(train, test)
    if train.time_kind == "turns" or comes_after(train.in_turns(), test, seed):
        users = np.unique(test.user)
        everybody = len(users) >= 0.8 * len(np.unique(train.user))
        return "last" if everybody or train.time_kind == "turns" else "time"
    return "drawn"


def _kind_by_time(train: Dataset, test: Dataset) -> str:
    end = np.full(train.shape[0], np.iinfo(np.int64).max)
    end[train.user] = train.ts_us  # in order of time, so that the last one stays
    if np.mean(test.ts_us >= train.ts_us[-1]) >= MOSTLY:
        return "time"
    known = end[test.user] < np.iinfo(np.int64).max
    if not known.any() or np.mean(test.ts_us[known] >= end[test.user[known]]) < MOSTLY:
        return "drawn"
    people = len(np.unique(test.user))
    apart = np.mean(test.ts_us[known] > end[test.user[known]]) >= MOSTLY
    one_moment = apart and len(moments(test).user) <= people / MOSTLY
    return "baskets" if one_moment and moments(train).sizes.mean() > 1 / MOSTLY else "last"
