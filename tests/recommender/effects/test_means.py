"""A mean of few rows, a line of some, trees of many; nothing of noise."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from recommender.effects.means import Bins, Mean, Trees, all_told, fit_mean


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


def test_many_at_once_are_told_as_each_alone() -> None:
    """Each has ends, a scale and unknown features of its own; far values are cut off, also those without an end."""
    X, rng = _of(1_500)
    X[:, 0] = np.exp(3 * X[:, 0])
    X[rng.random(1_500) < 0.3, 1] = np.nan
    X[:, 2] = np.nan
    y = np.minimum(X[:, 0], 5) + np.nan_to_num(X[:, 1]) + np.isnan(X[:, 1]) + rng.normal(size=1_500)
    means = [fit_mean(X[k::3], y[k::3] * (1 + k), np.ones(500), k) for k in range(3)]
    new = np.vstack([X, np.array([[np.inf, -np.inf, 9], [9, 9, 9]], np.float32)])
    told = all_told([Mean(2.0), *means], new)
    for one, column in zip(means, told[:, 1:].T, strict=True):
        assert one.scale is not None
        assert np.allclose(column, one.constant + one.scale(new) @ one.slope, rtol=1e-9)
    assert (told[:, 0] == 2.0).all()


def test_trees_ask_for_features_as_their_bins_did() -> None:
    X, rng = _of(2_000)
    X = np.hstack([X, np.full((2_000, 1), np.nan, np.float32), X[:, :1]])
    X[:, 1] = np.floor(X[:, 1])
    X[rng.random(2_000) < 0.2, 2] = np.nan
    y = (X[:, 0] > 0) + (X[:, 1] > 1) + np.isnan(X[:, 2]) + rng.normal(size=2_000)
    bins = Bins.of(X)
    assert bins.columns.tolist() == [0, 1, 2, 4], "nobody knows the one between"
    model = HistGradientBoostingRegressor(max_iter=40, early_stopping=False).fit(bins(X), y)
    edges = np.zeros((3, X.shape[1]), np.float32)
    edges[0, bins.columns], edges[1], edges[2] = bins.edges[31], np.inf, np.nan
    new = np.vstack([X, edges])
    binned = model.predict(bins(new))
    assert np.array_equal(Trees.of(model, bins)(new.astype(np.float64)), binned)
