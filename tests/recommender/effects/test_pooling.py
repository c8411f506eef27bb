"""Known beside unknown, alike beside unlike; eight schools."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.effects.pooling import pooled


def test_eight_schools() -> None:
    """Rubin 1981. With flat beliefs Gelman et al. ("Bayesian Data Analysis", table 5.3) find medians of 10, 8, 7, 7, 5,
    6, 10 and 8; a wide normal one comes close."""
    effect = np.array([28.39, 7.94, -2.75, 6.82, -0.64, 0.63, 18.01, 12.16])
    error = np.array([14.9, 10.2, 16.3, 11.0, 9.4, 11.4, 10.4, 17.6])
    assert pooled(effect, error, 20.0).mean == pytest.approx([10, 8, 7, 7, 5, 6, 10, 8], abs=2.2)


def test_what_is_exact_stays_and_what_is_unknown_is_like_the_others() -> None:
    found = pooled(np.array([1.0, 3.0, 0.0]), np.array([1e-6, 1e-6, np.inf]), 5.0)
    assert found.mean[:2] == pytest.approx([1, 3], abs=1e-3)
    assert 0.5 < found.mean[2] < 3
    assert found.sd[2] > 0.5 > found.sd[0]


def test_nothing_known_is_what_was_believed() -> None:
    found = pooled(np.zeros(2), np.full(2, np.inf), 2.0)
    assert found.mean.tolist() == [0, 0]
    assert (found.sd >= 2.0).all()


def test_noise_is_drawn_together() -> None:
    rng = np.random.default_rng(0)
    found = pooled(rng.normal(0.5, 1.0, 40), np.ones(40), 1.0)
    assert found.mean.std() < 0.5
    assert found.mean.mean() == pytest.approx(0.5, abs=0.35)
