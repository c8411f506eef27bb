"""Visitors by how much is known of them: terciles of the data's own."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recommender.history.dataset import Dataset
from recommender.judging.visitors import SEGMENTS, segments


def known(lengths: list[int]) -> Dataset:
    """One user for each length of history, in order."""
    users = [f"u{n:03}" for n, length in enumerate(lengths) for _ in range(length)]
    items = [f"i{n}" for length in lengths for n in range(length)]
    return Dataset.from_arrays(users, items, list(range(len(users))))


def test_a_third_each_with_words_for_whom() -> None:
    found = segments(known([1, 2, 3, 4, 50, 60]), np.arange(6, dtype=np.int32))
    assert {name: np.flatnonzero(mask).tolist() for name, mask in found.masks.items()} == {
        "new": [0, 1], "regular": [2, 3], "loyal": [4, 5],
    }  # fmt: skip
    assert found.words["new"] == "1 to 2 interactions"


def test_where_all_are_alike_there_is_one_part() -> None:
    found = segments(known([1, 1, 1]), np.arange(3, dtype=np.int32))
    assert (list(found.masks), found.words) == (["new"], {"new": "1 interaction"})
    assert segments(known([1]), np.empty(0, np.int32)).masks == {}


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_everybody_is_in_one_part_and_who_has_more_is_not_in_a_lower_one(lengths: list[int]) -> None:
    found = segments(known(lengths), np.arange(len(lengths), dtype=np.int32))
    assert (sum(mask.astype(int) for mask in found.masks.values()) == 1).all()
    part = np.zeros(len(lengths), int)
    for name, mask in found.masks.items():
        part[mask] = SEGMENTS.index(name)
    order = np.argsort(lengths, kind="stable")
    assert (np.diff(part[order]) >= 0).all()
