"""A split that somebody else made: a file to learn from and a file to be judged by.

The fusion learns at a split of the training file, and what it learns there holds only as far as that split is like
the one it is judged by. So the given split is looked at first (`recommender.judging.split_kinds`), and the training
file is split alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from portraits.errors import UnreadableFile
from recommender.backtest import Way, first_enough, replay
from recommender.history.dataset import Dataset, Int64
from recommender.history.kinds import KINDS
from recommender.history.pair_files import Pairs, Vocabularies, read_pairs
from recommender.history.pair_times import on_one_clock
from recommender.history.split import (
    OFTEN_REPEATED,
    Split,
    by_time,
    given,
    last_moments,
    last_of_each,
    leave_out,
    repeated,
)
from recommender.judging.evaluate import UNKNOWN, Judged, K, Table
from recommender.judging.split_kinds import KINDS_OF_SPLIT, LATER, comes_after, comes_later, kind_of
from recommender.plan import MOST_JUDGED, Plan
from recommender.tuning.tune import NO_TRIALS, Budget

MOSTLY = 0.95
NOBODY_IN_BOTH = "every user of the test is a stranger to the training"
MOST_NAMED = 8
FORMS = {"header": "", "places": ", no header line: user and item come first", "lists": ", a line a user"}
"""What is said of each form of file."""


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
    the best first. again: see `Plan`. about: what the files hold, in figures and words."""

    split: Split
    kind: str
    ways: Sequence[Way]
    again: float | None
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

    Where nobody is in both files, what strangers are answered is judged alone. Raises UnreadableFile when a file or a
    column cannot be read, or holds nothing, or the times of the two cannot belong together.
    """
    found = understand(train, test, seed)
    most = len(found.split.users) if judged is None else judged
    plan = Plan(seed, judged=most, every_source=True, ks=tuple(ks), budget=budget, again=found.again)
    outer = found.split.sample(most, seed)
    done = replay(first_enough(found.ways, outer.train, plan), outer, plan)
    about = {**found.about, "users judged": len(outer.users)}
    rows, by_segment = ([row for row in some if row.users] for some in (done.table.rows, done.table.segments))
    return Judgement(replace(done.table, rows=rows, segments=by_segment, about=about), outer, done.ours)


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
    """Read both files and tell how the one was split from the other. Raises UnreadableFile."""
    vocabularies, (past, future) = read_pairs(train, test)
    for path, pairs in ((train, past), (test, future)):
        if not len(pairs.user):
            raise UnreadableFile(str(path), "it holds no row with a user and an item")
    time_kind, (past_us, future_us) = on_one_clock([past.clock, future.clock])
    if past_us is None:
        time_kind, future_us = "none", None
    learnt = _dataset(vocabularies, past, past_us, time_kind)
    if learnt.time_kind == "turns":  # numbers of rows of a file sorted by user: those of the other file are others
        future_us = None
    later = _dataset(vocabularies, future, future_us, "none" if future_us is None else "real")
    if time_kind == "none":
        in_rows = _dataset(vocabularies, past, np.arange(len(past.user)), "order")
        if comes_after(in_rows, later, seed):
            learnt = in_rows
    kind = kind_of(learnt, later, future_us is not None, seed)
    if kind in ("last", "baskets"):
        learnt = learnt.in_turns()
    outer = given(learnt, later)
    repeats = _repeats(learnt, later)
    ways = _ways(kind, learnt, later, whole=repeats < 1 - MOSTLY)
    if kind == "drawn" and comes_later(outer, ways[0](learnt, seed + 1), seed):
        kind = LATER
    about = {
        **_about(past, future, learnt, later, outer),
        "kind of split": KINDS_OF_SPLIT[kind] if len(outer.users) else NOBODY_IN_BOTH,
    }
    untaught = repeats >= 1 - MOSTLY and repeated(learnt) <= OFTEN_REPEATED
    if untaught:
        about["repeats"] = f"{repeats:.0%} of the test's rows are in the training, which itself repeats nothing"
    return Given(outer, kind, ways, repeats if untaught or kind == LATER else None, about)


def _repeats(train: Dataset, test: Dataset) -> float:
    """Share of the test's rows, of users of the training, whose item the user has there."""
    known = np.isin(test.user, train.user)
    return float(train.bought[test.user[known], test.item[known]].mean()) if known.any() else 0.0


def _ways(kind: str, train: Dataset, test: Dataset, *, whole: bool) -> list[Way]:
    """How to split the training as the test was split from it, the best first. whole: pairs are drawn, not events."""
    known = np.isin(test.user, train.user)
    share = float(known.sum()) / max(len(train.user) + int(known.sum()), 1)

    def draw(past: Dataset, seed: int) -> Split:
        return leave_out(past, seed, share, whole=whole)

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
    if unread := list(dict.fromkeys([*past.unread, *future.unread])):
        shown = ", ".join(unread[:MOST_NAMED]) + (", ..." if len(unread) > MOST_NAMED else "")
        about["columns not read"] = f"{shown}; every row is one interaction, whatever they say (a rating, too)"
    unseen = int(np.sum(~seen[np.unique(test.item)]))
    if unseen:
        about["test items not in train"] = f"{unseen:,}, which nobody can recommend"
    return about


def _counts(pairs: Pairs, dataset: Dataset) -> str:
    people, things = len(np.unique(dataset.user)), len(np.unique(dataset.item))
    words = f"{len(pairs.user):,} rows, {people:,} users, {things:,} items, {pairs.clock.span()}{FORMS[pairs.form]}"
    return words + "".join(f", {count:,} {why} left out" for why, count in pairs.dropped.items() if count)
