"""One budget for all offers: of which days it is, and what of it the next ones may spend."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from portraits.errors import InvalidValue
from portraits.settings import AppSettings
from recommender.offers.total import total_of

SHANGHAI = ZoneInfo("Asia/Shanghai")
WEEK = {"offer_budget": 7000, "offer_budget_from": "2026-03-02", "offer_budget_until": "2026-03-08"}
WEDNESDAY = datetime(2026, 3, 4, tzinfo=SHANGHAI)


def test_it_begins_and_ends_with_local_days() -> None:
    total = total_of(AppSettings("shop", **WEEK))
    assert total is not None
    assert total.last_day - total.first_day == 6
    first = datetime(2026, 3, 2, tzinfo=SHANGHAI)
    second = timedelta(seconds=1)
    assert [total.in_force(at) for at in (first - second, first)] == [False, True]
    after = datetime(2026, 3, 9, tzinfo=SHANGHAI)
    assert [total.in_force(at) for at in (after - second, after)] == [True, False]


def test_it_says_until_when_it_is_in_force() -> None:
    total = total_of(AppSettings("shop", **WEEK))
    assert total is not None
    assert total.in_words(WEDNESDAY).endswith("is in force until 2026-03-09 00:00 (Asia/Shanghai): claims keep it")
    assert "no budget over all offers is in force" in total.in_words(WEDNESDAY + timedelta(days=5))
    assert "none is in force yet" in total.in_words(WEDNESDAY - timedelta(days=5))


@pytest.mark.parametrize(
    ("spent", "days", "expected"),
    [(0, 5, 7000), (2000, 1, 1000), (2000, 7, 5000), (9000, 7, 0)],
    ids=["all that is left", "a day of five", "more days than are left: all that is left", "overspent"],
)
def test_the_days_left_share_what_is_left(spent: int, days: float, expected: float) -> None:
    total = total_of(AppSettings("shop", **WEEK))
    assert total is not None
    assert total.over(days, spent, WEDNESDAY, 28) == pytest.approx(expected)


def test_without_ends_it_always_counts() -> None:
    assert total_of(AppSettings("shop")) is None
    total = total_of(AppSettings("shop", offer_budget=2800))
    assert total is not None
    assert total.in_force(WEDNESDAY)
    assert total.over(7, 0, WEDNESDAY, 28) == pytest.approx(700)
    assert total.purse(5).ends_us is None
    later = total_of(AppSettings("shop", **WEEK | {"offer_budget_from": "2026-03-05"}))
    assert later is not None
    assert later.over(7, 0, WEDNESDAY, 28) is None


@pytest.mark.parametrize(
    "changed", [{"offer_budget": -1}, {"offer_budget_from": "today"}, {"offer_budget_until": "20260308"}]
)
def test_settings_that_are_none_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        AppSettings("shop", **changed)
