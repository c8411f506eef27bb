"""How good the answers are: the served pipeline against every source and tuned baselines, on real data.

    python tests/benchmarks/bench_quality.py [--data DIR] [--sets online_retail ...] [--trials 6] [--users 5000]

Protocol: full catalogue, time split (or the split that comes with the set), Recall / NDCG / Hit @10 with 95% bootstrap
intervals over the same users, over all items and over items new to the user. Baselines are plain library calls; each
gets the same number of trials, drawn by seed from the spaces below and judged on a split of the past alone; the best
for each question is fitted again on the whole past. The pipeline is the night as it runs, with as many trials for each
of its sources, asked through the day's own `recommend`. Differences are paired by user.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from lightfm import LightFM
from real_sets import SETS, Task, arguments
from threadpoolctl import threadpool_limits

from recommender.backtest import refit, replay, splits
from recommender.bundles.bundle import Bundle, write_bundle
from recommender.candidates import SOURCES
from recommender.candidates.opinions import top
from recommender.candidates.protocol import block_rows, blocks
from recommender.fusion.assemble import bundle_arrays, manifest_of
from recommender.fusion.learn import fit_sources
from recommender.history.dataset import Dataset, Float32, Int32
from recommender.history.split import Split
from recommender.judging import evaluate
from recommender.judging.evaluate import Judged
from recommender.judging.metrics import paired_bootstrap
from recommender.plan import Plan
from recommender.tuning.tune import Budget

Score = Callable[[Int32], Float32]
LARGEST_FULL_GRAM = 6_000
REFERENCES = {
    "online_retail": (
        "all: own frequency, then popular .174 / .340 / .834; with recent ties .181 / .360 / .850"
        "\nnew: popular in the last 30 days .044 / .083 / .428; decayed cosine + 2 x log recent .068 / .108 / .503"
    )
}


@dataclass(frozen=True)
class Baseline:
    """A published method: how to fit it and where its parameters may lie."""

    fit: Callable[[Dataset, Mapping[str, Any]], Score]
    space: Mapping[str, tuple[Any, ...]]


def unit_columns(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """`matrix` with columns of length 1, so that products of columns are cosines (float64)."""
    scaled = matrix.astype(np.float64)
    length = np.sqrt(np.bincount(scaled.indices, scaled.data**2, minlength=matrix.shape[1]))
    scaled.data /= length[scaled.indices]
    return scaled


def item_knn(dataset: Dataset, p: Mapping[str, Any]) -> Score:
    ties = dataset.bought
    unit = unit_columns(ties)
    near = (unit.T @ unit).tocsr()
    near.setdiag(0)
    near = _keep_largest(near, p["k"])
    return lambda users: (ties[users] @ near).toarray().astype(np.float32)


def user_knn(dataset: Dataset, p: Mapping[str, Any]) -> Score:
    ties = dataset.bought
    unit = unit_columns(ties.T.tocsr()).T.tocsr()

    def score(users: Int32) -> Float32:
        near = (unit[users] @ unit.T).tocsr()
        near[np.arange(len(users)), users] = 0
        return (_keep_largest(near, p["k"]) @ ties).toarray().astype(np.float32)

    return score


def als(dataset: Dataset, p: Mapping[str, Any]) -> Score:
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(**p, iterations=15, random_state=0)
        model.fit(dataset.bought, show_progress=False)
    return lambda users: model.user_factors[users] @ model.item_factors.T


def bpr(dataset: Dataset, p: Mapping[str, Any]) -> Score:
    with threadpool_limits(1, "blas"):
        model = BayesianPersonalizedRanking(**p, num_threads=1, random_state=0)
        model.fit(dataset.bought, show_progress=False)
    return lambda users: model.user_factors[users] @ model.item_factors.T


def lightfm(dataset: Dataset, p: Mapping[str, Any]) -> Score:
    model = LightFM(no_components=p["factors"], learning_rate=p["learning_rate"], loss="warp", random_state=0)
    model.fit(dataset.bought.tocoo(), epochs=p["epochs"])
    return lambda users: model.user_embeddings[users] @ model.item_embeddings.T + model.item_biases


def ease(dataset: Dataset, p: Mapping[str, Any]) -> Score:
    """Steck 2019, "Embarrassingly shallow autoencoders for sparse data"."""
    ties = dataset.bought
    gram = (ties.T @ ties).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += p["penalty"]
    inverse = np.linalg.inv(gram)
    weights = (-inverse / np.diag(inverse)).astype(np.float32)
    np.fill_diagonal(weights, 0)
    return lambda users: ties[users] @ weights


def own_frequency(dataset: Dataset, p: Mapping[str, Any]) -> Score:
    then = dataset.popularity if p["then"] == "popular" else dataset.recent_popularity
    tie = (then / (2 * (then.max() + 1))).astype(np.float32)
    return lambda users: dataset.orders[users].toarray() + tie


BASELINES: Mapping[str, Baseline] = {
    "own frequency": Baseline(own_frequency, {"then": ("popular", "recent")}),
    "item-kNN": Baseline(item_knn, {"k": (20, 50, 100, 200, 500, 1000, 5000)}),
    "user-kNN": Baseline(user_knn, {"k": (20, 50, 100, 200, 500, 1000)}),
    "ALS": Baseline(
        als,
        {"factors": (16, 32, 64, 128), "regularization": (0.01, 0.1, 1.0, 5.0), "alpha": (0.5, 1.0, 5.0, 20.0)},
    ),
    "BPR": Baseline(
        bpr,
        {"factors": (32, 64, 128), "learning_rate": (0.01, 0.03, 0.1), "regularization": (0.001, 0.01, 0.05)},
    ),
    "LightFM": Baseline(lightfm, {"factors": (16, 32, 64), "learning_rate": (0.02, 0.05), "epochs": (5, 10, 20)}),
    "EASE": Baseline(ease, {"penalty": (10.0, 50.0, 100.0, 250.0, 500.0, 1000.0)}),
}


def _keep_largest(matrix: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """Each row's k largest entries."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((-matrix.data, row))
    kept = order[np.arange(len(row)) - matrix.indptr[row] < k]
    return sp.csr_matrix((matrix.data[kept], (row[kept], matrix.indices[kept])), shape=matrix.shape)


def judge(name: str, split: Split, score: Score) -> Judged:
    """Lists of a baseline over all items, and over those not taken before."""
    found: dict[str, list[Int32]] = {"all": [], "new": []}
    for users in blocks(split.users, block_rows(split.train.shape[1], 4)):
        scores = score(users).astype(np.float32)
        found["all"].append(top(scores, evaluate.K)[0])
        scores[split.train.bought[users].nonzero()] = -np.inf
        found["new"].append(top(scores, evaluate.K)[0])
    return evaluate.judge(name, split, {part: np.concatenate(lists) for part, lists in found.items()})


def draws(space: Mapping[str, tuple[Any, ...]], trials: int) -> Iterator[dict[str, Any]]:
    """Up to `trials` different points of a space, by seed."""
    rng = np.random.default_rng(0)
    size = int(np.prod([len(values) for values in space.values()]))
    for code in rng.permutation(size)[:trials]:
        point, rest = {}, int(code)
        for name, values in space.items():
            rest, at = divmod(rest, len(values))
            point[name] = values[at]
        yield point


def tuned(name: str, baseline: Baseline, tuning: Split, split: Split, trials: int) -> Judged:
    """The baseline with the parameters that were best on `tuning`, for each question apart, on `split`."""
    tried = [(p, judge(name, tuning, baseline.fit(tuning.train, p))) for p in draws(baseline.space, trials)]
    values, lists = {}, {}
    for part in evaluate.PARTS:
        best = max(tried, key=lambda one: one[1].ndcg(part))[0]
        found = judge(name, split, baseline.fit(split.train, best))
        values[part], lists[part] = found.values[part], found.lists[part]
    return Judged(name, values, lists)


def budget_of(trials: int) -> Budget:
    """So many trials for each source that has parameters."""
    return Budget(trials * sum(1 for source in SOURCES.values() if source.space))


def served(task: Task, split: Split, trials: int) -> tuple[Judged, list[Judged], Split, str]:
    """The night on the past, then the day's answers to the judged users; sources alone; the split it tuned on."""
    plan = Plan(budget=budget_of(trials))
    found = splits(task.past, plan)
    if found is None:
        raise SystemExit("too little history")
    night = replay(*found, plan)
    fitted = refit(task.past, night, plan)
    arrays = bundle_arrays(fitted, split.users)
    with TemporaryDirectory() as folder:
        write_bundle(Path(folder) / "bundle", arrays, manifest_of(arrays, task.past, fitted.recipe, plan))
        ours = evaluate.judge_served("served", split, Bundle.open(Path(folder) / "bundle"))
    every = fit_sources(task.past, plan.seed, params=night.recipe.params, known=fitted.pooler.sources)
    alone = evaluate.judge_sources(split, every.sources)
    chosen = night.recipe
    words = f"new: {chosen.new}, repeats: {chosen.repeat}, {chosen.mix}, keeps repeats: {chosen.keep_repeats}"
    return ours, alone, found[1], words


def run(name: str, task: Task, trials: int, users: int) -> None:
    split = task.split.sample(users, seed=0)
    shape = "{:,} users x {:,} items".format(*task.past.shape)
    print(f"\n== {name}: {shape}, {len(task.past.user):,} events, {len(split.users):,} users judged, {trials} trials")
    start = time.perf_counter()
    ours, alone, tuning, words = served(task, split, trials)
    print(f"recipe: {words} ({time.perf_counter() - start:.0f} s)", flush=True)
    fitting = {one: baseline for one, baseline in BASELINES.items() if one != "EASE" or _ease_fits(task.past)}
    rivals = [tuned(one, baseline, tuning, split, trials) for one, baseline in fitting.items()]
    print(evaluate.table(split, [*alone, *rivals, ours], seed=0).as_text())
    for part in evaluate.PARTS:
        best = max([*alone, *rivals], key=lambda one: one.ndcg(part))
        lead = paired_bootstrap(ours.values[part]["ndcg"], best.values[part]["ndcg"], seed=0)
        print(f"served - best rival ({best.name}), {part}: NDCG {lead.mean:+.4f} [{lead.low:+.4f}, {lead.high:+.4f}]")
    print(REFERENCES.get(name, ""), flush=True)


def _ease_fits(dataset: Dataset) -> bool:
    return dataset.shape[1] <= LARGEST_FULL_GRAM


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--users", type=int, default=5_000)
    asked = parser.parse_args()
    for name in asked.sets:
        run(name, SETS[name](asked.data), asked.trials, asked.users)


if __name__ == "__main__":
    main()
