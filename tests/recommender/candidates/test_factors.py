"""Parameters of the factor models that depend on the data."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from recommender.candidates.als import Als
from recommender.candidates.factors import LARGEST_FACTORS, bounded_rank, scaled_factors


def test_the_penalty_grows_with_the_ties() -> None:
    """12 ties of 4 users and 9 items, alpha 2: a user's weigh 2 * 12 / 4, an item's 2 * 12 / 9."""
    ties = np.zeros((4, 9), np.float32)
    ties[:, :3] = 1
    model = Als(penalty=0.1, alpha=2.0).model(sp.csr_matrix(ties), seed=0)
    assert model.regularization == pytest.approx(0.1 * np.sqrt((2 * 12 / 4) * (2 * 12 / 9)))


def test_factors_follow_the_ties_up_to_the_most() -> None:
    assert scaled_factors(100, 128) == 8
    assert scaled_factors(800_000, 128) == 128
    assert scaled_factors(800_000, 256) == 176


def test_singular_vectors_fit_into_memory() -> None:
    assert bounded_rank(512, (30_000, 41_000)) == 512
    assert bounded_rank(512, (1_000_000, 100_000)) == LARGEST_FACTORS // 1_100_000
    assert bounded_rank(512, (7, 100)) == 7
