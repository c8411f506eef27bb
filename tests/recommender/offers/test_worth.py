"""Whether the chance to buy tells money better than money does."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.effects.choice import choose
from recommender.offers.trials import Trials
from recommender.offers.worth import Worth, held_out

N = 800


def judged(*, larger_orders: bool) -> Worth:
    """An offer that makes some buy (of orders that differ a lot), or one that makes who buys anyway buy more."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(N, 2)).astype(np.float32)
    action = rng.integers(-1, 1, N)
    given, moved = action == 0, X[:, 0] > 0
    chance = 0.5 if larger_orders else 0.2 + 0.5 * (given & moved)
    bought = (rng.random(N) < chance).astype(float)
    margin = bought * (1_000 + 2_000 * (given & moved)) if larger_orders else bought * rng.lognormal(7, 1.3, N)
    yes, at = np.ones(N, bool), np.arange(N)
    trials = Trials(
        offers=("off",), user_id=[str(n) for n in at], at_us=at, action=action.astype(np.int32),
        propensity=np.full(N, 0.5), intended=action.astype(np.int32), control=~yes, exposed=given, bought=bought,
        margin=margin, revenue=margin, cost=np.zeros(N), X=X, names=("a", "b"), complete=yes,
    )  # fmt: skip
    lift = choose(X, action, trials.propensity, bought, 1, 0)
    alike = lambda rows: np.full(len(rows), 100.0)  # noqa: E731
    prior = lambda rows: np.zeros((len(rows), 1))  # noqa: E731
    return held_out(trials, action.astype(np.int64), lift, prior, margin=alike, unit=at, offers=1, seed=0)


@pytest.mark.parametrize("larger_orders", [False, True])
def test_lift_tells_money_unless_orders_grow(larger_orders: bool) -> None:
    worth = judged(larger_orders=larger_orders)
    assert worth.two_part is not larger_orders
    assert worth.account["judged_by"] == pytest.approx(N / 2, rel=0.2)


def test_a_lift_is_worth_the_margin_of_a_purchase() -> None:
    worth = judged(larger_orders=False)
    lift = np.array([[0.1], [0.2]])
    X = np.zeros((2, 2), np.float32)
    assert worth.gain(X, lift) == pytest.approx(lift * worth.margin(X)[:, None])
    assert worth.spread(lift) == pytest.approx(lift * worth.usual)
    assert worth.usual == pytest.approx(np.exp(7 + 1.3**2 / 2), rel=0.3), "the mean of what was drawn"


def test_who_could_not_have_an_offer_does_not_judge_it() -> None:
    """Who could not have it buys three times as often, which no feature says: beside them it would keep visitors from
    buying, of whom it makes one more in ten buy."""
    rng, size = np.random.default_rng(6), 6_000
    keen = rng.random(size) < 0.5
    action = np.where(keen, -1, rng.integers(-1, 1, size))
    bought = (rng.random(size) < np.where(keen, 0.6, 0.2 + 0.1 * (action == 0))).astype(float)
    margin, yes, at = bought * 1_000.0, np.ones(size, bool), np.arange(size)
    trials = Trials(
        offers=("off",), user_id=[str(n) for n in at], at_us=at, action=action.astype(np.int32),
        propensity=np.where(keen, 1.0, 0.5), intended=action.astype(np.int32), control=~yes, exposed=action == 0,
        bought=bought, margin=margin, revenue=margin, cost=np.zeros(size), X=rng.normal(size=(size, 2)).astype("f4"),
        names=("a", "b"), complete=yes,
    )  # fmt: skip
    lift = choose(trials.X, action, trials.propensity, bought, 1, 0, could=~keen[:, None])
    found = held_out(
        trials, action, lift, lambda rows: np.zeros((len(rows), 1)), margin=lambda rows: np.full(len(rows), 100.0),
        unit=at, offers=1, seed=0, could=~keen[:, None],
    )  # fmt: skip
    assert found.account["curves"][0]["auuc"][0] == pytest.approx(0.05, abs=0.03), "half the average effect"
