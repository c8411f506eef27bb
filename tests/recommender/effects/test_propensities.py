"""Chances that the log does not tell, beside the true ones."""

from __future__ import annotations

import numpy as np
import pytest
from planted_effects import planted

from recommender.effects import propensities
from recommender.effects.propensities import LOWEST, with_propensities
from recommender.effects.rows import rows_of


def test_what_is_known_stays() -> None:
    seen = planted(300, 0)
    rows = rows_of(*seen.given)
    assert with_propensities(rows, 0) == (rows, {"estimated": 0})


@pytest.mark.parametrize("n", [400, 2_000])
def test_the_unknown_are_near_the_truth(n: int) -> None:
    """Half are missing; who estimates must do better than shares of the actions."""
    seen = planted(n, 1, confounded=0.8)
    logged = np.where(np.arange(n) % 2 == 0, np.nan, seen.propensity)
    whole, told = with_propensities(rows_of(seen.X, seen.action, logged, seen.outcome), 0)
    gone = np.isnan(logged)
    assert told["estimated"] == n // 2
    assert told["by"] in ("line", "trees")
    assert np.array_equal(whole.propensity[~gone], seen.propensity[~gone])
    truth = seen.propensity[gone]
    shares = np.bincount(seen.action + 1, minlength=4)[seen.action + 1][gone] / n
    assert np.abs(whole.propensity[gone] - truth).mean() < 0.7 * np.abs(shares - truth).mean()
    assert whole.propensity.min() >= min(LOWEST, seen.propensity.min())


def test_hardly_any_rows() -> None:
    one = rows_of(np.ones((1, 2)), np.array([0]), np.array([np.nan]), np.ones(1))
    assert with_propensities(one, 0)[0].propensity.tolist() == [1.0]
    few = rows_of(np.ones((4, 1)), np.array([0, 0, 0, -1]), np.full(4, np.nan), np.ones(4))
    assert ((few := with_propensities(few, 0)[0]).propensity > 0).all()
    assert few.propensity[0] > few.propensity[3]


def test_a_feature_that_nobody_has() -> None:
    seen = planted(900, 2, confounded=0.8)
    X = np.hstack([seen.X, np.full((900, 1), np.nan, np.float32)])
    found, told = with_propensities(rows_of(X, seen.action, np.full(900, np.nan), seen.outcome), 0)
    assert told["estimated"] == 900
    assert np.isfinite(found.propensity).all()


def test_of_many_rows_the_first_fold_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row is told all the same, nearer to the truth than by shares of the actions."""
    monkeypatch.setattr(propensities, "MOST_ROWS", 750)
    seen = planted(2_400, 3, confounded=0.8)
    found, told = with_propensities(rows_of(seen.X, seen.action, np.full(2_400, np.nan), seen.outcome), 0)
    assert told == {"estimated": 2_400, "by": "line", "clipped": 0}
    shares = np.bincount(seen.action + 1)[seen.action + 1] / 2_400
    assert np.abs(found.propensity - seen.propensity).mean() < 0.5 * np.abs(shares - seen.propensity).mean()
