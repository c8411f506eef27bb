"""Folds keep units whole; a cap keeps the rare and says for whom it stands."""

from __future__ import annotations

import numpy as np

from recommender.effects.rows import NONE, capped, folds, rows_of


def test_units_are_never_on_both_sides() -> None:
    unit = np.repeat(np.arange(100), 7)
    fold = folds(unit, 3, 0)
    assert (fold.reshape(100, 7) == fold[::7, None]).all()
    assert sorted(np.bincount(fold[::7])) == [33, 33, 34]
    assert np.array_equal(fold, folds(unit, 3, 0))


def test_rows_of_one_unit_are_dealt_singly() -> None:
    assert sorted(np.bincount(folds(np.zeros(9, np.int64), 3, 0))) == [3, 3, 3]
    assert len(folds(np.zeros(0, np.int64), 3, 0)) == 0


def test_the_cap_keeps_all_of_the_rare() -> None:
    """900 of none, 90 of offer 0, 10 of offer 1, places for 200: all 10 and 90, and 100 of none, each for 9."""
    action = np.repeat([NONE, 0, 1], [900, 90, 10])
    rows = rows_of(np.arange(1_000)[:, None], action, np.full(1_000, 0.5), np.zeros(1_000))
    kept = capped(rows, 200, 0)
    assert kept.counts().tolist() == [90, 10, 100]
    assert kept.weight[kept.action == NONE].tolist() == [9.0] * 100
    assert kept.weight[kept.action >= 0].tolist() == [1.0] * 100
    assert (np.diff(kept.X[:, 0]) > 0).all(), "in the order they came"
    assert np.array_equal(kept.X, capped(rows, 200, 0).X)
    assert capped(rows, 1_000, 0) is rows
