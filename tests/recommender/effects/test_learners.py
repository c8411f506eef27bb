"""Every learner on planted effects, on hardly any rows, and twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from planted_effects import OFFERS, Planted, planted
from scipy.stats import spearmanr

from portraits.errors import InvalidValue
from recommender.effects.learners import LEARNERS
from recommender.effects.rows import NONE

EVERY = pytest.mark.parametrize("name", sorted(LEARNERS))


@pytest.fixture(scope="module")
def fair() -> Planted:
    return planted(8_000, 0)


@pytest.fixture(scope="module")
def new() -> Planted:
    return planted(5_000, 1)


@pytest.fixture(scope="module")
def learnt(fair: Planted, new: Planted) -> dict[str, Any]:
    return {name: LEARNERS[name]().fit(*fair.given, seed=0).effects(new.X) for name in LEARNERS}


@EVERY
def test_finds_who_is_moved_by_what(learnt: dict[str, Any], new: Planted, name: str) -> None:
    found = learnt[name]
    assert found.shape == new.effects.shape
    for offer in range(OFFERS):
        assert spearmanr(found[:, offer], new.effects[:, offer])[0] > 0.3
    assert new.value(found) > 0.75
    assert new.error(found) < 1.05


@EVERY
def test_sleeping_dogs_are_let_lie(learnt: dict[str, Any], new: Planted, name: str) -> None:
    chased = new.X[:, 3] < 0
    assert learnt[name][chased, 0].mean() < learnt[name][~chased, 0].mean() - 0.001


@EVERY
def test_money(new: Planted, name: str) -> None:
    money = planted(6_000, 2, money=True)
    found = LEARNERS[name]().fit(*money.given, seed=0).effects(new.X)
    assert new.value(found) > 0.55


@EVERY
def test_the_same_seed_the_same_arrays(fair: Planted, new: Planted, name: str) -> None:
    few = tuple(array[:1_000] for array in fair.given)
    first, second = (LEARNERS[name]().fit(*few, seed=3).effects(new.X) for _ in range(2))
    assert np.array_equal(first, second)


@EVERY
@pytest.mark.parametrize("rows", [0, 5, 40])
def test_hardly_any_rows(fair: Planted, name: str, rows: int) -> None:
    few = tuple(array[:rows] for array in fair.given)
    found = LEARNERS[name]().fit(*few, seed=0, offers=OFFERS).effects(fair.X[:7])
    assert found.shape == (7, OFFERS)
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 0.3


@EVERY
@pytest.mark.parametrize("kept", [0, 5])
def test_an_offer_of_few_rows_is_taken_as_the_others(fair: Planted, name: str, kept: int) -> None:
    """Offers 0 and 1 as planted, a third that always sells but was hardly ever shown."""
    X, action, propensity, outcome = (array[:3_000] for array in fair.given)
    rare = np.flatnonzero(action == 2)
    outcome = np.where(action == 2, 1.0, outcome)
    left = np.setdiff1d(np.arange(3_000), rare[kept:])
    found = LEARNERS[name]().fit(X[left], action[left], propensity[left], outcome[left], seed=0, offers=3).effects(X)
    assert np.ptp(found[:, 2]) == 0
    assert abs(found[0, 2]) < 0.25


@EVERY
def test_nothing_ever_bought(fair: Planted, name: str) -> None:
    X, action, propensity, outcome = fair.given
    found = LEARNERS[name]().fit(X[:2_000], action[:2_000], propensity[:2_000], 0 * outcome[:2_000], seed=0)
    assert found.effects(X[:9]).tolist() == [[0.0] * OFFERS] * 9


@EVERY
def test_features_that_say_nothing_leave_the_average(fair: Planted, name: str) -> None:
    _, action, propensity, outcome = (array[:4_000] for array in fair.given)
    same = np.ones((len(action), 2), np.float32)
    same[:, 1] = np.nan
    found = LEARNERS[name]().fit(same, action, propensity, outcome, seed=0).effects(same[:2])
    assert found[0] == pytest.approx(fair.effects.mean(axis=0), abs=0.04)


@EVERY
def test_one_offer_one_visitor_no_features(fair: Planted, name: str) -> None:
    _, action, propensity, outcome = (array[:2_000] for array in fair.given)
    one = np.where(action == NONE, NONE, 0)
    nothing, whose = np.zeros((2_000, 0), np.float32), np.zeros(2_000)
    found = LEARNERS[name]().fit(nothing, one, propensity, outcome, seed=0, unit=whose).effects(nothing[:1])
    assert found.shape == (1, 1)
    assert abs(found[0, 0]) < 0.1


def test_the_eager_got_the_offers() -> None:
    """Who buys anyway was given the offers: a plain comparison takes habit for effect, learners do not; DR, which
    knows by what chance each was given, least."""
    odd, new = planted(8_000, 3, confounded=0.6), planted(5_000, 4)
    none = odd.action == NONE
    naive = [odd.outcome[odd.action == offer].mean() - odd.outcome[none].mean() for offer in range(OFFERS)]
    truth = new.effects.mean(axis=0)
    assert np.min(naive - truth) > 0.05
    known = LEARNERS["dr"]().fit(*odd.given, seed=0).effects(new.X)
    assert np.abs(known.mean(axis=0) - truth).max() < 0.03
    guessed = LEARNERS["dr"]().fit(odd.X, odd.action, np.full(8_000, np.nan), odd.outcome, seed=0).effects(new.X)
    assert np.abs(guessed.mean(axis=0) - truth).max() < 0.04
    assert new.value(guessed) > 0.7


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"propensity": np.array([0.5, 0.0])}, "propensity"),
        ({"propensity": np.array([0.5, 1.5])}, "propensity"),
        ({"outcome": np.array([1.0, np.nan])}, "outcome"),
        ({"outcome": np.ones(3)}, "outcome"),
        ({"action": np.array([-2, 0])}, "action"),
        ({"action": np.array([7, 0])}, "action"),
    ],
)
def test_what_cannot_be(wrong: dict[str, Any], said: str) -> None:
    right = {"X": np.zeros((2, 1)), "action": np.array([-1, 0]), "propensity": np.full(2, 0.5), "outcome": np.ones(2)}
    with pytest.raises(InvalidValue, match=said):
        LEARNERS["s"]().fit(**(right | wrong), seed=0, offers=2)
