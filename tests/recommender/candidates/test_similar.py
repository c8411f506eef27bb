"""Item-item neighbours against formulas written out with full matrices."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from planted_blocks import shop

from recommender.candidates.similar import BM25_B, BM25_K1, RecentSimilar, Similar, weigh
from recommender.history.dataset import DAY_US, Dataset

SHOP = shop()


def plain(ties: np.ndarray, weighting: str, damping: float, shrinkage: float) -> np.ndarray:
    """Similarity of items (row: taken) from a full users x items array, pair by pair."""
    count = (ties > 0).sum(axis=1, keepdims=True)
    weighted = {
        "cosine": ties,
        "tfidf": ties * np.log1p(ties.shape[1] / count),
        "walk": ties / np.sqrt(ties.sum(axis=1, keepdims=True)),
    }[weighting]
    size = (ties.sum(axis=0) if weighting == "walk" else (weighted**2).sum(axis=0)) + shrinkage
    found = np.zeros((ties.shape[1], ties.shape[1]))
    for taken in range(len(found)):
        for other in range(len(found)):
            together = float(weighted[:, taken] @ weighted[:, other])
            found[taken, other] = together / (size[taken] ** (1 - damping) * size[other] ** damping)
    np.fill_diagonal(found, 0)
    return found


@pytest.mark.parametrize("weighting", ["cosine", "tfidf", "walk"])
@pytest.mark.parametrize(("damping", "shrinkage"), [(0.5, 0.0), (0.3, 4.0), (0.7, 20.0)])
def test_similarities_are_the_formula(weighting: str, damping: float, shrinkage: float) -> None:
    source = Similar(weighting, damping, shrinkage).fit(SHOP, seed=0)
    expected = plain(SHOP.matrix().toarray().astype(np.float64), weighting, damping, shrinkage)
    np.testing.assert_allclose(source.similarity_.toarray(), expected, rtol=1e-5)


def test_cosine_by_hand() -> None:
    """a was taken by ann and bob, b by ann alone: cos = 1 / (sqrt(2) * sqrt(1))."""
    dataset = Dataset.from_arrays(["ann", "ann", "bob"], ["a", "b", "a"], np.arange(3))
    source = Similar("cosine", 0.5, 0.0).fit(dataset, seed=0)
    np.testing.assert_allclose(source.similarity_.toarray(), [[0, 1 / np.sqrt(2)], [1 / np.sqrt(2), 0]], rtol=1e-6)


def test_bm25_by_hand() -> None:
    """Items of 3, 2 and 1/2 ties; ann takes two of three: a word of hers weighs log(1 + 3 / 2)."""
    ties = sp.csr_matrix(np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0.5]], np.float32))
    length = 1 - BM25_B + BM25_B * np.array([3, 2, 0.5]) / np.mean([3, 2, 0.5])
    words = np.log1p(3 / np.array([[2], [1], [3]]))
    expected = ties.toarray() * (BM25_K1 + 1) / (BM25_K1 * length + ties.toarray()) * words
    np.testing.assert_allclose(weigh(ties, "bm25").toarray(), expected, rtol=1e-6)
    similarity = expected.T @ expected
    np.fill_diagonal(similarity, 0)
    found = Similar("bm25", shrinkage=0.0).fit_matrix(ties).similarity_
    np.testing.assert_allclose(found.toarray(), similarity, rtol=1e-5)


def test_an_item_keeps_its_nearest_neighbours() -> None:
    every = Similar(neighbours=1_000).fit(SHOP, seed=0).similarity_.toarray()
    few = Similar(neighbours=5).fit(SHOP, seed=0).similarity_.toarray()
    kept = few > 0
    assert kept.sum(axis=1).max() <= 5
    np.testing.assert_allclose(few[kept], every[kept], rtol=1e-6)
    left_out = np.where(kept, 0, every).max(axis=1)
    assert (np.where(kept, every, np.inf).min(axis=1) >= left_out).all()


def test_a_score_is_the_sum_over_the_users_items() -> None:
    source = Similar().fit(SHOP, seed=0)
    users = np.arange(10, dtype=np.int32)
    expected = SHOP.matrix()[users].toarray() @ source.similarity_.toarray()
    found = source.scores(users)
    np.testing.assert_allclose(np.where(np.isfinite(found), found, 0), expected, rtol=1e-4, atol=1e-6)


def test_targets_alone() -> None:
    """Views tie a to b, purchases tie a to c."""
    dataset = Dataset.from_arrays(
        ["ann", "ann", "bob", "bob"],
        ["a", "b", "a", "c"],
        np.arange(4) * DAY_US,
        ["item_view", "item_view", "purchase", "purchase"],
    )
    found = Similar(targets_only=True).fit(dataset, seed=0).similarity_.toarray()
    assert found[0].tolist()[1] == 0
    assert found[0, 2] > 0


def test_recent_similar_prefers_what_goes_together_now() -> None:
    """Four took a and old together long ago, four a and new of late."""
    users = [f"u{number}" for number in range(8) for _ in range(2)]
    items = ["a", "old"] * 4 + ["a", "new"] * 4
    ts = np.repeat([10, 95], 8) * DAY_US
    dataset = Dataset.from_arrays(users, items, ts, until_us=100 * DAY_US)
    a, new, old = range(3)
    plainly = Similar().fit(dataset, seed=0).similarity_.toarray()
    lately = RecentSimilar().fit(dataset, seed=0).similarity_.toarray()
    assert plainly[a, new] == pytest.approx(plainly[a, old])
    assert lately[a, new] > 3 * lately[a, old]
    assert not RecentSimilar.suits(Dataset.from_arrays(users, items))
