"""Splits that others would bring: the door of `huaxiang evaluate --train --test` against tuned baselines.

    python tests/benchmarks/bench_given.py [--tasks retail_shuffled ...] [--trials 6] [--users 1000] [--k 10]

Each task is two files without more than such files have: no time, or the numbers of an order. Budget: so many trials
for each baseline, drawn by seed and judged on the split that the night itself learns at; as many for each source with
parameters. Recall and NDCG with 95% bootstrap intervals over the same users; differences are paired by user.

Tasks. *_shuffled: a later month of a shop, rows in no order, repeats among them. *_drawn: a fifth of the distinct
pairs. *_first: the first five to ten different items of each user, the last of them is the answer; rows by user.
*_baskets: the last basket of each, numbered by user. checkins: simulated people who visit places of a few kinds each.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from bench_quality import BASELINES, LARGEST_FULL_GRAM, budget_of, tuned
from real_sets import arguments, beibei_rows, complete_journey_rows, online_retail_rows

from recommender.backtest import first_enough
from recommender.candidates import SOURCES
from recommender.given import judge_files, understand
from recommender.judging import evaluate
from recommender.judging.metrics import paired_bootstrap
from recommender.plan import Plan

SHORTEST, LONGEST = 5, 10
DRAWN = 0.2
MOST_USERS = 8_000
Files = tuple[pd.DataFrame, pd.DataFrame]


def shuffled(rows: pd.DataFrame, cut: str) -> Files:
    """What came before a day in no order; what came after."""
    later = rows.ts >= pd.Timestamp(cut).value // 1000
    return tuple(part[["user", "item"]].sample(frac=1, random_state=0) for part in (rows[~later], rows[later]))


def drawn(rows: pd.DataFrame) -> Files:
    """Distinct pairs of some users with three or more, a share of them put aside."""
    pairs = rows[["user", "item"]].drop_duplicates()
    pairs = pairs[pairs.groupby("user").item.transform("size") >= 3]
    people = np.random.default_rng(0).permutation(pairs.user.unique())[:MOST_USERS]
    pairs = pairs[pairs.user.isin(people)]
    aside = np.random.default_rng(0).random(len(pairs)) < DRAWN
    return pairs[~aside], pairs[aside]


def first(rows: pd.DataFrame) -> Files:
    """The first few different items of each, the last of them aside; rows by user."""
    pairs = rows.sort_values(["user", "ts"], kind="stable").drop_duplicates(["user", "item"])
    pairs = pairs.groupby("user").head(LONGEST)
    pairs = pairs[pairs.groupby("user").item.transform("size") >= SHORTEST][["user", "item"]]
    aside = ~pairs.duplicated("user", keep="last")
    return pairs[~aside], pairs[aside]


def baskets(rows: pd.DataFrame) -> Files:
    """Baskets with the numbers that each user's have, the last aside."""
    rows = rows.assign(ts=rows.groupby("user").ts.rank("dense").astype(int))
    rows = rows[rows.groupby("user").ts.transform("max") > 1]
    aside = rows.ts == rows.groupby("user").ts.transform("max")
    return rows[~aside], rows[aside]


def checkins(users: int = 7_500, items: int = 6_000, kinds: int = 150) -> pd.DataFrame:
    """Everybody visits places of one to three kinds, now and then any; popular places more."""
    rng = np.random.default_rng(1)
    pull = 1 / np.sqrt(rng.permutation(items) + 1)
    places = [rng.choice(items, rng.integers(150, 900), replace=False) for _ in range(kinds)]
    chances = [pull[some] * rng.gamma(0.6, 1, len(some)) for some in places]
    rows = []
    for user in range(users):
        size = int(np.clip(rng.pareto(1.6) * 12 + 10, 10, 400))
        own = rng.choice(kinds, rng.integers(1, 4), replace=False)
        kind = rng.choice(own, 2 * size, p=rng.dirichlet(np.ones(len(own))))
        item = np.array([rng.choice(places[one], p=chances[one] / chances[one].sum()) for one in kind])
        anywhere = rng.random(len(item)) < 0.12
        item[anywhere] = rng.choice(items, int(anywhere.sum()), p=pull / pull.sum())
        rows.append(pd.DataFrame({"user": user, "item": pd.unique(item)[:size]}))
    return pd.concat(rows)


TASKS: dict[str, Callable[[Path], Files]] = {
    "retail_shuffled": lambda data: shuffled(online_retail_rows(data), "2011-11-09"),
    "retail_drawn": lambda data: drawn(online_retail_rows(data)),
    "retail_first": lambda data: first(online_retail_rows(data)),
    "retail_baskets": lambda data: baskets(online_retail_rows(data)),
    "journey_shuffled": lambda data: shuffled(complete_journey_rows(data), "2017-12-02"),
    "journey_drawn": lambda data: drawn(complete_journey_rows(data)),
    "journey_first": lambda data: first(complete_journey_rows(data)),
    "journey_baskets": lambda data: baskets(complete_journey_rows(data)),
    "beibei_drawn": lambda data: drawn(beibei_rows(data)),
    "checkins_drawn": lambda _: drawn(checkins()),
}


def run(name: str, files: Files, trials: int, users: int, k: int) -> None:
    with TemporaryDirectory() as folder:
        train, test = (Path(folder) / f"{part}.csv" for part in ("train", "test"))
        for rows, path in zip(files, (train, test), strict=True):
            rows.to_csv(path, index=False)
        start = time.perf_counter()
        found = judge_files(train, test, judged=users, budget=budget_of(trials), ks=(k,))
        print(f"\n== {name}: {found.table.about} ({time.perf_counter() - start:.0f} s)", flush=True)
        given = understand(train, test)
    split = found.split
    tuning = first_enough(given.ways, split.train, Plan())
    fits = split.train.shape[1] <= LARGEST_FULL_GRAM
    rivals = [tuned(one, base, tuning, split, trials) for one, base in BASELINES.items() if one != "EASE" or fits]
    plain = [SOURCES[one]().fit(split.train, seed=0) for one in ("popular", "recent_popular")]
    plain = [*evaluate.judge_sources(split, plain, k), *rivals]
    ours = found.served
    table = evaluate.table(split, rivals, seed=0, ks=(k,))
    print(evaluate.Table(k, [*found.table.rows, *table.rows]).as_text())
    for part in evaluate.PARTS:
        best = max(plain, key=lambda one: one.ndcg(part))
        lead = paired_bootstrap(ours.values[part]["ndcg"], best.values[part]["ndcg"], seed=0)
        print(
            f"served - best rival ({best.name}), {part}: NDCG@10 {lead.mean:+.4f} [{lead.low:+.4f}, {lead.high:+.4f}]"
        )
    print(flush=True)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--k", type=int, default=10)
    asked = parser.parse_args()
    for name in asked.tasks:
        run(name, TASKS[name](asked.data), asked.trials, asked.users, asked.k)


if __name__ == "__main__":
    main()
