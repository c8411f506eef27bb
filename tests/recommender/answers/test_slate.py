"""Diversity: the greedy choice held against a plain one, and what the ends of the dial mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.answers.slate import LEAST_WORTH, spread

PATHS = {"tea": (1, 2), "coffee": (1, 3), "pots": (4, 5), "home": (4, -1), "none": (-1, -1)}
PRIMES = (23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97)
"""Scores: no two of them are the same however often they are multiplied with the strengths below."""


def plainly(scores: list[float], kinds: list[str], n: int, strength: float) -> list[int]:
    """The definition, item by item."""

    def likeness(chosen: str, other: str) -> float:
        path = [code for code in PATHS[chosen] if code >= 0]
        shared = sum(code == theirs for code, theirs in zip(path, PATHS[other], strict=False))
        return shared / len(path) if path else 0.0

    chosen: list[int] = []
    while len(chosen) < min(n, len(scores)):
        worth = {
            at: math.log(max(scores[at], 1e-30))
            + sum(math.log(max(1 - strength * likeness(kinds[one], kinds[at]), LEAST_WORTH)) for one in chosen)
            for at in range(len(scores))
            if at not in chosen
        }
        chosen.append(max(worth, key=worth.__getitem__))
    return chosen


@given(
    lines=st.lists(
        st.tuples(st.sampled_from(PRIMES), st.sampled_from(sorted(PATHS))),
        min_size=1,
        max_size=12,
        unique_by=lambda line: line[0],
    ),
    n=st.integers(1, 14),
    strength=st.sampled_from((0.0, 0.3, 0.5, 0.9, 1.0)),
)
def test_the_choice_is_the_plain_one(lines: list[tuple[int, str]], n: int, strength: float) -> None:
    lines.sort(reverse=True)
    scores, kinds = [score / 100 for score, _ in lines], [kind for _, kind in lines]
    paths = np.array([PATHS[kind] for kind in kinds], np.int32)
    chosen = spread(np.array(scores, np.float32), paths, n, strength)
    assert len(chosen) == len(set(chosen)) == min(n, len(lines))
    assert chosen == plainly(scores, kinds, n, strength)


@pytest.mark.parametrize(
    ("strength", "expected"),
    [
        (0.0, ["tea", "tea", "tea", "coffee", "pots"]),
        (0.4, ["tea", "pots", "coffee", "tea", "tea"]),
        (1.0, ["tea", "pots", "coffee", "tea", "tea"]),
    ],
)
def test_the_dial_goes_from_best_first_to_one_of_each(strength: float, expected: list[str]) -> None:
    kinds = ["tea", "tea", "tea", "coffee", "pots"]
    scores = np.array([0.9, 0.8, 0.7, 0.65, 0.6], np.float32)
    paths = np.array([PATHS[kind] for kind in kinds], np.int32)
    assert [kinds[at] for at in spread(scores, paths, 5, strength)] == expected


def test_without_categories_the_order_stays() -> None:
    scores = np.linspace(1, 0, 30, dtype=np.float32)
    for depth in (0, 3):
        assert spread(scores, np.full((30, depth), -1, np.int32), 10, 1.0) == list(range(10))


def test_a_long_shelf_of_one_kind_keeps_its_order() -> None:
    scores = np.linspace(1, 0, 1_000, dtype=np.float32)
    assert spread(scores, np.tile(np.int32([1, 2]), (1_000, 1)), 1_000, 1.0) == list(range(1_000))
