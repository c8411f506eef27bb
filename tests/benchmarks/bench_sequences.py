"""Short sequences, next baskets and next weeks: order-aware and repeat sources beside plain and published methods.

    python tests/benchmarks/bench_sequences.py                   # all tasks, sources alone
    python tests/benchmarks/bench_sequences.py --served          # and the whole pipeline (minutes)
    python tests/benchmarks/bench_sequences.py --tasks baskets --users 500

Tasks. sequences: the last five to ten different items of each customer of online_retail, in order and without time; the
last is the answer (HR@10, NDCG@10 over all items not taken yet). baskets: the last invoice of each customer who has
two, everything in it is the answer (@10, @20). weeks: what households of complete_journey took in the last seven days.

Rivals, written down as they were published: own frequency (ties by recent popularity), item-item cosine, first-order
Markov (Rendle et al. 2010's plain counts), TIFU-kNN (Hu et al. 2020, its usual parameters) and UP-CF@r (Faggioli et al.
2020). All sources have their defaults, so do the rivals; full catalogue, 95% bootstrap intervals over customers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from real_sets import arguments, complete_journey_rows, online_retail_rows

from recommender.backtest import Way, first_enough, replay
from recommender.candidates import SOURCES
from recommender.candidates.opinions import top
from recommender.candidates.protocol import blocks
from recommender.candidates.sequences import moments
from recommender.history.dataset import DAY_US, Dataset, Float32, Int32
from recommender.history.split import Split, by_time, last_moments, last_of_each
from recommender.judging import evaluate
from recommender.judging.evaluate import Judged
from recommender.plan import Plan

SHORTEST, LONGEST = 5, 10
DEEPEST = 20
OURS = ("popular", "recent_popular", "again", "due", "similar", "recent_similar", "follows")
Score = Callable[[Int32], Float32]


class Task(NamedTuple):
    """A split, how to split its past alike, and what is asked of it."""

    split: Split
    way: Way
    parts: Sequence[str]
    ks: tuple[int, ...]


def sequences(data: Path) -> Task:
    rows = online_retail_rows(data).reset_index(drop=True)
    rows = rows.sort_values(["user", "ts"], kind="stable").drop_duplicates(["user", "item"], keep="last")
    rows = rows.groupby("user").tail(LONGEST)
    rows = rows[rows.groupby("user").item.transform("size") >= SHORTEST]
    whole = Dataset.from_arrays(
        rows.user.to_numpy(str), rows.item.to_numpy(str), np.arange(len(rows)), time_kind="order"
    )

    def last(past: Dataset, seed: int) -> Split:
        return last_of_each(past, np.ones(past.shape[0], np.int64), seed)

    return Task(last(whole, 0), last, ("new",), (10,))


def baskets(data: Path) -> Task:
    rows = online_retail_rows(data)
    rows = rows[rows.groupby("user").ts.transform("nunique") > 1]
    whole = Dataset.from_arrays(rows.user.to_numpy(str), rows.item.to_numpy(str), rows.ts.to_numpy()).in_turns()

    def last(past: Dataset, seed: int) -> Split:
        return last_of_each(past, last_moments(past), seed)

    return Task(last(whole, 0), last, ("all",), (10, DEEPEST))


def weeks(data: Path) -> Task:
    rows = complete_journey_rows(data)
    whole = Dataset.from_arrays(rows.user.to_numpy(str), rows.item.to_numpy(str), rows.ts.to_numpy())

    def week(past: Dataset, seed: int) -> Split:
        return by_time(past, past.until_us - 7 * DAY_US)

    return Task(week(whole, 0), week, ("all", "new"), (10, DEEPEST))


TASKS = {"sequences": sequences, "baskets": baskets, "weeks": weeks}


def own_frequency(past: Dataset) -> Score:
    tie = (past.recent_popularity / (2 * (past.recent_popularity.max() + 1))).astype(np.float32)
    return lambda users: past.orders[users].toarray() + tie


def markov(past: Dataset) -> Score:
    """Counts of the next moment's items, from the items of the last."""
    found = moments(past)
    here = np.flatnonzero(found.user[1:] == found.user[:-1])
    follows = (found.items[here].T @ found.items[here + 1]).tocsr()
    last = sp.csr_matrix(
        (np.ones(len(np.unique(found.user))), (found.user[found.back == 0], np.flatnonzero(found.back == 0))),
        shape=(past.shape[0], len(found.user)),
    )
    return lambda users: (last[users] @ found.items @ follows).toarray().astype(np.float32)


def tifu_knn(past: Dataset, near: int = 300, size: int = 7, within: float = 0.9, across: float = 0.7) -> Score:
    """Half own, half neighbours' frequencies, decayed within groups of baskets and across them."""
    found = moments(past)
    group = found.back // size
    count = np.bincount(found.user, minlength=past.shape[0])
    worth = within ** (found.back % size) * across**group
    rows = np.repeat(found.user, found.sizes), found.items.indices
    taste = sp.csr_matrix((np.repeat(worth, found.sizes), rows), shape=past.shape)
    taste = sp.csr_matrix(sp.diags(1 / np.maximum(np.minimum(count, size) * np.ceil(count / size), 1)) @ taste)
    length = np.asarray(taste.multiply(taste).sum(axis=1)).ravel()

    def score(users: Int32) -> Float32:
        away = length[users][:, None] + length - 2 * (taste[users] @ taste.T).toarray()
        away[np.arange(len(users)), users] = np.inf
        away[:, count == 0] = np.inf
        found = np.argpartition(away, near, axis=1)[:, :near]
        rows = np.repeat(np.arange(len(users)), near), found.ravel()
        share = sp.csr_matrix((np.full(found.size, 1 / near), rows), shape=away.shape)
        return (0.7 * taste[users] + 0.3 * (share @ taste)).toarray().astype(np.float32)

    return score


def up_cf(past: Dataset, window: int = 25, locality: int = 5) -> Score:
    """Frequencies in the last baskets of everybody, by how alike they are to the user."""
    found = moments(past)
    count = np.bincount(found.user, minlength=past.shape[0])
    worth = (found.back < window) / np.minimum(count, window)[found.user]
    rows = np.repeat(found.user, found.sizes), found.items.indices
    taste = sp.csr_matrix((np.repeat(worth, found.sizes), rows), shape=past.shape)
    size = np.maximum(np.diff(past.bought.indptr), 1)

    def score(users: Int32) -> Float32:
        both = (past.bought[users] @ past.bought.T).toarray()
        return np.asarray((both / np.sqrt(size[users][:, None] * size)) ** locality @ taste, np.float32)

    return score


RIVALS = {"own frequency": own_frequency, "Markov": markov, "TIFU-kNN": tifu_knn, "UP-CF@r": up_cf}


def judge(name: str, split: Split, score: Score) -> Judged:
    """Lists of a rival over all items, and over those not taken before."""
    lists: dict[str, list[Int32]] = {"all": [], "new": []}
    for users in blocks(split.users, 256):
        scores = score(users)
        lists["all"].append(top(scores, DEEPEST)[0])
        scores[split.train.bought[users].nonzero()] = -np.inf
        lists["new"].append(top(scores, DEEPEST)[0])
    return evaluate.judge(name, split, {part: np.concatenate(found) for part, found in lists.items()})


def run(name: str, task: Task, users: int, served: bool) -> None:
    split = task.split.sample(users, seed=0)
    past = split.train
    judged = []
    for one in OURS:
        start = time.perf_counter()
        source = SOURCES[one]().fit(past, seed=0)
        judged += evaluate.judge_sources(split, [source], DEEPEST)
        print(f"{one}: {time.perf_counter() - start:.1f} s", flush=True)
    judged += [judge(rival, split, make(past)) for rival, make in RIVALS.items()]
    if served:
        plan = Plan(judged=users, ks=(DEEPEST,))
        judged.append(replay(first_enough([task.way], past, plan), split, plan).ours)
    shape = "{:,} users x {:,} items".format(*past.shape)
    print(f"\n== {name}: {shape}, {len(past.user):,} events, {len(split.users):,} users judged")
    table = evaluate.table(split, judged, seed=0, ks=task.ks)
    rows = [row for row in table.rows if row.part in task.parts]
    print(evaluate.Table(table.k, rows).as_text(), flush=True)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--served", action="store_true", help="judge the whole pipeline as well")
    asked = parser.parse_args()
    for name in asked.tasks:
        run(name, TASKS[name](asked.data), asked.users, asked.served)


if __name__ == "__main__":
    main()
