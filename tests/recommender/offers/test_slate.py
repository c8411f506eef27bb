"""Products and an offer in one slate: the best of all orders, found without trying them all."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from planted_plan import plan

from recommender.offers.decide import decide
from recommender.offers.slate import examined, lay, places

NONE_FIXED = np.zeros(4, bool)


def worth_of(order: list[int], scores: np.ndarray, rate: float, position: int, offer: float) -> float:
    looked = examined(len(order))
    return float(rate * looked @ scores[order] + looked[position] * offer)


@pytest.mark.parametrize("seed", range(30))
def test_no_other_slate_is_worth_more(seed: int) -> None:
    """Against every order of five items, with items that keep their place and an offer that covers some."""
    rng = np.random.default_rng(seed)
    scores, rate, offer = np.sort(rng.random(5))[::-1], 1_000.0, float(rng.choice([20, 200, 2_000]))
    covers, fixed = rng.random((1, 5)) < 0.5, rng.random(5) < 0.2
    if not covers.any():
        covers[0, 4] = True
    if fixed.any():
        scores[fixed] = 0.5
        scores[~fixed] = np.sort(scores[~fixed])[::-1]
    order, position = lay(places(covers, scores, fixed, rate), fixed, 0, offer)
    kept = np.flatnonzero(fixed).tolist()
    assert [order[place] for place in kept] == kept
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert covers[0, order[position]]
    best = max(
        worth_of(list(one), scores, rate, at, offer)
        for one in permutations(range(5))
        if [one[place] for place in kept] == kept
        for at in range(5)
        if covers[0, one[at]]
    )
    assert worth_of(order, scores, rate, position, offer) == pytest.approx(best)


def test_an_offer_lifts_its_item_as_far_as_it_is_worth() -> None:
    """Two items of 10 and 8, the offer is for the second. Lifting it costs 2 x (1 - 0.63) = 0.74 and brings 0.37 of the
    offer's worth more."""
    covers, scores, fixed = np.array([[False, True]]), np.array([10.0, 8.0]), np.zeros(2, bool)
    found = places(covers, scores, fixed, 1.0)
    assert lay(found, fixed, 0, 1.9) == ([0, 1], 1)
    assert lay(found, fixed, 0, 2.1) == ([1, 0], 0)


def test_where_scores_are_no_money_no_item_moves() -> None:
    found = places(np.array([[False, True, True, False]]), np.array([4.0, 3, 2, 1]), NONE_FIXED)
    assert lay(found, NONE_FIXED, 0, 1e9) == ([0, 1, 2, 3], 1)


def test_offers_that_cover_everything_stand_as_each_would_alone() -> None:
    """They are reckoned as one; beside an offer that covers less each is reckoned by itself."""
    scores, fixed = np.array([4.0, 3.0, 2.5, 1.0]), np.array([False, True, False, False])
    all_of_it = np.ones((3, 4), bool)
    together, apart = (
        places(covers, scores, fixed, 2.0)
        for covers in (all_of_it, np.vstack((all_of_it, [[True, False, False, True]])))
    )
    for one, other in ((together.placing.loss, apart.placing.loss), (together.item, apart.item)):
        assert one is not None
        assert other is not None
        assert np.array_equal(one, other[:3])
    assert np.array_equal(together.best, apart.best[:3])


def test_the_place_decides_with_the_worth() -> None:
    """100 on the fourth item's 0.43 is less than 50 on the first's 1: the chances follow the slate."""
    known = plan(gain=[[100, 50]], cost=[[0, 0]])
    covers = np.array([[False, False, False, True], [True, True, True, True]])
    found = places(covers, np.array([4.0, 3, 2, 1]), NONE_FIXED)
    asked = {"exploration": 0.2, "n": 1, "placing": found.placing}
    choice = decide(known, 0, np.arange(2), 0.0, 12345, **asked)
    assert choice.propensity == pytest.approx([0.2 / 3, 0.2 / 3 + 0.8])
    alone = decide(known, 0, np.arange(2), 0.0, 12345, exploration=0.2, n=1)
    assert alone.propensity == pytest.approx([0.2 / 3 + 0.8, 0.2 / 3])


def test_what_moving_costs_is_part_of_what_an_offer_must_earn() -> None:
    """An offer that is worth less than nothing where it stands is not given, and stands nowhere else for it."""
    known = plan(gain=[[-1]], cost=[[0]])
    found = places(np.ones((1, 4), bool), np.array([4.0, 3, 2, 1]), NONE_FIXED, 1.0)
    assert decide(known, 0, np.arange(1), 0.0, 1, exploration=0.0, n=1, placing=found.placing).order == ()
