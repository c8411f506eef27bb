"""Histories as sequences of moments."""

from __future__ import annotations

import numpy as np

from recommender.candidates.sequences import moments
from recommender.history.dataset import Dataset

SHOP = Dataset.from_arrays(
    ["ann", "ann", "ann", "ann", "bob"],
    ["tea", "pot", "tea", "tea", "pot"],
    np.array([1, 1, 2, 2, 9]),
    ["purchase", "item_view", "purchase", "item_view", "purchase"],
)


def test_a_moment_is_what_was_taken_at_once() -> None:
    found = moments(SHOP)
    assert found.user.tolist() == [0, 0, 1]
    assert found.ts_us.tolist() == [1, 2, 9]
    assert found.back.tolist() == [1, 0, 0]
    assert found.sizes.tolist() == [2, 1, 1]
    np.testing.assert_allclose(found.items.toarray(), [[0.3, 1.0], [0.0, 1.0], [1.0, 0.0]])


def test_only_the_chosen_events_make_moments() -> None:
    found = moments(SHOP, SHOP.item == 0)
    assert found.user.tolist() == [0, 1]
    assert found.back.tolist() == [0, 0]


def test_an_empty_history_has_no_moments() -> None:
    found = moments(Dataset.from_arrays([], [], np.empty(0, np.int64)))
    assert len(found.user) == 0
    assert found.items.shape == (0, 0)
