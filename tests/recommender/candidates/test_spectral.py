"""The spectral filter against full singular value decompositions."""

from __future__ import annotations

import numpy as np
import pytest
from planted_blocks import shop

from recommender.candidates.similar import Similar
from recommender.candidates.spectral import SHRINKAGE, Spectral, smooth

SHOP = shop()
EVERYONE = np.arange(len(SHOP.users), dtype=np.int32)


def plain_smooth(ties: np.ndarray, rank: int, lift: float) -> np.ndarray:
    size = ties.sum(axis=0) + SHRINKAGE
    even = ties / np.sqrt(ties.sum(axis=1, keepdims=True)) / np.sqrt(size)
    vectors = np.linalg.svd(even, full_matrices=False)[2][:rank]
    return ties / np.sqrt(size) @ vectors.T @ vectors * size**lift


@pytest.mark.parametrize(("rank", "lift"), [(2, 0.5), (2, 0.25)])
def test_the_smooth_part_is_the_projection(rank: int, lift: float) -> None:
    left, right = smooth(SHOP.matrix(), rank, lift, seed=0)
    ties = SHOP.matrix().toarray().astype(np.float64)
    np.testing.assert_allclose(ties @ left @ right.T, plain_smooth(ties, rank, lift), rtol=2e-2, atol=5e-2)


def test_a_score_is_both_parts_in_units_of_their_spread() -> None:
    source = Spectral(rank=4, share=0.5).fit(SHOP, seed=0)
    ties = SHOP.matrix(SHOP.recent_us)
    linear = Similar("walk", 0.65, SHRINKAGE).fit_matrix(ties, SHOP.matrix()).similarity_
    near = (ties @ linear).toarray()
    left, right = smooth(ties, 4, 0.5, seed=0)
    far = ties @ left @ right.T
    expected = near / near.std(axis=1, keepdims=True) + 0.5 * far / far.std(axis=1, keepdims=True)
    np.testing.assert_allclose(source.scores(EVERYONE), expected, rtol=1e-3, atol=1e-3)


def test_the_rank_is_bounded_by_the_shop() -> None:
    left, right = smooth(SHOP.matrix(), 10_000, 0.5, seed=0)
    assert left.shape == right.shape == (len(SHOP.items), len(SHOP.items) // 4)
