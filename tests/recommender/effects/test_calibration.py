"""Predictions twice as far apart as the truth, too high, upside down, or of nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recommender.effects.calibration import Calibration
from recommender.effects.rows import Rows, rows_of

N = 6_000


def _planted(noise: float = 1.0) -> tuple[np.ndarray, np.ndarray, Rows]:
    """Effects of two offers, and scores around them."""
    rng = np.random.default_rng(0)
    effect = rng.normal([0.1, -0.2], 0.3, (N, 2))
    score = effect + noise * rng.normal(size=(N, 2))
    rows = rows_of(np.zeros((N, 1)), np.arange(N) % 3 - 1, np.full(N, 1 / 3), np.zeros(N))
    return effect, score, rows


def test_too_far_apart_and_too_high() -> None:
    effect, score, rows = _planted()
    found = Calibration.fit(2 * effect + 0.3, score, rows, 1.0)
    assert found.slope == pytest.approx([0.5, 0.5], abs=0.06)
    assert found(2 * effect + 0.3) == pytest.approx(effect, abs=0.2)
    assert json.loads(json.dumps(found.told))["measured_slope"] == pytest.approx([0.5, 0.5], abs=0.1)


def test_right_ones_stay() -> None:
    effect, score, rows = _planted()
    assert Calibration.fit(effect, score, rows, 1.0)(effect) == pytest.approx(effect, abs=0.15)


def test_the_order_is_never_reversed() -> None:
    effect, score, rows = _planted()
    found = Calibration.fit(-effect, score, rows, 1.0)
    assert found.slope.tolist() == [0.0, 0.0]
    assert found(-effect)[0] == pytest.approx([0.1, -0.2], abs=0.05), "the averages are left"


def test_what_nothing_is_known_of_stays() -> None:
    effect, score, rows = _planted(noise=100.0)
    assert Calibration.fit(effect, score, rows, 1.0).slope == pytest.approx([1, 1], abs=0.6)
    flat = Calibration.fit(np.full((N, 2), 0.1), score, rows, 1.0)
    assert flat.slope.tolist() == [1.0, 1.0]
    assert (
        Calibration.fit(effect[:0], score[:0], rows.take(np.zeros(N, bool)), 1.0)(effect[:3]).tolist()
        == effect[:3].tolist()
    )
