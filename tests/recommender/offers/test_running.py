"""What of a plan's days an offer runs for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from recommender.offers.allocate import Budgets, allocate
from recommender.offers.running import chances, running, shares, while_running

NOW = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)


def test_the_days_on_which_it_runs() -> None:
    offers = [{}, {"ends": NOW + DAY}, {"starts": NOW + 5 * DAY, "ends": NOW + 9 * DAY}, {"ends": NOW - DAY}]
    assert [running(one, NOW, 7) for one in offers] == [7, 1, 2, 0]
    assert running(offers[2], NOW) == 4
    assert shares(offers, NOW, 7).tolist() == pytest.approx([1, 1 / 7, 2 / 7, 0])


def test_who_surely_comes_in_a_week_comes_less_surely_in_a_day() -> None:
    found = chances(np.array([1 - 0.5**7, 0.0, 14.0]), 1 / 7)
    assert found.tolist() == pytest.approx([0.5, 0.0, 2.0]), "strangers are a number"


def test_an_offer_of_one_day_is_spent_by_those_who_come_that_day() -> None:
    """1,000 visitors come each day with a chance of a half: 500 of them tomorrow, so that 500 coupons of 1 are enough
    for all, though 992 come within the week."""
    weight = np.append(np.full(1_000, 1 - 0.5**7), 0.0)
    gain, cost = np.full((1_001, 1), 3.0, np.float32), np.ones((1_001, 1), np.float32)
    assert while_running((gain,), weight, np.ones(1))[0] is gain
    gain, cost = while_running((gain, cost), weight, np.array([1 / 7]))
    found = allocate(gain, cost, np.ones((1_001, 1), bool), weight, Budgets([500.5]))
    assert found.spent[0] == pytest.approx(500, abs=0.1)
    assert found.value == pytest.approx(1_000, abs=0.2)
    assert found.prices[0] == pytest.approx(0, abs=1e-6)
