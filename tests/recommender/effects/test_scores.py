"""Scores by hand, and right whichever half of what they stand on is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from planted_effects import planted

from recommender.effects.rows import NONE, rows_of
from recommender.effects.scores import Crossfitted, averages, scores, spread_of


def test_by_hand() -> None:
    """Two rows of the offer at 1/2, two of none at 1/2: each stands for two. mu is 1 with the offer and 0 without."""
    rows = rows_of(np.zeros((4, 1)), np.array([0, 0, NONE, NONE]), np.full(4, 0.5), np.array([3.0, 1, 1, 0]))
    mu = np.tile([1.0, 0.0], (4, 1))
    assert scores(rows, mu)[:, 0].tolist() == [1 + 2 * (3 - 1), 1 + 2 * (1 - 1), 1 - 2 * (1 - 0), 1 - 2 * (0 - 0)]
    mean, error = averages(scores(rows, mu), rows)
    assert mean == pytest.approx([2 - 1 / 2])
    variance = (3.5**2 + 0.5**2 + 2.5**2 + 0.5**2) * 4 / 3 / 4**2
    usual = spread_of(rows) ** 2 * (1 / 2 + 1 / 2)
    assert error == pytest.approx([np.sqrt((10 * usual + 2 * variance) / 12)])


def test_an_offer_without_rows_is_not_known() -> None:
    rows = rows_of(np.zeros((4, 1)), np.array([0, 0, NONE, NONE]), np.full(4, 0.5), np.ones(4), 2)
    mean, error = averages(scores(rows, np.zeros((4, 3))), rows)
    assert mean[1] == 0
    assert error[1] == np.inf


@pytest.mark.parametrize("wrong", ["model", "propensity"])
def test_doubly_robust(wrong: str) -> None:
    """The keen got offers. Either what is expected is nonsense, or the propensities are: the averages hold."""
    seen = planted(20_000, 0, confounded=0.5)
    chance = np.full(20_000, 0.25) if wrong == "propensity" else seen.propensity
    rows = rows_of(seen.X, seen.action, chance, seen.outcome)
    mu = np.hstack([seen.base[:, None] + seen.effects, seen.base[:, None]])
    mean, error = averages(scores(rows, 0 * mu + 0.3 if wrong == "model" else mu), rows)
    assert np.abs(mean - seen.effects.mean(axis=0)).max() < 3 * error.max()
    both, _ = averages(scores(rows_of(seen.X, seen.action, np.full(20_000, 0.25), seen.outcome), 0 * mu), rows)
    assert np.abs(both - seen.effects.mean(axis=0)).max() > 0.05


def test_cross_fitting_does_not_see_the_row() -> None:
    """Outcomes that are mere noise are not foretold."""
    rng = np.random.default_rng(0)
    seen = planted(900, 3)
    rows = rows_of(seen.X, seen.action, seen.propensity, rng.normal(size=900))
    mu = Crossfitted.fit(rows, 0).mu
    assert abs(np.corrcoef(mu[np.arange(900), rows.action], rows.outcome)[0, 1]) < 0.12
