"""The choice of an offer: exact chances, drawn as they are told, values worked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted_plan import plan
from scipy.stats import chisquare

from recommender.offers.decide import Choice, by_rule, decide
from recommender.offers.plan_files import OfferPlan

SEEDS = [int(seed) for seed in np.random.default_rng(5).integers(0, 2**63, 4_000)]


def chosen(known: OfferPlan | None, columns: Sequence[int], seed: int = 1, **changed: Any) -> Choice:
    asked: dict[str, Any] = {"row": 0, "prices": 0.0, "exploration": 0.0, "n": 1}
    asked |= changed
    return decide(known, columns=np.array(columns, np.intp), seed=seed, **asked)


def test_the_best_is_what_it_gains_less_what_it_costs() -> None:
    """300 - 100, 500 - 350, 100 - 150."""
    choice = chosen(plan(gain=[[300, 500, 100]], cost=[[100, 350, 150]]), [0, 1, 2], n=5)
    assert (choice.order, choice.none, choice.source) == ((0, 1), 0.0, "learned")
    assert choice.worth.tolist() == [200, 150, -50]
    assert choice.propensity.tolist() == [1, 0, 0]


def test_a_price_makes_a_minor_unit_dearer() -> None:
    """300 - 2 x 100 = 100; 500 - 1.5 x 350 < 0 at these prices."""
    known = plan(gain=[[300, 500]], cost=[[100, 350]])
    choice = chosen(known, [1, 0], prices=np.array([0.5, 1.0]), n=5)
    assert choice.order == (1,)
    assert choice.worth.tolist() == [500 - 1.5 * 350, 100]


def test_nothing_is_given_that_is_worth_nothing() -> None:
    choice = chosen(plan(gain=[[100, 200]], cost=[[100, 300]]), [0, 1], n=5)
    assert (choice.order, choice.none, choice.source) == ((), 1.0, "learned")


def test_each_draw_has_the_same_chance() -> None:
    """Of four draws the first offer is best in two, the second in one, and in one neither is worth anything."""
    shift = [[[0, 0]], [[30, 0]], [[0, 90]], [[-90, -90]]]
    known = plan(gain=[[60, 50]], cost=[[0, 0]], shift=shift)
    choice = chosen(known, [0, 1])
    assert (choice.propensity.tolist(), choice.none) == ([0.5, 0.25], 0.25)
    explored = chosen(known, [0, 1], exploration=0.3)
    assert explored.propensity == pytest.approx([0.1 + 0.7 * 0.5, 0.1 + 0.7 * 0.25])
    assert explored.none == pytest.approx(0.1 + 0.7 * 0.25)


def test_only_the_visitors_group_is_drawn() -> None:
    shift = [[[0, 0], [-100, 0]], [[0, 0], [-100, 0]]]
    known = plan(gain=[[60, 50], [60, 50]], cost=[[0, 0]] * 2, shift=shift, group=[0, 1])
    assert [chosen(known, [0, 1], row=row).order for row in (0, 1)] == [(0,), (1,)]


def test_an_offer_that_the_night_does_not_know_stands_where_nothing_known_pays() -> None:
    """The first by the order of the rule; behind what is known where that pays."""
    known = plan(gain=[[60]], cost=[[0]], shift=[[[0]], [[-90]]])
    choice = chosen(known, [-1, 0, -1], n=5)
    assert (choice.propensity.tolist(), choice.none) == ([0.5, 0.5, 0], 0)
    found = {(one.order, one.source) for one in (chosen(known, [-1, 0, -1], seed, n=5) for seed in SEEDS[:50])}
    assert found == {((1, 0, 2), "learned"), ((0, 1, 2), "rule")}


def test_an_offer_that_the_night_did_not_allow_goes_by_its_rule() -> None:
    """What it does to this visitor was not asked; and a draw's shift alone is no reason."""
    known = plan(gain=[[0, 60]], cost=[[0, 0]], shift=[[[90, 0]]], barred=[(0, 0)])
    choice = chosen(known, [0, 1], n=5)
    assert (choice.order, choice.propensity.tolist()) == ((1, 0), [0, 1])
    assert np.isnan(choice.worth[0])


@pytest.mark.parametrize("known", [None, plan(gain=[[9]], cost=[[0]])])
def test_without_a_plan_rules_choose(known: OfferPlan | None) -> None:
    choice = chosen(known, [-1, -1, -1], n=2)
    assert (choice.order, choice.source, choice.none) == ((0, 1), "rule", 0)
    assert np.isnan(choice.worth).all()


def test_a_night_without_offers_knows_none_of_today_s() -> None:
    choice = chosen(plan(gain=np.zeros((1, 0)), cost=np.zeros((1, 0))), [-1, -1], n=2)
    assert (choice.order, choice.source) == ((0, 1), "rule")


def test_nothing_personal_is_not_drawn() -> None:
    assert by_rule(3, 2).order == (0, 1)
    assert by_rule(3, 5, np.array([True, True, False])).order == (0, 2)
    assert (by_rule(0, 2).order, by_rule(0, 2).none) == ((), 1.0)


def test_of_offers_that_stand_alone_an_answer_holds_one() -> None:
    known = plan(gain=[[40, 30, 20, 10]], cost=[[0] * 4])
    alone = np.array([False, True, True, False])
    assert chosen(known, range(4), n=5, alone=alone).order == (0, 1, 3)


def test_no_offer_holds() -> None:
    for known in (None, plan(gain=[[9]], cost=[[0]])):
        choice = chosen(known, [], exploration=0.5, n=3)
        assert (choice.order, choice.none, choice.propensity.tolist()) == ((), 1.0, [])


@given(st.integers(0, 2**32), st.integers(0, 8), st.floats(0, 0.5), st.integers(1, 30))
def test_chances_sum_to_one_and_the_same_seed_chooses_the_same(
    seed: int, offers: int, share: float, draws: int
) -> None:
    rng = np.random.default_rng(seed)
    shift = rng.normal(0, 50, (draws, 1, max(offers, 1)))
    known = plan(gain=rng.normal(50, 100, (1, max(offers, 1))), cost=rng.random((1, max(offers, 1))) * 99, shift=shift)
    columns = np.where(rng.random(offers) < 0.2, -1, np.arange(offers))
    one, other = (chosen(known, columns, seed, exploration=share, n=3) for _ in range(2))
    assert one.propensity.sum() + one.none == pytest.approx(1)
    assert (one.order, one.source) == (other.order, other.source)
    if one.order:
        assert one.propensity[one.order[0]] > 0
    else:
        assert one.none > 0
    assert len(set(one.order)) == len(one.order) <= 3
    assert all(not one.worth[place] <= 0 for place in one.order[1:])


def test_offers_are_chosen_as_often_as_is_told() -> None:
    """Chi-square over 4,000 decisions with seven outcomes."""
    rng = np.random.default_rng(1)
    known = plan(gain=[[60, 50, 40, 10, -20, 5]], cost=[[10] * 6], shift=rng.normal(0, 30, (50, 1, 6)))
    counts = np.zeros(7)
    for seed in SEEDS:
        choice = chosen(known, range(6), seed, exploration=0.2)
        counts[choice.order[0] if choice.order else 6] += 1
    told = np.append(choice.propensity, choice.none)
    assert chisquare(counts, told * len(SEEDS)).pvalue > 0.01


def test_without_doubt_it_is_greedy_but_for_exploration() -> None:
    """Shifts of zero: the best with 1 - e + e / (k + 1), all others and none with e / (k + 1)."""
    known = plan(gain=[[10, 30, 20]], cost=[[0, 0, 0]], shift=np.zeros((20, 1, 3)))
    choice = chosen(known, [0, 1, 2], exploration=0.2)
    assert choice.propensity == pytest.approx([0.05, 0.85, 0.05])
    assert choice.none == pytest.approx(0.05)
    sources = [chosen(known, [0, 1, 2], seed, exploration=0.2).source for seed in SEEDS]
    assert sources.count("explored") / len(sources) == pytest.approx(0.2, abs=4 * (0.2 * 0.8 / len(SEEDS)) ** 0.5)


def test_what_is_not_a_number_is_never_chosen() -> None:
    known = plan(gain=[[np.nan, 5]], cost=[[0, 0]])
    assert chosen(known, [0, 1], n=5).order == (1,)
