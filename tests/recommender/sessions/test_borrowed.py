"""Factors that few visitors speak for, and those of what is like them."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.fusion.assemble import WELL_KNOWN
from recommender.sessions.borrowed import borrowed

MANY = 1_000_000
FACTORS = np.array([[3.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.0, 0.0]], np.float32)
NONE = -1


def near(*lists: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
    items, scores = np.full((len(lists), 3), NONE, np.int32), np.zeros((len(lists), 3), np.float32)
    for row, others in enumerate(lists):
        items[row, : len(others)], scores[row, : len(others)] = list(others), list(others.values())
    return items, scores


def test_an_item_that_nobody_took_stands_where_its_like_stand_and_as_far_out() -> None:
    """Its neighbours have lengths 3 and 1; the mean of both points to (3, 1) and would be 1.6 long."""
    takers = np.array([MANY, MANY, MANY, 0])
    moved = borrowed(FACTORS, takers, *near({}, {}, {}, {0: 0.5, 1: 0.5}))
    assert moved[3] == pytest.approx(np.array([3.0, 1.0]) / np.sqrt(10.0) * 2.0, rel=1e-4)
    assert moved[:3] == pytest.approx(FACTORS[:3])


def test_the_more_visitors_took_it_the_more_it_stands_by_itself() -> None:
    lists = near({}, {}, {0: 0.5}, {})
    takers = np.array([MANY, MANY, WELL_KNOWN, 0])
    assert borrowed(FACTORS, takers, *lists)[2] == pytest.approx([(0.5 + 3.0) / 2, 0.25], rel=1e-4)


def test_nobody_borrows_from_what_is_not_known_itself() -> None:
    """0 is near both, and nobody took it."""
    takers = np.array([0, MANY, 0, 0])
    moved = borrowed(FACTORS, takers, *near({}, {}, {0: 0.9, 1: 0.1}, {}))
    assert moved[2] == pytest.approx([0.0, 1.0], rel=1e-4)


def test_without_neighbours_everything_stays() -> None:
    assert borrowed(FACTORS, np.zeros(4, int), *near({}, {}, {}, {})).tolist() == FACTORS.tolist()
    assert borrowed(FACTORS[:, :0], np.zeros(4, int), *near({}, {}, {0: 1.0}, {})).shape == (4, 0)
