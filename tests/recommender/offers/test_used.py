"""What offers change as told by their redemptions: planted shares of extra purchases, few trials, many, none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from recommender.offers.trials import Trials
from recommender.offers.used import BELIEFS, EXTRA, MOST_TASTE, TASTE, Used

OFFERS = 4
RATES = np.array([0.05, 0.1, 0.2, 0.4])
BASE, MARGIN, COST = 0.3, 2_000.0, 300.0
UNRULED = np.full(OFFERS, np.nan)


def planted(size: int, extra: float = 0.5, seed: int = 1, lift: NDArray[np.float64] | None = None) -> Trials:
    """Offers are redeemed at RATES; a part `extra` of the redemptions are purchases that were not made without, or as
    many purchases as `lift` says."""
    rng = np.random.default_rng(seed)
    action = rng.integers(-1, OFFERS, size).astype(np.int32)
    rate = np.append(RATES, 0.0)[action]
    taste = rng.gamma(2.0, 0.5, size)
    anyway = rng.random(size) < BASE
    made = extra * rate if lift is None else np.append(lift, 0.0)[action]
    moved = ~anyway & (rng.random(size) < made * taste / (1 - BASE))
    bought = (anyway | moved).astype(np.float64)
    own = COST * (moved | (anyway & (rng.random(size) < (1 - extra) * rate / BASE)))
    told, no = np.ones(size, bool), np.zeros(size, bool)
    X = np.stack([rng.normal(size=size), taste], axis=1).astype(np.float32)
    return Trials(
        offers=tuple("abcd"), user_id=[f"u{row}" for row in range(size)], at_us=np.zeros(size, np.int64),
        action=action, propensity=np.full(size, 1 / (OFFERS + 1)), intended=action, control=no, exposed=action >= 0,
        bought=bought, margin=bought * MARGIN, revenue=bought * MARGIN, cost=own, own_cost=own, X=X,
        names=("noise", TASTE), complete=told,
    )  # fmt: skip


def fitted(trials: Trials, by_rule: NDArray[np.float64] | None = None) -> Used:
    found = Used.fit(trials, trials.action.astype(np.int64), UNRULED if by_rule is None else by_rule)
    assert found is not None
    return found


def test_many_trials_tell_the_part_and_each_offer() -> None:
    found = fitted(planted(200_000))
    assert found.shares == pytest.approx([*(one for one, _ in BELIEFS[:2]), 0.5], abs=0.05)
    assert found.mean == pytest.approx(0.5 * RATES, abs=0.015)
    assert found.margin == pytest.approx(MARGIN, rel=0.01)
    assert found.cost == pytest.approx(COST * RATES, rel=0.05)
    assert (np.diff(found.weight) < 0).all()
    assert found.weight[-1] < 0.01


def test_of_few_trials_offers_are_told_apart_by_their_use() -> None:
    errors = []
    for seed in range(20):
        trials = planted(600, EXTRA, seed)
        none = trials.action < 0
        raw = [trials.bought[trials.action == one].mean() - trials.bought[none].mean() for one in range(OFFERS)]
        found = fitted(trials)
        errors.append([np.abs(np.array(raw) - EXTRA * RATES).mean(), np.abs(found.mean - EXTRA * RATES).mean()])
        assert (found.weight > 0.5).all()
    plain, ours = np.mean(errors, axis=0)
    assert ours < plain / 2


def test_who_takes_discounts_is_moved_more() -> None:
    found = fitted(planted(5_000))
    X = np.array([[0.0, 0.0], [0.0, found.usual], [0.0, 2 * found.usual], [0.0, np.nan]], np.float32)
    lift, gain = found(X)
    assert lift == pytest.approx(np.array([[0.0], [1.0], [2.0], [1.0]]) * found.mean, rel=1e-5)
    assert found(np.array([[0.0, 1e9]], np.float32))[0] == pytest.approx(MOST_TASTE * found.mean[None], rel=1e-5)
    assert gain == pytest.approx(lift * found.margin)
    trials = planted(5_000)
    lift, _ = fitted(replace(trials, names=("noise", "other")))(X)
    assert lift == pytest.approx(np.ones((4, 1)) * found.mean)


def test_where_nothing_can_be_compared_it_says_nothing() -> None:
    trials = planted(500)
    assert Used.fit(replace(trials, own_cost=np.zeros(500)), trials.action.astype(np.int64), UNRULED) is None
    assert Used.fit(trials, np.zeros(500, np.int64), UNRULED) is None
    assert Used.fit(trials, np.full(500, -1), UNRULED) is None
    assert Used.fit(trials.where(np.zeros(500, bool)), np.zeros(0, np.int64), UNRULED) is None


def test_an_offer_that_nobody_was_given_counts_for_nothing_here() -> None:
    trials = planted(2_000)
    found = fitted(trials.where(trials.action != 2))
    assert found.weight[2] == 0
    assert np.isfinite([*found.mean, *found.margin, *found.cost]).all()


def test_where_everybody_buys_nothing_is_changed() -> None:
    trials = planted(400)
    found = fitted(replace(trials, bought=np.ones(400), margin=np.full(400, MARGIN)))
    assert found.shares[-1] == pytest.approx(0, abs=0.01)
    assert np.isfinite([*found.mean, *found.margin, *found.cost, *found.weight]).all()


def test_a_rule_tells_the_deep_from_the_cheap_of_few_trials() -> None:
    """Offers are redeemed the more the cheaper they are, and change the more the deeper: half as much as rules say."""
    truth = np.array([0.12, 0.06, 0.03, 0.015])
    errors = []
    for seed in range(20):
        trials = planted(600, EXTRA, seed, lift=truth)
        ruled, unruled = fitted(trials, 2 * truth), fitted(trials)
        errors.append([np.abs(one.mean - truth).mean() for one in (unruled, ruled)])
        assert np.argmax(ruled.mean) == 0
    assert np.mean(errors, axis=0)[1] < np.mean(errors, axis=0)[0] / 2


def test_many_trials_tell_how_much_rules_are_worth() -> None:
    truth = np.array([0.12, 0.06, 0.03, 0.015])
    trials = planted(400_000, EXTRA, 3, lift=truth)
    found = fitted(trials, 2 * truth)
    assert found.shares[0] * RATES + found.shares[1] * 2 * truth == pytest.approx(truth, abs=0.015)
    assert found.mean == pytest.approx(truth, abs=0.01)


def test_offers_with_and_without_a_rule_stand_side_by_side() -> None:
    found = fitted(planted(200_000), np.array([np.nan, np.nan, 0.1, 0.2]))
    assert found.mean == pytest.approx(0.5 * RATES, abs=0.02)


@pytest.mark.parametrize("lift", [0.1, -0.1])
@pytest.mark.parametrize("redeemed", [0.0, 0.01])
def test_what_is_hardly_redeemed_is_left_to_its_trials(lift: float, redeemed: float) -> None:
    """A message is never redeemed, and moves visitors or drives them away: ten standard errors of 5,000 trials say so,
    and redemptions know nothing of it."""
    trials, rng = planted(25_000, lift=np.array([0.0, 0.03, 0.06, 0.12])), np.random.default_rng(1)
    own = trials.action == 0
    bought, cost = trials.bought.copy(), trials.own_cost.copy()
    bought[own] = rng.random(own.sum()) < BASE + lift
    cost[own] = COST * (rng.random(own.sum()) < redeemed)
    found = fitted(replace(trials, bought=bought, own_cost=cost))
    assert found.weight[0] < 0.2


def test_offers_are_compared_with_none_only_where_they_could_be_had() -> None:
    """Half buy twice as often, and have used up the offer that changes nothing: they are not what it is compared
    with."""
    trials, rng = planted(40_000, lift=np.zeros(OFFERS)), np.random.default_rng(2)
    keen = (rng.random(40_000) < 0.5) & (trials.action != 3)
    could = np.ones((40_000, OFFERS), bool)
    could[keen, 3] = False
    trials = replace(trials, bought=np.where(keen, rng.random(40_000) < 0.6, trials.bought).astype(np.float64))
    found = Used.fit(trials, trials.action.astype(np.int64), UNRULED, could)
    assert found is not None
    assert found.mean[3] == pytest.approx(0.0, abs=0.025)
