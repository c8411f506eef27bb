"""Training of each source against the bare library call: the same matrix, parameters and threads.

    python tests/benchmarks/bench_training.py [--users 20000] [--items 5000] [--ties 1000000] [--runs 3]

Prints, for each source, the median seconds of both, their ratio (aim: at most 1.15) and the process's peak memory.
Runs alternate, so that a noisy neighbour hits both.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import scipy.sparse as sp
from implicit.nearest_neighbours import CosineRecommender
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from recommender.candidates.als import Als
from recommender.candidates.bpr import Bpr
from recommender.candidates.hybrid import Hybrid, with_identity
from recommender.candidates.linear import Linear
from recommender.candidates.similar import Similar
from recommender.candidates.spectral import Spectral, smooth

AIM = 1.15


def planted(users: int, items: int, ties: int, seed: int = 0) -> sp.csr_matrix:
    """Users x items with popularity as skewed as a shop's."""
    rng = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, items + 1) ** 0.8
    item = rng.choice(items, ties, p=weights / weights.sum())
    matrix = sp.csr_matrix((np.ones(ties, np.float32), (rng.integers(0, users, ties), item)), shape=(users, items))
    matrix.data[:] = 1.0
    return matrix


def features(rows: int, columns: int, seed: int) -> sp.csr_matrix:
    """One of `columns` words for each row, as a category or a channel would give."""
    column = np.random.default_rng(seed).integers(0, columns, rows)
    return sp.csr_matrix((np.ones(rows, np.float32), (np.arange(rows), column)), shape=(rows, columns))


def contests(matrix: sp.csr_matrix) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """Our fit and the bare call of each source."""
    users, items = matrix.shape
    of_users, of_items = features(users, 30, 1), features(items, 50, 2)
    hybrid = Hybrid()
    cosine = Similar("cosine", damping=0.5, shrinkage=0.0)

    def bare_similar() -> None:
        with threadpool_limits(1, "blas"):
            CosineRecommender(K=cosine.kept(items)).fit(matrix, show_progress=False)

    def bare_linear() -> None:
        with threadpool_limits(1, "blas"):
            np.linalg.inv((matrix.T @ matrix).toarray() + 100.0 * np.eye(items))

    def bare_spectral() -> None:
        with threadpool_limits(1, "blas"):
            randomized_svd(matrix, Spectral().rank, n_iter=3, random_state=0)

    def bare_als() -> None:
        with threadpool_limits(1, "blas"):
            Als().model(matrix, 0).fit(matrix, show_progress=False)

    def bare_bpr() -> None:
        with threadpool_limits(1, "blas"):
            Bpr().model(matrix, 0).fit(matrix, show_progress=False)

    met_users, met_items = np.diff(matrix.indptr) > 0, matrix.getnnz(axis=0) > 0
    sides = {"user_features": with_identity(met_users, of_users), "item_features": with_identity(met_items, of_items)}
    coo = matrix.tocoo()

    def bare_hybrid() -> None:
        hybrid.model(matrix.nnz, 0).fit(coo, epochs=hybrid.passes(matrix.nnz), num_threads=1, **sides)

    return {
        "similar": (lambda: cosine.fit_matrix(matrix), bare_similar),
        "linear": (lambda: Linear().fit_matrix(matrix, 0), bare_linear),
        "spectral": (lambda: smooth(matrix, Spectral().rank, 0.5, 0), bare_spectral),
        "als": (lambda: Als().fit_matrix(matrix, 0), bare_als),
        "bpr": (lambda: Bpr().fit_matrix(matrix, 0), bare_bpr),
        "hybrid": (lambda: Hybrid().fit_matrix(matrix, of_users, of_items, 0), bare_hybrid),
    }


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=5_000)
    parser.add_argument("--ties", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    matrix = planted(asked.users, asked.items, asked.ties)
    print(f"{matrix.shape[0]:,} users x {matrix.shape[1]:,} items, {matrix.nnz:,} ties, median of {asked.runs}")
    print(f"{'source':10}{'ours s':>10}{'bare s':>10}{'ratio':>8}   aim <= {AIM}")
    for name, (ours, bare) in contests(matrix).items():
        times = [(seconds(ours), seconds(bare)) for _ in range(asked.runs)]
        mine, theirs = (median(column) for column in zip(*times, strict=True))
        print(f"{name:10}{mine:10.2f}{theirs:10.2f}{mine / theirs:8.2f}", flush=True)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
