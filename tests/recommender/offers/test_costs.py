"""What an offer costs when it is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recommender.offers.costs import PULL, Costs, per_redemption

ORDERS = np.array([4_000.0, 20_000.0])


@pytest.mark.parametrize(
    ("offer", "expected"),
    [
        ({"kind": "cash", "value": 500}, [500, 500]),
        ({"kind": "discount", "value": 1_500}, [600, 3_000]),
        ({"kind": "discount", "value": 1_500, "max_cost": 1_000}, [600, 1_000]),
        ({"kind": "discount", "value": 1_500, "minimum": 10_000}, [1_500, 3_000]),
        ({"kind": "member", "value": 1_000}, [400, 2_000]),
        ({"kind": "exchange", "value": 1, "max_cost": 700}, [700, 700]),
        ({"kind": None}, [0, 0]),
        (None, [0, 0]),
    ],
)
def test_a_redemption_costs_what_the_rule_says(offer: dict[str, Any] | None, expected: list[float]) -> None:
    assert per_redemption(offer, ORDERS).tolist() == expected


def test_redemptions_outweigh_the_rule_as_they_grow() -> None:
    """A rule says 100 a trial, and a redemption costs 500: 40 of 100 trials, twice what the rule says."""
    X, rule = np.zeros((100, 1), np.float32), np.full((100, 2), 100.0)
    offers = [{"kind": "cash", "value": 500}, {"kind": "cash", "value": 500}]
    nothing = Costs.fit(X[:0], np.zeros(0, np.int64), np.zeros(0), rule[:0, 0], offers, 0)
    assert nothing(X[:1], rule[:1]).tolist() == [[100, 100]]
    cost = np.where(np.arange(100) < 40, 500.0, 0.0)
    usual = (40 + PULL) / (20 + PULL)
    told = Costs.fit(X, np.zeros(100, np.int64), cost, rule[:, 0], offers, 0)(X[:1], rule[:1])
    assert told[0, 0] == pytest.approx(100 * (40 + PULL) / (20 + PULL / usual))
    assert told[0, 1] == pytest.approx(100 * usual), "as the other one, while nothing is known of it"


@pytest.mark.parametrize("rule", [0.0, 200.0])
def test_who_redeems_is_learnt_from_many_trials_or_where_no_rule_says(rule: float) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(700, 2)).astype(np.float32)
    cost = 500.0 * (rng.random(700) < np.where(X[:, 0] > 0, 0.8, 0.1))
    offers = [{"kind": "cash", "value": 500}]
    found = Costs.fit(X, np.zeros(700, np.int64), cost, np.full(700, rule), offers, 0)
    told = found(np.array([[2, 0], [-2, 0]], np.float32), np.full((2, 1), rule))
    assert told[0, 0] > 300
    assert 0 <= told[1, 0] < 150
