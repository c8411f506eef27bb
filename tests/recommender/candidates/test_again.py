"""What was taken before, late orders counting more."""

from __future__ import annotations

import numpy as np
import pytest
from planted_blocks import shop

from recommender.candidates.again import Again
from recommender.history.dataset import DAY_US, Dataset

ANN = np.array([0], np.int32)


@pytest.mark.parametrize(("baskets", "half_life_share"), [(0.0, 0.0), (5.0, 0.0), (0.0, 2.0), (10.0, 4.0)])
def test_it_is_the_decayed_count_of_orders(baskets: float, half_life_share: float) -> None:
    dataset = shop(users=20, items=12)
    source = Again(baskets, half_life_share, crowd=0.5).fit(dataset, seed=0)
    lately = np.sqrt(dataset.recent_popularity / dataset.recent_popularity.max())
    for user in range(5):
        own = dataset.is_target & (dataset.user == user)
        times = sorted(set(dataset.ts_us[own].tolist()))
        expected = np.zeros(dataset.shape[1])
        for back, ts in enumerate(reversed(times)):
            worth = 2 ** (-back / baskets) if baskets else 1.0
            worth *= 2 ** ((ts - dataset.until_us) / half_life_share / dataset.recent_us) if half_life_share else 1.0
            for item in set(dataset.item[own & (dataset.ts_us == ts)].tolist()):
                expected[item] += worth
        expected[expected > 0] += 0.5 * lately[expected > 0]
        np.testing.assert_allclose(source.scores_[user].toarray()[0], expected, rtol=1e-5)


def test_a_new_habit_beats_an_old_one() -> None:
    """Tea ten times, then pot five times: with a short memory it is pot."""
    dataset = Dataset.from_arrays(["ann"] * 15, ["tea"] * 10 + ["pot"] * 5, np.arange(15) * DAY_US)
    long, short = (Again(baskets).fit(dataset, 0).recommend(ANN, 1)[0][0, 0] for baskets in (0.0, 2.0))
    assert dataset.items[[long, short]].tolist() == [b"tea", b"pot"]


def test_without_time_an_order_counts_whenever_it_was() -> None:
    dataset = Dataset.from_arrays(["ann"] * 15, ["tea"] * 10 + ["pot"] * 5)
    source = Again(baskets=2.0, half_life_share=1.0, crowd=0.0).fit(dataset, 0)
    assert source.scores_.toarray().tolist() == [[5.0, 10.0]]


def test_what_was_taken_long_ago_is_still_an_opinion() -> None:
    dataset = Dataset.from_arrays(["ann", "ann", "bob"], ["tea", "pot", "cup"], np.array([0, 5_000, 5_000]) * DAY_US)
    items, _ = Again(half_life_share=1.0).fit(dataset, 0).recommend(ANN, 3)
    assert dataset.items[items[0, :2]].tolist() == [b"pot", b"tea"]
    assert items[0, 2] == -1
