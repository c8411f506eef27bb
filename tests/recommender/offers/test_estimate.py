"""What planted trials let the night expect of each offer and visitor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from portraits.settings import AppSettings
from recommender.offers.estimate import DRAWS, GROUPS, Estimates, Known, estimate
from recommender.offers.trials import Trials

N = 1_200
MARGIN, COST = 3_000.0, 400.0
CATALOGUE: list[dict[str, Any]] = [
    {"offer_id": "old", "kind": "cash", "value": 500},
    {"offer_id": "like", "kind": "cash", "value": 550},
    {"offer_id": "other", "kind": "discount", "value": 2_000, "max_cost": 900},
]
SETTINGS = AppSettings("shop")


def planted() -> tuple[Trials, np.ndarray]:
    """`old` or none by a coin; it moves those with the first feature above 0, and nobody else. And the true lift."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(N, 3)).astype(np.float32)
    action = rng.integers(-1, 1, N).astype(np.int32)
    lift = np.where(X[:, 0] > 0, 0.5, 0.0)
    bought = (rng.random(N) < 0.15 + lift * (action == 0)).astype(float)
    cost = COST * bought * (action == 0)
    yes, no = np.ones(N, bool), np.zeros(N, bool)
    trials = Trials(
        offers=("old",), user_id=[f"u{row:04}" for row in range(N)], at_us=np.arange(N), action=action,
        propensity=np.full(N, 0.5), intended=action, control=no, exposed=action >= 0, bought=bought,
        margin=bought * MARGIN, revenue=bought * 2 * MARGIN, cost=cost, X=X, names=("one", "two", "three"),
        complete=yes,
    )  # fmt: skip
    return trials, lift


def estimated(trials: Trials) -> Estimates:
    known = Known(trials.user_id, trials.X, trials.names)
    return estimate(trials, known, ["like", "old", "other"], CATALOGUE, SETTINGS, newcomer=np.zeros(N, bool))


@pytest.fixture(scope="module")
def found() -> Estimates:
    return estimated(planted()[0])


def test_lift_gain_and_cost_of_a_tried_offer(found: Estimates) -> None:
    lift = planted()[1]
    moved = lift > 0
    told = found.lift[:-1, 1]
    assert spearmanr(told, lift).statistic > 0.7
    assert told[moved].mean() == pytest.approx(0.5, abs=0.2), "drawn to the rule and to use, which expect less"
    assert told[~moved].mean() == pytest.approx(0, abs=0.15)
    assert found.gain[:-1, 1][moved].mean() == pytest.approx(0.5 * MARGIN, rel=0.35)
    assert found.cost[:-1, 1][moved].mean() == pytest.approx(0.65 * COST, rel=0.3), "who buys anyway redeems, too"
    assert found.cost[:-1, 1][~moved].mean() == pytest.approx(0.15 * COST, abs=50)


def test_what_was_not_tried_goes_by_one_like_it_or_by_its_rule(found: Estimates) -> None:
    assert [one["by"] for one in found.account["offers"].values()] == ["alike", "learned", "rule"]
    assert found.account["offers"]["like"]["like"] == "old"
    assert (found.lift[:, 0] == found.lift[:, 1]).all()
    assert (found.gain[:, 2] > 0).all()
    early = [one["too_early_to_tell"] for one in found.account["offers"].values()]
    assert early == [False, False, True]


def test_how_well_held_out_visitors_are_ranked_is_told(found: Estimates) -> None:
    told = found.account["offers"]["old"]["held_out"]
    assert set(told) == {"qini", "auuc", "uplift_at_10%", "uplift_at_30%"}
    value, low, high = told["uplift_at_30%"]
    assert low < 0.5 < high
    assert low <= value <= high
    assert told["qini"][1] > 0


def test_less_is_known_of_what_was_tried_less(found: Estimates) -> None:
    assert found.shift.shape == (DRAWS, GROUPS, 3)
    like, old, other = found.shift.std(axis=0).mean(axis=0)
    assert 0 < old < like
    assert other > 0
    assert found.group.max() < GROUPS


def test_the_stranger_is_the_mean_of_the_visitors(found: Estimates) -> None:
    assert found.gain[-1] == pytest.approx(found.gain[:-1].mean(axis=0), rel=1e-3)
    assert len(found.group) == N + 1


def test_without_trials_all_goes_by_rule() -> None:
    none = planted()[0].where(np.zeros(N, bool))
    trials = replace(none, user_id=[])
    known = Known(["a", "b"], np.zeros((2, 3), np.float32), trials.names)
    told = estimate(trials, known, ["old"], CATALOGUE, SETTINGS, newcomer=np.zeros(2, bool))
    assert told.account["offers"]["old"] | {"average_lift": None} == {
        "trials": 0, "by": "rule", "like": None, "average_lift": None, "too_early_to_tell": True,
        "held_out": None,
    }  # fmt: skip
    assert (told.gain > 0).all()
    assert (told.cost > 0).all()
    assert told.shift.std() > 0, "so that trials begin"


@pytest.mark.law
def test_trials_whose_window_is_open_teach_nothing() -> None:
    trials, _ = planted()
    later = N // 2
    closed = np.arange(N) < later
    upset = replace(trials, complete=closed, bought=np.where(closed, trials.bought, 1 - trials.bought))
    told = estimated(upset)
    assert told.account["trials"]["complete"] == later
    same = replace(trials, complete=closed)
    assert (estimated(same).lift == told.lift).all()


def test_offers_without_a_known_rule_are_told_apart_by_whom_they_move() -> None:
    """A customer file: what moves visitors to both offers is plain, what to one of them less so; no rule says anything
    of them, which is no rule that they do nothing."""
    rng = np.random.default_rng(8)
    size = 4_000
    X = rng.normal(size=(size, 4)).astype(np.float32)
    action = rng.integers(-1, 2, size).astype(np.int32)
    odds = np.stack([np.where(X[:, 0] > 0, 0.9, 0.1), np.where(X[:, 2] > 0, 0.9, 0.1)], axis=1) - 0.5 * X[:, 1:2] - 2
    lift = 1 / (1 + np.exp(-odds)) - 1 / (1 + np.exp(2.0))
    chance = 1 / (1 + np.exp(2.0)) + np.where(action < 0, 0.0, lift[np.arange(size), action])
    bought = (rng.random(size) < chance).astype(float)
    trials = replace(
        planted()[0], offers=("a", "b"), user_id=[f"u{row}" for row in range(size)], at_us=np.arange(size), X=X,
        action=action, propensity=np.full(size, 1 / 3), intended=action, control=np.zeros(size, bool),
        exposed=action >= 0, bought=bought, margin=bought * MARGIN, revenue=bought * MARGIN, cost=np.zeros(size),
        names=tuple("wxyz"), complete=np.ones(size, bool),
    )  # fmt: skip
    known = Known(trials.user_id, X, trials.names)
    told = estimate(trials, known, ["a", "b"], [], SETTINGS, newcomer=np.zeros(size, bool))
    apart = (X[:, 0] > 0) != (X[:, 2] > 0)
    assert np.mean(told.gain[:-1].argmax(axis=1)[apart] == lift.argmax(axis=1)[apart]) > 0.7
