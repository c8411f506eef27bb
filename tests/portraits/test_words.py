from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from portraits.errors import InvalidValue
from portraits.words import in_words, money

SEEN = datetime(2025, 3, 1, 9, tzinfo=UTC)
BUYER: dict[str, Any] = {
    "stage": "loyal",
    "orders": 3,
    "spend": 123_400,
    "order_value": 41_133.33,
    "recency_days": 5,
    "refunds": 1,
    "refunded": 400,
    "order_gap_days": 14.0,
    "due_date": date(2025, 4, 1),
    "visits": 9,
    "active_days": 7,
    "first_seen": SEEN,
    "last_seen": datetime(2025, 3, 20, tzinfo=UTC),
    "favourite_hour": 20,
    "favourite_weekday": 6,
    "usual_channel": "scan",
    "best_channel": "search",
    "categories": [
        {"tag": "food", "weight": 0.9},
        {"tag": "food > tea", "weight": 0.6},
        {"tag": "toys", "weight": 0.1},
        {"tag": "pets", "weight": 0.01},
    ],
    "brands": [{"tag": "月山", "weight": 0.5}],
    "price_band": "high",
    "full_price_share": 0.75,
}


def test_english() -> None:
    assert in_words(BUYER, "CNY") == [
        "A loyal customer.",
        "Ordered 3 times for CNY 1,234.00 in all, CNY 411.33 an order; last 5 days ago; CNY 4.00 was given back.",
        "Usually orders every 14 days; the next order is due on 2025-04-01.",
        "9 visits on 7 days, from 2025-03-01 to 2025-03-20.",
        "Comes most often on Saturdays and around 20:00.",
        "Usually comes in by scanning a code; spends most after search.",
        "Drawn to food > tea (60%), toys (10%).",
        "Brands: 月山 (50%).",
        "Buys the dearer items; 75% of lines at full price.",
    ]


def test_chinese() -> None:
    told = in_words(BUYER, "CNY", "zh")
    assert told[:2] == ["忠诚客户。", "下单3次，共CNY 1,234.00，平均每单CNY 411.33；最近一次在5天前；退款CNY 4.00。"]
    assert len(told) == 9


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_unknown_is_left_out(lang: str) -> None:
    assert in_words({}, "CNY", lang) == []
    visitor = {"stage": "visitor", "orders": 0, "visits": 1, "active_days": 1, "first_seen": SEEN, "last_seen": SEEN}
    assert len(in_words(visitor, "CNY", lang)) == 2
    assert in_words({"usual_channel": "unknown"}, "CNY", lang) == []


def test_counting_in_english() -> None:
    once = {"orders": 1, "spend": 5, "order_value": 5.0, "recency_days": 0, "refunds": 0}
    assert in_words(once, "JPY") == ["Ordered once for JPY 5 in all, JPY 5 an order; last today."]


def test_a_rhythm_is_told_of_those_who_still_come() -> None:
    due = {"order_gap_days": 1.0, "due_date": date(2025, 4, 1)}
    assert in_words(due, "CNY") == ["Usually orders every day; the next order is due on 2025-04-01."]
    assert in_words(due | {"stage": "asleep"}, "CNY") == ["A customer who has gone to sleep."]


def test_another_language_is_refused() -> None:
    with pytest.raises(InvalidValue, match="lang"):
        in_words(BUYER, "CNY", "fr")


@pytest.mark.parametrize(
    ("minor", "currency", "expected"),
    [(5, "CNY", "CNY 0.05"), (123_456, "CNY", "CNY 1,234.56"), (1_500, "JPY", "JPY 1,500"), (1, "KWD", "KWD 0.001")],
)
def test_money(minor: int, currency: str, expected: str) -> None:
    assert money(minor, currency) == expected
