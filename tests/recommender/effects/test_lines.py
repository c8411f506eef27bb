"""Effects as lines on money itself: planted slopes, offers that move opposite visitors, fields nobody knows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from recommender.effects.choice import choose
from recommender.effects.learners import LEARNERS, LINE
from recommender.effects.rows import Floats

OFFERS = 6
RETURNS = 0.6
"""A visitor of the middle spends again and again: the chance to buy says nothing."""


def regulars(size: int, seed: int, unknown: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64], Floats, Floats]:
    """X, action, money, effects [n, O]: every other offer moves the rich, the others the poor, more the farther."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(size, 3)).astype(np.float32)
    side = np.where(np.arange(OFFERS) % 2, -1.0, 1.0)
    effects = 3.0 + 4.0 * side * X[:, :1].astype(np.float64)
    action = rng.integers(-1, OFFERS, size)
    got = np.where(action >= 0, effects[np.arange(size), action], 0.0)
    money = 30.0 + 8.0 * X[:, 1] + got + rng.normal(0, 12, size)
    blank = np.full((size, unknown), np.nan, np.float32)
    return np.hstack([X, blank]), action, money, effects


def told(size: int, seed: int, unknown: int = 0) -> tuple[Floats, Floats]:
    X, action, money, _ = regulars(size, seed, unknown)
    later, _, _, truth = regulars(2_000, seed + 100, unknown)
    fitted = LEARNERS[LINE]().fit(X, action, np.full(size, 1 / (OFFERS + 1)), money, seed, offers=OFFERS)
    return fitted.effects(later), truth


def test_offers_that_move_opposite_visitors_are_told_apart() -> None:
    found, truth = told(6_000, 1)
    assert np.corrcoef(found.ravel(), truth.ravel())[0, 1] > 0.95
    assert np.polyfit(found.ravel(), truth.ravel(), 1)[0] == pytest.approx(1.0, abs=0.15)


def test_the_error_falls_with_the_rows() -> None:
    errors = [np.sqrt(np.mean(np.subtract(*told(size, 2)) ** 2)) for size in (700, 5_000, 40_000)]
    assert errors[1] < 0.7 * errors[0]
    assert errors[2] < 0.65 * errors[1]


def test_fields_that_nobody_knows_change_nothing() -> None:
    few, _ = told(3_000, 3)
    many, _ = told(3_000, 3, unknown=120)
    assert many == pytest.approx(few, abs=0.05)


def test_money_of_regulars_goes_to_whom_it_moves() -> None:
    """Ten trials a column are too few for trees, and a constant would give everybody the same offer."""
    X, action, money, _ = regulars(6_000, 4)
    later, _, _, truth = regulars(2_000, 104)
    chosen = choose(X, action, np.full(len(X), np.nan), money, OFFERS, 4)
    best = chosen.effects(later).argmax(axis=1)
    assert truth[np.arange(len(best)), best].mean() > 0.9 * truth.max(axis=1).mean()
    assert 0.75 < chosen.effects(later).mean() / truth.mean() < 1.25


def test_nothing_came_of_anything() -> None:
    X, action, money, _ = regulars(500, 5)
    fitted = LEARNERS[LINE]().fit(X, action, np.full(500, 0.2), np.zeros_like(money), 5, offers=OFFERS)
    assert (fitted.effects(X) == 0).all()
