"""A split that somebody else made: a file to learn from and a file to be judged by.

The fusion learns at a split of the training file, and what it learns there holds only as far as that split is like
the one it is judged by. So the given split is looked at first: did the test come after everything (a cut in time),
after the rest of each user's own (the last of each), or was it drawn at random? Files without times are asked as well:
where the rows are in an order, what was put aside from their end is closer to a user's last rows than to the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp

from portraits.errors import NothingThere
from recommender.backtest import Way, first_enough, replay
from recommender.candidates.sequences import moments
from recommender.history.dataset import KINDS, Dataset, Int64
from recommender.history.pair_files import Pairs, Vocabularies, microseconds, read_pairs
from recommender.history.split import Split, by_time, given, last_moments, last_of_each, leave_out
from recommender.judging.evaluate import UNKNOWN, Judged, K, Table
from recommender.plan import MOST_JUDGED, Plan
from recommender.tuning.tune import NO_TRIALS, Budget

MOSTLY = 0.95
OFTEN_REPEATED = 0.02
PROBED = 3_000
PROBED_TIES = 20_000_000
FEWEST_PROBED = 100
LIKELY = 3.0
KINDS_OF_SPLIT = {
    "time": "the test is later than all of the training",
    "baskets": "the test is each user's last basket",
    "last": "the test is the last of each user",
    "drawn": "the test is a random share",
}


@dataclass(frozen=True)
class Judgement:
    """table: of all contestants. split: the one that was given. served: what would have been answered, by part: lists
    as in `Judged`."""

    table: Table
    split: Split
    served: Judged


LISTS = pa.schema([("user", pa.string()), ("rank", pa.int32()), ("item_id", pa.string()), ("part", pa.string())])
"""One row for each place of each list; rank from 1."""


@dataclass(frozen=True)
class Given:
    """A given split, understood. train: with the time that fits its kind. ways: how to split the training file alike,
    the best first. about: what the files hold, in figures and words."""

    split: Split
    kind: str
    ways: Sequence[Way]
    about: Mapping[str, Any]


def judge_files(
    train: Path,
    test: Path,
    *,
    ks: Sequence[int] = (K,),
    seed: int = 0,
    judged: int | None = MOST_JUDGED,
    budget: Budget = NO_TRIALS,
) -> Judgement:
    """How good every source, the baselines and the served pipeline are on a given split. judged: the most users, None
    for all. budget: what may be spent on parameters, which are found on the training file alone.

    Raises UnreadableFile when a file or a column cannot be read, NothingThere when nobody is in both files.
    """
    found = understand(train, test, seed)
    if not len(found.split.users):
        raise NothingThere("user", "in both files", "the test file must hold users of the training file")
    most = len(found.split.users) if judged is None else judged
    plan = Plan(seed, judged=most, every_source=True, ks=tuple(ks), budget=budget)
    outer = found.split.sample(most, seed)
    done = replay(first_enough(found.ways, outer.train, plan), outer, plan)
    about = {**found.about, "users judged": len(outer.users)}
    return Judgement(replace(done.table, about=about), outer, done.ours)


def write_lists(found: Judgement, out: Path) -> None:
    """The lists that were served, as a Parquet file of LISTS, whole or not at all."""
    unfinished = out.with_name(f".{out.name}.tmp")
    names, things = (
        pa.array(ids.tolist(), pa.binary()).cast(pa.string())
        for ids in (found.split.train.users, found.split.train.items)
    )
    with pq.ParquetWriter(unfinished, LISTS, compression="zstd") as file:
        for part, lists in found.served.lists.items():
            strangers = found.split.strangers
            users = found.split.users if part != UNKNOWN or strangers is None else strangers.users
            row, place = np.nonzero(lists >= 0)
            columns = [
                names.take(pa.array(users[row])),
                pa.array(place + 1, pa.int32()),
                things.take(pa.array(lists[row, place])),
                pa.array(np.full(len(row), part)).cast(pa.string()),
            ]
            file.write_table(pa.table(columns, schema=LISTS))
    unfinished.replace(out)


def understand(train: Path, test: Path, seed: int = 0) -> Given:
    """Read both files and tell how the one was split from the other."""
    vocabularies, (past, future) = read_pairs(train, test)
    time_kind, (past_us, future_us) = microseconds(past.ts, future.ts)
    if past_us is None:
        time_kind, future_us = "none", None
    learnt = _dataset(vocabularies, past, past_us, time_kind)
    if learnt.time_kind == "turns":  # numbers of rows of a file sorted by user: those of the other file are others
        future_us = None
    later = _dataset(vocabularies, future, future_us, "none" if future_us is None else "real")
    if time_kind == "none":
        in_rows = _dataset(vocabularies, past, np.arange(len(past.user)), "order")
        repeated = 1 - learnt.orders.nnz / max(len(past.user), 1) > OFTEN_REPEATED
        if repeated or comes_after(in_rows, later, seed):
            learnt = in_rows
    kind = _kind(learnt, later, future_us is not None, seed)
    if kind in ("last", "baskets"):
        learnt = learnt.in_turns()
    outer = given(learnt, later)
    about = {**_about(past, future, learnt, later, outer), "kind of split": KINDS_OF_SPLIT[kind]}
    return Given(outer, kind, _ways(kind, learnt, later), about)


def comes_after(train: Dataset, test: Dataset, seed: int) -> bool:
    """Whether what users took in `test` goes better with their last than with their first moment in `train`, beyond
    chance: then the rows of `train` are in an order, and `test` comes after them."""
    found = moments(train)
    length = np.bincount(found.user, minlength=train.shape[0])
    chosen = np.flatnonzero(length[test.user] >= 3)
    if len(chosen) < FEWEST_PROBED:
        return False
    a_pair = found.sizes.mean() * float((train.popularity**2).sum() / train.popularity.sum())
    probed = int(np.clip(PROBED_TIES / a_pair, FEWEST_PROBED, PROBED))
    chosen = np.random.default_rng(seed).permutation(chosen)[:probed]
    user, item = test.user[chosen], test.item[chosen]
    ends = np.cumsum(length)
    near = _cosine(train, found.items[ends[user] - 1], item) - _cosine(
        train, found.items[ends[user] - length[user]], item
    )
    error = float(near.std()) / np.sqrt(len(near))
    return bool(near.mean() > max(LIKELY * error, 0.0))


def _cosine(train: Dataset, taken: sp.csr_matrix, item: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
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


def _kind(train: Dataset, test: Dataset, test_has_time: bool, seed: int) -> str:
    """Which of KINDS_OF_SPLIT."""
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


def _ways(kind: str, train: Dataset, test: Dataset) -> list[Way]:
    known = np.isin(test.user, train.user)
    share = float(known.sum()) / max(len(train.user) + int(known.sum()), 1)
    repeats = train.bought[test.user[known], test.item[known]].mean() if known.any() else 0.0

    def draw(past: Dataset, seed: int) -> Split:
        return leave_out(past, seed, share, whole=repeats < 1 - MOSTLY)

    def last(past: Dataset, seed: int) -> Split:
        return last_of_each(past, _as_many(past, train, test), seed)

    def basket(past: Dataset, seed: int) -> Split:
        return last_of_each(past, last_moments(past), seed)

    def cut(past: Dataset, seed: int) -> Split:  # noqa: ARG001
        return by_time(past, _cut(past, test, share))

    ways: dict[str, list[Way]] = {
        "time": [cut, last, draw],
        "baskets": [basket, last, draw],
        "last": [last, draw],
        "drawn": [draw],
    }
    return ways[kind]


def _as_many(past: Dataset, train: Dataset, test: Dataset) -> Int64:
    """int64[U] how many to put aside of each user: as many as the test holds, or the same share, whichever varies less
    among its users."""
    users, held = np.unique(test.user[np.isin(test.user, train.user)], return_counts=True)
    size = np.bincount(past.user, minlength=past.shape[0])
    if not len(users):
        return np.ones(len(size), np.int64)
    share = held / (held + np.bincount(train.user, minlength=train.shape[0])[users])
    if held.std() / held.mean() <= share.std() / share.mean():
        return np.full(len(size), max(round(float(held.mean())), 1))
    return np.maximum(np.round(size * float(share.mean())), 1).astype(np.int64)


def _cut(past: Dataset, test: Dataset, share: float) -> int:
    """As far before the end of `past` as the test reaches after it; where that is not known, or is more than half of
    `past`, so that the future has the test's share of the rows."""
    reach = int(test.ts_us[-1] - past.until_us) + 1 if test.time_kind != "none" else 0
    if reach > 0 and int(np.sum(past.ts_us < past.until_us - reach)) >= len(past.user) / 2:
        return past.until_us - reach
    return int(past.ts_us[int(len(past.user) * (1 - min(share, 0.5)))])


def _dataset(vocabularies: Vocabularies, pairs: Pairs, ts_us: Int64 | None, time_kind: str) -> Dataset:
    return Dataset.from_codes(
        vocabularies.users,
        vocabularies.items,
        user=pairs.user,
        item=pairs.item,
        ts_us=np.zeros(len(pairs.user), np.int64) if ts_us is None else ts_us,
        kind=np.full(len(pairs.user), KINDS.index("purchase"), np.uint8),
        time_kind=time_kind,
    )


def _about(past: Pairs, future: Pairs, train: Dataset, test: Dataset, outer: Split) -> dict[str, Any]:
    """What was read, and what of it cannot be judged or cannot be reached."""
    seen = np.zeros(train.shape[1], bool)
    seen[train.item] = True
    about: dict[str, Any] = {"train": _counts(past, train), "test": _counts(future, test)}
    unknown = 0 if outer.strangers is None else len(outer.strangers.users)
    if unknown:
        about["test users not in train"] = f"{unknown:,}, answered as strangers (part unknown)"
    unseen = int(np.sum(~seen[np.unique(test.item)]))
    if unseen:
        about["test items not in train"] = f"{unseen:,}, which nobody can recommend"
    return about


def _counts(pairs: Pairs, dataset: Dataset) -> str:
    people, things = len(np.unique(dataset.user)), len(np.unique(dataset.item))
    words = f"{len(pairs.user):,} rows, {people:,} users, {things:,} items"
    return words + "".join(f", {count:,} {why} left out" for why, count in pairs.dropped.items() if count)
