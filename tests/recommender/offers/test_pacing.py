"""Prices follow what was spent; a week's budget is spent over the week whatever the traffic, and never exceeded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from pacing_shop import MONDAY, WEEKS, price_for, usual, week

from recommender.offers.pacing import (
    AHEAD_HOURS,
    CHEAPER,
    DEARER,
    LEAST_LEFT,
    MOST,
    Purse,
    Purses,
    admits,
    on_course,
    prices_now,
    scheduled,
)

EVEN = [1 / 168] * 168
NOON_WEDNESDAY = MONDAY + timedelta(days=2, hours=12)
START, END = (MONDAY.timestamp() * 1e6, (MONDAY + timedelta(days=7)).timestamp() * 1e6)
ON_COURSE = 60 / 168  # of an even week, by noon of the third day
SLACK = AHEAD_HOURS / 168


def price(plan: float, **columns: Any) -> float:
    purse = Purse(**({"starts_us": START, "ends_us": END} | columns))
    return float(prices_now([plan], Purses.of([purse]), EVEN, NOON_WEDNESDAY)[0])


def admitted(claim: float, **columns: Any) -> bool:
    return bool(admits([claim], Purses.of([Purse(**columns)]))[0])


def waits(claim: float = 0.0, **columns: Any) -> bool:
    purse = Purse(**({"starts_us": START, "ends_us": END} | columns))
    return not on_course([claim], Purses.of([purse]), EVEN, NOON_WEDNESDAY)[0]


def test_one_claim_of_a_small_budget_hides_no_offer() -> None:
    """Four claims are the whole budget; a claim more than the course foresees is as much as there can be."""
    most = 1000 * (ON_COURSE + SLACK)
    assert waits(spent=most, budget=1000)
    assert not waits(250, spent=most, budget=1000)
    assert waits(250, spent=most + 250, budget=1000)


def rate(night: float, course: float, budget: float, power: float) -> float:
    """1 + price, where so much of the course and of the budget is left."""
    return night * ((course + LEAST_LEFT) / (budget + LEAST_LEFT)) ** power


def test_on_its_course_the_price_is_the_nights() -> None:
    assert price(0.5, budget=1000, spent=1000 * ON_COURSE) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("spent", "expected"),
    [
        (0.5, rate(1.5, 1 - ON_COURSE, 0.5, DEARER) - 1),
        (0.4, rate(1.5, 1 - ON_COURSE, 0.6, DEARER) - 1),
        (0.35, rate(1.5, 1 - ON_COURSE, 0.65, CHEAPER) - 1),
        (1.0, 1.5 * MOST - 1),  # nothing is left: bounded
        (1.2, 1.5 * MOST - 1),
        (0.3, 0),  # never below what it costs
    ],
)
def test_ahead_of_its_course_it_is_dearer_behind_cheaper(spent: float, expected: float) -> None:
    assert price(0.5, budget=1000, spent=1000 * spent) == pytest.approx(expected)


def test_the_day_has_a_course_too_and_the_worse_counts() -> None:
    """Half of an even day has passed, and 5/8 of its budget is spent."""
    dearer = rate(1.5, 0.5, 3 / 8, DEARER) - 1
    assert price(0.5, daily_budget=80, spent_today=50) == pytest.approx(dearer)
    assert price(0.5, daily_budget=80, spent_today=50, budget=1000, spent=0) == pytest.approx(dearer)


def test_without_a_budget_or_an_end_the_nights_price_stays() -> None:
    assert price(0.5) == pytest.approx(0.5)
    assert price(0.5, budget=1000, spent=900, ends_us=None) == pytest.approx(0.5)


def test_a_claim_must_fit_what_is_left() -> None:
    left = {"budget": 1000, "spent": 1000 * ON_COURSE}
    assert admitted(10, **left)
    assert not admitted(700, **left)
    assert admitted(10)
    assert admitted(0, budget=0)
    assert not admitted(1, budget=0)
    assert not admitted(10, daily_budget=100, spent_today=95)
    assert not admitted(10, budget=1000, spent=995, ends_us=None)


def test_what_no_price_holds_back_waits_for_its_course() -> None:
    assert waits(budget=1000, spent=1000 * (ON_COURSE + SLACK) + 1)
    assert not waits(budget=1000, spent=1000 * (ON_COURSE + SLACK) - 1)
    assert waits(daily_budget=80, spent_today=50)
    assert not waits(daily_budget=80, spent_today=49)
    assert waits(daily_budget=80, spent_today=50, budget=1000)
    assert not waits()
    assert not waits(budget=1000, spent=995, ends_us=None)


def test_the_schedule_follows_the_hours_of_the_traffic() -> None:
    """All the traffic of a day between 8 and 10: by 9 half of a day is spent, but for what is spread evenly."""
    pace = np.tile([0.0] * 8 + [1.0] * 2 + [0.0] * 14, 7)
    at_nine = scheduled(np.array([START]), np.array([START + 24 * 3.6e9]), pace, MONDAY + timedelta(hours=9))
    assert at_nine[0] == pytest.approx(0.95 * 0.5 + 0.05 * 9 / 24)
    ends = MONDAY + timedelta(days=7)
    assert scheduled(np.array([START]), np.array([END]), pace, ends)[0] == pytest.approx(1)
    assert scheduled(np.array([START]), np.array([END]), pace, MONDAY - timedelta(hours=1))[0] == 0


def test_it_does_not_matter_in_which_week_or_zone_a_period_lies() -> None:
    later = timedelta(weeks=40)
    us = later.total_seconds() * 1e6
    one, other = (
        scheduled(np.array([START + move]), np.array([END + move]), usual(), NOON_WEDNESDAY + by)
        for move, by in ((0.0, timedelta()), (us, later))
    )
    assert one == pytest.approx(other)


ARRIVALS = usual() * 2.5
BUDGET = 100 * ARRIVALS.sum() / 4
PRICE = price_for(ARRIVALS, BUDGET)


@pytest.mark.parametrize("name", WEEKS)
def test_a_week_is_spent_over_the_week(name: str) -> None:
    """Never more ahead of its course than visitors came before their time, nearly all by the end, never more."""
    arrivals = WEEKS[name](ARRIVALS)
    lived = week(arrivals, BUDGET, PRICE, paced=True)
    hours = [MONDAY + timedelta(hours=h + 1) for h in range(168)]
    course = np.array([scheduled(np.array([START]), np.array([END]), usual(), hour)[0] for hour in hours])
    early = (np.cumsum(arrivals) / max(arrivals.sum(), ARRIVALS.sum()) - course).max()
    assert lived.spent.max() <= 1
    assert (lived.spent - course).max() <= max(early, 0.0) + 0.15
    assert lived.spent[-1] >= 0.95


@pytest.mark.parametrize(("name", "share"), [("as foreseen", 0.95), ("bursty morning", 0.85), ("festival, twice", 0.9)])
def test_it_earns_nearly_what_hindsight_would(name: str, share: float) -> None:
    arrivals = WEEKS[name](ARRIVALS)
    paced = week(arrivals, BUDGET, PRICE, paced=True)
    assert paced.value >= share * paced.best
    assert paced.value >= 1.1 * week(arrivals, BUDGET, 0.0, paced=False).value


def test_it_earns_more_than_a_fixed_price_where_the_week_is_another_than_foreseen() -> None:
    for name in ("festival, twice", "half"):
        arrivals = WEEKS[name](ARRIVALS)
        paced = week(arrivals, BUDGET, PRICE, paced=True)
        assert paced.value >= 1.1 * week(arrivals, BUDGET, PRICE, paced=False).value, name


def test_fifty_budgets_at_once() -> None:
    purses = Purses.of([Purse(1000, 100, 10 * k, k, START, END) for k in range(50)])
    found = prices_now(np.full(50, 0.2), purses, EVEN, NOON_WEDNESDAY)
    assert found.shape == admits(np.ones(50), purses).shape == (50,)
    assert (np.diff(found) >= 0).all()
    assert Purses.of([]).budget.shape == (0,)
