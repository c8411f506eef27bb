"""A mean of few rows, a line of some, trees of many; nothing of noise."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.effects.means import fit_mean


def _of(n: int, seed: int = 0) -> tuple[np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)).astype(np.float32), rng


def test_of_few_rows_the_mean() -> None:
    X, _ = _of(10)
    assert fit_mean(X, np.arange(10.0), np.arange(10.0), 0)(X[:2]).tolist() == [285 / 45] * 2
    assert fit_mean(X[:0], np.zeros(0), np.zeros(0), 0)(X[:2]).tolist() == [0.0, 0.0]


def test_a_line_of_some_with_what_is_unknown() -> None:
    X, rng = _of(400)
    y = 2 * X[:, 0] + rng.normal(size=400)
    X[rng.random((400, 3)) < 0.1] = np.nan
    found = fit_mean(X, y, np.ones(400), 0)
    assert found.trees is None
    asked = np.array([[1, 0, 0], [-1, 0, 0], [np.nan, np.nan, np.nan]], np.float32)
    assert found(asked) == pytest.approx([2, -2, 0], abs=0.6)


def test_trees_of_many_where_it_bends() -> None:
    X, rng = _of(4_000)
    y = np.abs(X[:, 1]) + 0.5 * rng.normal(size=4_000)
    found = fit_mean(X, y, rng.integers(1, 3, 4_000).astype(float), 0)
    asked = np.array([[0, 1.5, 0], [0, -1.5, 0], [0, 0, 0]], np.float32)
    assert found(asked) == pytest.approx([1.5, 1.5, 0.1], abs=0.25)


def test_of_noise_hardly_anything() -> None:
    X, rng = _of(3_000)
    found = fit_mean(X, rng.normal(size=3_000), np.ones(3_000), 0)
    assert found(X).std() < 0.15


def test_weights_are_rows() -> None:
    X, rng = _of(60)
    y, times = X[:, 0] + rng.normal(size=60), rng.integers(1, 4, 60)
    weighed, repeated = (
        fit_mean(X, y, times.astype(float), 0),
        fit_mean(X.repeat(times, 0), y.repeat(times), np.ones(times.sum()), 0),
    )
    assert weighed(X) == pytest.approx(repeated(X), abs=0.2)
