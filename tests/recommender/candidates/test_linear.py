"""The closed-form autoencoder against plain inverses of full matrices."""

from __future__ import annotations

import numpy as np
import pytest
from planted_blocks import shop

from recommender.candidates.linear import NEIGHBOURS, Linear
from recommender.history.dataset import Dataset

SHOP = shop()
EVERYONE = np.arange(len(SHOP.users), dtype=np.int32)


def recent_ties() -> np.ndarray:
    return SHOP.matrix(SHOP.recent_us).toarray().astype(np.float64)


def plain(ties: np.ndarray, penalty: float, walk: float) -> np.ndarray:
    """Weights of Steck 2019, with the inverse of the whole Gram matrix."""
    shares = ties / ties.sum(axis=1, keepdims=True) ** walk
    gram = shares.T @ shares
    inverse = np.linalg.inv(gram + penalty * np.diag(gram).mean() * np.eye(len(gram)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


@pytest.mark.parametrize(("penalty", "walk"), [(0.3, 0.0), (3.0, 0.25), (10.0, 0.5)])
def test_weights_are_those_of_the_inverse(penalty: float, walk: float) -> None:
    ties = recent_ties()
    found = Linear(penalty, walk).fit(SHOP, seed=0).scores(EVERYONE)
    np.testing.assert_allclose(found, ties @ plain(ties, penalty, walk), rtol=1e-3, atol=1e-5)


def test_enough_directions_give_the_full_answer() -> None:
    full = Linear().fit(SHOP, seed=0).scores(EVERYONE)
    thin = Linear(full_items=1, rank=len(SHOP.items)).fit(SHOP, seed=0).scores(EVERYONE)
    np.testing.assert_allclose(thin, full, rtol=1e-3, atol=1e-4)


def test_few_directions_have_the_diagonal_of_the_whole() -> None:
    """With the two leading directions: P of V S^2 V' + the diagonal they leave + the penalty, inverted as a whole."""
    ties = recent_ties()
    _, singular, vectors = np.linalg.svd(ties, full_matrices=False)
    near = vectors[:2].T * singular[:2] ** 2 @ vectors[:2]
    size = (ties**2).sum(axis=0)
    inverse = np.linalg.inv(near + np.diag(size - np.diag(near)) + 3.0 * size.mean() * np.eye(len(size)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    found = Linear(3.0, 0.0, rank=2, full_items=1).fit(SHOP, seed=0).scores(EVERYONE)
    np.testing.assert_allclose(found, ties @ weights, rtol=2e-2, atol=2e-3)


@pytest.mark.law
def test_thin_weights_are_the_same_for_the_same_seed() -> None:
    first, second = (Linear(full_items=1, rank=4).fit(shop(), seed=5).scores(EVERYONE) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_similarity_is_the_positive_weights() -> None:
    ties = recent_ties()
    weights = plain(ties, 3.0, 0.25)
    found = Linear().fit(SHOP, seed=0).similarity_
    assert found is not None
    assert np.diff(found.indptr).max() <= NEIGHBOURS
    np.testing.assert_allclose(found.toarray(), np.maximum(weights, 0), rtol=1e-3, atol=1e-5)


def test_an_item_without_ties_is_not_weighed() -> None:
    dataset = Dataset.from_arrays(["ann", "ann", "bob"], ["a", "c", "a"], extra_items=["b"])
    scores = Linear().fit(dataset, seed=0).scores(np.array([0, 1], np.int32))
    assert np.isneginf(scores[:, 1]).all()
    assert scores[1, 2] > 0
