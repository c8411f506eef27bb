"""Metrics against arithmetic that a reader can check, and against a plain reading of the definitions."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from portraits.errors import InvalidValue
from recommender.judging import metrics

TRUTH = sp.csr_matrix(np.array([[1, 1, 0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]], np.float32))
LISTS = np.array([[0, 3, 4], [3, 4, -1], [0, 1, 2]], np.int32)


def test_expected_values() -> None:
    """User 0 hits at places 1 and 3 with three to find, user 1 hits nothing, user 2 has nothing to find."""
    found = metrics.per_user(LISTS, TRUTH, k=3)
    assert found["recall"].tolist() == [2 / 3, 0]
    best = 1 / log2(2) + 1 / log2(3) + 1 / log2(4)
    assert found["ndcg"].tolist() == pytest.approx([(1 / log2(2) + 1 / log2(4)) / best, 0])
    assert found["hit"].tolist() == [1, 0]
    assert found["map"].tolist() == pytest.approx([(1 / 1 + 2 / 3) / 3, 0])
    assert found["mrr"].tolist() == [1 / 1, 0]


def test_the_ideal_is_cut_at_k() -> None:
    """Three to find, k = 1: one hit at the top is all that one can do."""
    assert metrics.per_user(LISTS, TRUTH, k=1)["ndcg"].tolist() == [1, 0]
    assert metrics.per_user(LISTS, TRUTH, k=1)["recall"].tolist() == [1 / 3, 0]


def test_coverage_counts_items_shown_to_anybody() -> None:
    assert metrics.coverage(LISTS, 2, rankable=5) == 4 / 5
    assert metrics.coverage(np.full((2, 3), -1, np.int32), 3, rankable=5) == 0


def plainly(listed: list[int], truth: set[int], k: int) -> dict[str, float]:
    """The definitions again, one user at a time, without arrays."""
    cut = listed[:k]
    places = [place for place, item in enumerate(cut, start=1) if item in truth]
    ideal = sum(1 / log2(place + 1) for place in range(1, min(k, len(truth)) + 1))
    precisions = [sum(item in truth for item in cut[:place]) / place for place in places]
    return {
        "recall": len(places) / len(truth),
        "ndcg": sum(1 / log2(place + 1) for place in places) / ideal,
        "hit": float(bool(places)),
        "map": sum(precisions) / min(k, len(truth)),
        "mrr": 1 / places[0] if places else 0.0,
    }


@given(
    st.lists(st.permutations(range(8)), min_size=1, max_size=4),
    st.lists(st.sets(st.integers(0, 7), min_size=1), min_size=4, max_size=4),
    st.integers(1, 10),
    st.integers(0, 8),
)
def test_arrays_agree_with_the_plain_reading(
    orders: list[list[int]], truths: list[set[int]], k: int, length: int
) -> None:
    lists = np.array([order[:length] + [-1] * (8 - length) for order in orders], np.int32)
    dense = np.zeros((len(orders), 8), np.float32)
    for row, truth in enumerate(truths[: len(orders)]):
        dense[row, list(truth)] = 1
    found = metrics.per_user(lists, sp.csr_matrix(dense), k)
    for row, order in enumerate(orders):
        expected = plainly(order[:length], truths[row], k)
        assert {name: values[row] for name, values in found.items()} == pytest.approx(expected)


def test_an_interval_holds_the_mean_and_narrows_with_more_users() -> None:
    rng = np.random.default_rng(0)
    few, many = (metrics.bootstrap(rng.random(size), seed=0) for size in (50, 5000))
    for estimate in (few, many):
        assert estimate.low < estimate.mean < estimate.high
    assert many.high - many.low < (few.high - few.low) / 5


def test_a_pair_that_always_differs_by_a_tenth_has_no_noise() -> None:
    values = np.random.default_rng(0).random(100)
    difference = metrics.paired_bootstrap(values + 0.1, values, seed=0)
    assert (difference.low, difference.mean, difference.high) == pytest.approx((0.1, 0.1, 0.1))


def test_nobody_to_judge_gives_no_number() -> None:
    assert np.isnan(metrics.bootstrap(np.empty(0), seed=0).mean)


def test_lists_of_other_users_are_refused() -> None:
    with pytest.raises(InvalidValue, match="lists"):
        metrics.hits(LISTS[:2], TRUTH)
    with pytest.raises(InvalidValue, match="theirs"):
        metrics.paired_bootstrap(np.ones(2), np.ones(3), seed=0)


def test_value_is_what_the_hits_are_worth() -> None:
    """Items 1 and 2 hit, worth 20 and 3; nobody knows what item 0 is worth."""
    truth = sp.csr_matrix(np.array([[1, 1, 1, 0], [0, 0, 0, 1]], np.float32))
    lists = np.array([[1, 3, 2], [-1, -1, -1]], np.int32)
    values = metrics.per_user(lists, truth, 3, np.array([np.nan, 20.0, 3.0, 7.0]))
    assert values["value"].tolist() == [20 + 3, 0]
    assert "value" not in metrics.per_user(lists, truth, 3)
