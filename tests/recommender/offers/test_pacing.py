"""Prices follow what was spent; a week's budget is spent over the week whatever the traffic, and never exceeded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from pacing_shop import MONDAY, WEEKS, price_for, usual, week

from recommender.offers.pacing import AHEAD_HOURS, STRENGTH, Purse, Purses, admits, prices_now, scheduled

EVEN = [1 / 168] * 168
NOON_WEDNESDAY = MONDAY + timedelta(days=2, hours=12)
START, END = (MONDAY.timestamp() * 1e6, (MONDAY + timedelta(days=7)).timestamp() * 1e6)
ON_COURSE = 60 / 168  # of an even week, by noon of the third day
SLACK = AHEAD_HOURS / 168


def price(plan: float, **columns: Any) -> float:
    purse = Purse(**({"starts_us": START, "ends_us": END} | columns))
    return float(prices_now([plan], Purses.of([purse]), EVEN, NOON_WEDNESDAY)[0])


def admitted(claim: float, **columns: Any) -> bool:
    purse = Purse(**({"starts_us": START, "ends_us": END} | columns))
    return bool(admits([claim], Purses.of([purse]), EVEN, NOON_WEDNESDAY)[0])


def test_on_its_course_the_price_is_the_nights() -> None:
    assert price(0.5, budget=1000, spent=1000 * ON_COURSE) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        (SLACK, 1.5 * STRENGTH - 1),
        (SLACK / 2, 1.5 * STRENGTH**0.5 - 1),
        (0.5, 1.5 * STRENGTH - 1),  # bounded
        (-SLACK / 4, 1.5 * STRENGTH**-0.25 - 1),
        (-SLACK, 0),  # never below what it costs
    ],
)
def test_ahead_of_its_course_it_is_dearer_behind_cheaper(ahead: float, expected: float) -> None:
    assert price(0.5, budget=1000, spent=1000 * (ON_COURSE + ahead)) == pytest.approx(expected)


def test_the_day_has_a_course_too_and_the_worse_counts() -> None:
    """Half of an even day has passed; an eighth of it is what it may be ahead."""
    assert price(0.5, daily_budget=80, spent_today=50) == pytest.approx(1.5 * STRENGTH - 1)
    behind = {"budget": 1000, "spent": 0}
    assert price(0.5, daily_budget=80, spent_today=50, **behind) == pytest.approx(1.5 * STRENGTH - 1)


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
    assert not admitted(10, budget=1000, spent=1000 * (ON_COURSE + SLACK) + 1)  # too far ahead: it waits
    assert not admitted(10, budget=1000, spent=995, ends_us=None)


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
    """Never more ahead than the slack and what is claimed until it is noticed, nearly all by the end, never more."""
    arrivals = WEEKS[name](ARRIVALS)
    lived = week(arrivals, BUDGET, PRICE, paced=True)
    hours = [MONDAY + timedelta(hours=h + 1) for h in range(168)]
    course = np.array([scheduled(np.array([START]), np.array([END]), usual(), hour)[0] for hour in hours])
    noticed = arrivals.max() / 12 * 100 / BUDGET
    assert lived.spent.max() <= 1
    assert (lived.spent - course).max() <= SLACK + noticed
    assert lived.spent[-1] >= 0.95


def test_it_earns_what_a_fixed_price_does_and_more_where_the_week_is_another_than_foreseen() -> None:
    """Not so in a burst that will not come again: a budget that is kept for the week sees less of it."""
    for name, share in (("as foreseen", 0.97), ("festival, twice", 1.1), ("half", 1.1)):
        arrivals = WEEKS[name](ARRIVALS)
        paced = week(arrivals, BUDGET, PRICE, paced=True)
        assert paced.value >= share * week(arrivals, BUDGET, PRICE, paced=False).value, name
        assert paced.value >= 1.1 * week(arrivals, BUDGET, 0.0, paced=False).value, name


def test_fifty_budgets_at_once() -> None:
    purses = Purses.of([Purse(1000, 100, 10 * k, k, START, END) for k in range(50)])
    found = prices_now(np.full(50, 0.2), purses, EVEN, NOON_WEDNESDAY)
    assert found.shape == admits(np.ones(50), purses, EVEN, NOON_WEDNESDAY).shape == (50,)
    assert (np.diff(found) >= 0).all()
    assert Purses.of([]).budget.shape == (0,)
