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
        "Usually comes in by scanning a code; brings most money after search.",
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


def test_what_stands_around_the_visitor() -> None:
    around: dict[str, Any] = {
        "stores": [{"store_id": "s1", "visits": 4, "usual_hour": 18}, {"store_id": "s2", "visits": 1, "usual_hour": 9}],
        "store_reach_km": 12.4,
        "content_spend": 5_000,
        "favourite_content_kind": "live",
        "friends_reached": 3,
        "paying_friends": 1,
        "friends_spend": 900,
    }
    assert in_words(around, "CNY") == [
        "Usual store: s1 (4 visits, mostly around 18:00); the farthest store visited is 12 km away.",
        "Opens lives most; CNY 50.00 of orders came by contents.",
        "Shares brought in 3 friends, of whom 1 paid (CNY 9.00).",
    ]
    assert in_words(around, "CNY", "zh") == [
        "常去门店：s1（4次，多在18点左右）；最远去过12公里外的门店。",
        "最常看直播；由内容带来的消费CNY 50.00。",
        "分享带来3位好友，其中1位付款（共CNY 9.00）。",
    ]


def test_little_around_the_visitor() -> None:
    little = {"stores": [{"store_id": "s1", "visits": 1, "usual_hour": 9}], "store_reach_km": 0.0, "content_spend": 100}
    assert in_words(little | {"friends_reached": 1, "paying_friends": 0}, "CNY") == [
        "Usual store: s1 (1 visit, mostly around 9:00).",
        "CNY 1.00 of orders came by contents.",
        "Shares brought in 1 friend, of whom none paid.",
    ]


SHOPPER: dict[str, Any] = {
    "due": [{"tag": "food > tea"}, {"tag": "i07"}],
    "visits": 3,
    "active_days": 1,
    "first_seen": SEEN,
    "last_seen": SEEN,
    "favourite_hour": 9,
    "favourite_weekday": 1,
    "payday": 10,
    "styles": [{"tag": "retro", "weight": 0.4}, {"tag": "soft", "weight": 0.04}],
    "avoided_categories": [{"tag": "toys", "confidence": 0.9}, {"tag": "pets", "confidence": 0.2}],
    "avoided_brands": [{"tag": "Acme", "confidence": 0.6}],
    "discount_sensitivity": 1.5,
    "offers_claimed": 3,
    "offers_redeemed": 1,
    "member_tier": "gold",
    "member_days": 1,
    "points_held": 1_200,
    "permissions_left": 2,
}


def test_what_a_shopper_wants_and_leaves() -> None:
    assert in_words(SHOPPER, "CNY") == [
        "Due now: food > tea, i07.",
        "3 visits on 1 day, 2025-03-01.",
        "Comes most often on Mondays and around 9:00; orders most after payday, on day 10 of the month.",
        "Styles: retro (40%).",
        "Passes over toys, Acme.",
        "Takes discounts far more than others; 1 of 3 offers claimed were redeemed.",
        "A member (gold) for 1 day; 1,200 points held; 2 more messages may be sent.",
    ]
    assert in_words(SHOPPER, "CNY", "zh") == [
        "现在该补货：food > tea、i07。",
        "1天来访3次，2025-03-01。",
        "最常在周一、9点左右来；多在每月10号发薪后下单。",
        "偏好风格：retro (40%)。",
        "不感兴趣：toys、Acme。",
        "对优惠非常敏感；领券3张，核销1张。",
        "会员（gold），入会1天；持有积分1,200；还可推送2条消息。",
    ]


def test_little_of_a_shopper() -> None:
    assert in_words({"discount_sensitivity": 0.5, "offers_claimed": 0}, "CNY") == ["Hardly moved by discounts."]
    assert in_words({"discount_sensitivity": 1.0, "offers_claimed": 0}, "CNY") == []
    assert in_words({"member_days": 400, "permissions_left": 0}, "CNY") == ["A member for 400 days."]
    assert in_words({"member_days": 400}, "CNY", "zh") == ["会员，入会400天。"]


def test_what_is_likely_is_told_with_its_interval() -> None:
    told = {"buy_30d": 0.62, "buy_30d_low": 0.55, "buy_30d_high": 0.7, "value_90d": 5000.0}
    assert in_words(told, "CNY") == [
        "Chance to buy within 30 days: 62% (55 to 70).",
        "Expected to spend CNY 50.00 within 90 days.",
    ]
    told |= {"churn": 0.3, "churn_low": 0.2, "churn_high": 0.4, "churn_days": 90}
    told |= {"value_90d_low": 0.0, "value_90d_high": 9900.0}
    assert in_words(told, "CNY", "zh") == [
        "30天内购买的可能性：62%（55至70）；90天内不再下单：30%（20至40）。",
        "预计90天内消费CNY 50.00（CNY 0.00至CNY 99.00）。",
    ]
