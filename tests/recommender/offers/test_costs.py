"""What an offer costs when it is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recommender.offers.costs import RULE_TRIALS, Cost, per_redemption

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


def test_trials_outweigh_the_rule_as_they_grow() -> None:
    X, rule = np.zeros((2, 1), np.float32), np.array([100.0, 100.0])
    assert Cost.fit(X[:0], np.zeros(0), 0)(X, rule).tolist() == [100, 100]
    some = Cost.fit(np.zeros((10, 1), np.float32), np.full(10, 40.0), 0)
    assert some(X, rule)[0] == pytest.approx((10 * 40 + RULE_TRIALS * 100) / (10 + RULE_TRIALS))


def test_who_redeems_is_learnt_whoever_would_have_bought_anyway() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2)).astype(np.float32)
    cost = 500.0 * (rng.random(500) < np.where(X[:, 0] > 0, 0.8, 0.1))
    told = Cost.fit(X, cost, 0)(np.array([[2, 0], [-2, 0]], np.float32), np.zeros(2))
    assert told[0] > 300
    assert 0 <= told[1] < 150
