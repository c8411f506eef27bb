"""What lists are like: against arithmetic, and against a plain reading of the definitions."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.history.dataset import Dataset
from recommender.history.facts import Facts
from recommender.judging.lists import MIXED_IN, NATURE, Nature

PATHS = [[0, 1, -1, -1], [0, 2, -1, -1], [3, -1, -1, -1], [0, 1, 4, -1], [-1, -1, -1, -1]]
TAKEN = [("ann", 0), ("ann", 1), ("bob", 0), ("cid", 2), ("dan", 0)]


def planted() -> Dataset:
    """Five items of five categories, the last item without one; four users."""
    users, items = zip(*TAKEN, strict=True)
    dataset = Dataset.from_arrays(users, [f"i{one}" for one in items], extra_items=[f"i{n}" for n in range(5)])
    facts = replace(
        Facts.none(5), category=np.array(PATHS, np.int32), categories=np.array([b"a", b"b", b"c", b"d", b"e"])
    )
    return replace(dataset, facts=facts)


def measured(lists: list[list[int]], users: list[int], k: int = 9) -> dict[str, list[float]]:
    found = Nature(planted()).per_user(np.array(lists, np.int32), np.array(users, np.int32), k)
    return {name: values.tolist() for name, values in found.items()}


def test_expected_values() -> None:
    """Item 0 was taken by 3 of 4, items 1 and 2 by one, 3 by nobody. Items 0 and 1 share one level of two, 0 and 3 two
    of two and three, 0 and 2 none. Ann took items 0 and 1: half of what she took is `a`, a quarter each `b` and `c`."""
    found = measured([[0, 1, 2], [0, 3, -1], [2, -1, -1]], [0, 0, 0])
    assert found["novelty"] == pytest.approx([(log2(4 / 3) + 2 + 2) / 3, (log2(4 / 3) + 3) / 2, 2])
    assert found["diversity"] == pytest.approx([(1 - 2 / 4 + 1 + 1) / 3, 1 - 4 / 5, np.nan], nan_ok=True)
    missed = 0.5 * log2(1 / MIXED_IN) + 0.25 * log2(1 / MIXED_IN) * 2
    assert found["miscalibration"][2] == pytest.approx(missed)


def test_a_list_in_the_proportions_of_the_taste_is_calibrated() -> None:
    assert measured([[0, 1], [1, 0]], [0, 0])["miscalibration"] == pytest.approx([0, 0])
    assert measured([[0, -1]], [0])["miscalibration"][0] > 0.1


def test_what_is_not_known_is_not_a_number() -> None:
    found = measured([[4, -1], [-1, -1]], [0, 0])
    assert np.isnan(found["diversity"]).all()
    assert np.isnan(found["miscalibration"]).all()
    assert np.isnan(found["novelty"]).tolist() == [False, True]
    assert all(values.shape == (0,) for values in Nature(planted()).per_user(
        np.empty((0, 3), np.int32), np.empty(0, np.int32), 3
    ).values())  # fmt: skip


def plainly(listed: list[int], taken: list[int], takers: Counter[int]) -> list[float]:
    """The definitions again, one list at a time."""
    paths = {item: [code for code in path if code >= 0] for item, path in enumerate(PATHS)}
    bits = [-log2(max(takers[item], 0.5) / 4) for item in listed]
    apart = []
    for one, other in combinations([item for item in listed if paths[item]], 2):
        shared = 0
        for left, right in zip(paths[one], paths[other], strict=False):
            if left != right:
                break
            shared += 1
        apart.append(1 - 2 * shared / (len(paths[one]) + len(paths[other])))

    def shares(items: list[int]) -> Counter[int]:
        known = [item for item in items if paths[item]]
        return Counter({
            code: sum((code in paths[item]) / len(paths[item]) for item in known) / len(known)
            for item in known for code in paths[item]
        })  # fmt: skip

    taste, shown = shares(taken), shares(listed)
    lost = sum(p * log2(p / (MIXED_IN * p + (1 - MIXED_IN) * shown[code])) for code, p in taste.items())
    return [
        sum(bits) / len(bits) if bits else np.nan,
        sum(apart) / len(apart) if apart else np.nan,
        lost if taste and shown else np.nan,
    ]


@given(st.lists(st.tuples(st.permutations(range(5)), st.integers(0, 5), st.integers(0, 3)), max_size=6))
def test_arrays_agree_with_the_plain_reading(asked: list[tuple[list[int], int, int]]) -> None:
    lists = [order[:length] + [-1] * (5 - length) for order, length, _ in asked]
    found = Nature(planted()).per_user(
        np.array(lists, np.int32).reshape(-1, 5), np.array([user for *_, user in asked], np.int32), 4
    )
    names = ["ann", "bob", "cid", "dan"]
    for row, (order, length, user) in enumerate(asked):
        taken = [item for name, item in TAKEN if name == names[user]]
        expected = plainly(order[: min(length, 4)], taken, Counter(item for _, item in TAKEN))
        assert [found[name][row] for name in NATURE] == pytest.approx(expected, nan_ok=True)
