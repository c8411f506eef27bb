"""The largest sums are cut off and the mean stays."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.effects.money import tamed
from recommender.effects.rows import Rows, rows_of


def _rows(outcome: np.ndarray) -> Rows:
    n = len(outcome)
    return rows_of(np.zeros((n, 1)), np.arange(n) % 2 - 1, np.full(n, 0.5), outcome)


def test_one_whale() -> None:
    """99 sums of 1 to 99 and one of 2,000."""
    outcome = np.append(np.arange(1.0, 100), 2_000.0)
    calm, told = tamed(_rows(outcome))
    assert calm.outcome.mean() == pytest.approx(outcome.mean())
    assert calm.outcome.max() == pytest.approx(told["cap"] * told["raised"])
    assert calm.outcome.max() < 200
    assert calm.outcome[0] == pytest.approx(told["raised"])


def test_of_many_sums_only_the_very_largest_are_cut() -> None:
    """So that with ever more of them what is cut does not bend what an offer does to who spends most."""
    outcome = np.random.default_rng(1).lognormal(3.0, 1.0, 20_000)
    calm, told = tamed(_rows(outcome))
    assert np.count_nonzero(outcome > told["cap"]) == 60
    assert calm.outcome.mean() == pytest.approx(outcome.mean())


def test_buying_or_not_is_left_alone() -> None:
    rows = _rows((np.arange(200) % 3 == 0).astype(float))
    assert tamed(rows) == (rows, {})
    assert tamed(_rows(np.zeros(0)))[1] == {}


def test_losses_count_too() -> None:
    calm, told = tamed(_rows(np.append(np.full(99, -1.0) * np.arange(1, 100), -900.0)))
    assert calm.outcome.min() >= -told["cap"] * told["raised"] - 1e-9
