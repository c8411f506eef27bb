"""Other budgets over a planted plan: what they earn, how sure that is, and whom they reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from planted_plan import planned

from recommender.offers.allocate import Budgets
from recommender.offers.frontier import by_segment, frontier, reallocate
from recommender.offers.plan_files import OfferPlan

USERS = [f"u{place}" for place in range(10)]
GAINS = [[100.0 * (place + 1)] for place in range(10)]


def made(**changes: Any) -> OfferPlan:
    """Ten visitors of whom the n-th gains n x 100 by an offer that costs 100; each surely comes, and no stranger."""
    arrays, manifest = planned([*GAINS, [0.0]], [[100.0]] * 11, users=USERS, period_days=7, **changes)
    arrays["weight"] = np.array([1.0] * 10 + [0.0], np.float32)
    return OfferPlan.of(arrays, manifest)


def test_the_frontier_by_hand() -> None:
    """With money for n the n greatest gains are given: 900 + 800 + ... less each one's 100."""
    budgets = Budgets([None], 400)
    points = frontier(reallocate(made(), budgets, 7), budgets)
    assert [point.budget for point in points] == [0, 200, 400, 800, None]
    best = [0, 900 + 800, 900 + 800 + 700 + 600, sum(range(200, 1000, 100)), sum(range(100, 1000, 100))]
    assert [round(point.profit) for point in points] == best
    assert [round(point.cost) for point in points] == [0, 200, 400, 800, 900]


def test_without_a_budget_the_same_is_what_it_costs_now() -> None:
    budgets = Budgets([None])
    points = frontier(reallocate(made(), budgets, 7), budgets)
    assert [point.budget for point in points] == [0, pytest.approx(450), pytest.approx(900), pytest.approx(1800), None]
    assert points[2].profit == pytest.approx(points[4].profit)


def test_the_interval_is_of_the_nights_draws() -> None:
    """Two draws: every gain 50 less, or 50 more; of four visitors 200 less or more, between them 5% to 95%."""
    plan = made(shift=[[[-50]], [[50]]])
    point = reallocate(plan, Budgets([None], 400), 7).point(400)
    assert (point.low, point.high) == (pytest.approx(3000 - 180), pytest.approx(3000 + 180))


def test_fewer_come_in_a_shorter_time() -> None:
    arrays, manifest = planned([[300.0], [300.0]], [[100.0], [100.0]], users=["ann"], period_days=7)
    arrays["weight"] = np.array([0.75, 14.0], np.float32)
    found = reallocate(OfferPlan.of(arrays, manifest), Budgets([None]), 3.5)
    assert found.weight.tolist() == [pytest.approx(0.5), pytest.approx(7)]  # 1 - 0.25 ** 0.5; half of the strangers
    assert found.by_offer()[0]["visitors"] == pytest.approx(7.5)
    assert found.chosen_rows()["user_id"].to_pylist() == ["ann"]  # the stranger is nobody


def test_who_is_left_out_is_in_no_row() -> None:
    found = reallocate(made(), Budgets([None], 400), 7, left_out=["u9", "somebody-else"])
    assert found.chosen_rows()["user_id"].to_pylist() == ["u5", "u6", "u7", "u8"]
    assert made().eligible.all()


def test_by_offer_adds_up() -> None:
    found = reallocate(made(), Budgets([400]), 7)
    (row,) = found.by_offer()
    assert (row["visitors"], row["expected_cost"], row["expected_profit"]) == pytest.approx((4, 400, 3000))
    assert 4 <= row["price"] <= 6  # the fifth would earn 500 of 100, the fourth earns 600


def test_segments_by_their_share_of_the_chosen() -> None:
    rows = pa.table(
        {"user_id": ["u1", "u2", "new"], "offer_id": ["o"] * 3, "expected_cost": [1.0, 3.0, 4.0], "weight": [1.0] * 3}
    )
    users = pa.array(["u0", "u1", "u2"])
    inside = {"all": np.ones(3, bool), "two": np.array([False, False, True]), "none": np.zeros(3, bool)}
    assert by_segment(rows, users, inside) == [
        {"segment": "all", "members": 3, "visitors": pytest.approx(2 / 3), "spending": 0.5},
        {"segment": "two", "members": 1, "visitors": pytest.approx(1 / 3), "spending": 3 / 8},
        {"segment": "none", "members": 0, "visitors": 0.0, "spending": 0.0},
    ]
    assert by_segment(rows.slice(0, 0), users, inside)[0]["spending"] == 0.0
