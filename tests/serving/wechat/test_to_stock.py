"""Bodies of stocks, written out by hand beside the offers they state, and the platform's limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from portraits.errors import InvalidValue
from serving.wechat.to_stock import Issuer, stock_of

ISSUER = Issuer("1900000109", timezone(timedelta(hours=8)))
CASH: dict[str, Any] = {
    "offer_id": "summer-20",
    "title": "满100减20",
    "kind": "cash",
    "value": 2_000,
    "minimum": 10_000,
    "categories": ["fresh"],
    "starts": datetime(2026, 5, 31, 16, tzinfo=UTC),
    "ends": datetime(2026, 6, 30, 16, tzinfo=UTC),
    "budget": 1_000_000,
    "daily_budget": 100_000,
    "per_user_limit": 1,
    "max_cost": 2_000,
    "stacking": "alone",
    "payer": "merchant",
}


def test_a_cash_coupon() -> None:
    made = stock_of(CASH, "favor", ISSUER)
    assert made.body == {
        "stock_name": "满100减20",
        "belong_merchant": "1900000109",
        "available_begin_time": "2026-06-01T00:00:00+08:00",
        "available_end_time": "2026-07-01T00:00:00+08:00",
        "out_request_no": "summer-20",
        "stock_use_rule": {
            "max_coupons": 500,  # 1,000,000 / 2,000
            "max_amount": 1_000_000,
            "max_amount_by_day": 100_000,
            "max_coupons_per_user": 1,
            "natural_person_limit": False,
            "prevent_api_abuse": True,
        },
        "coupon_use_rule": {
            "fixed_normal_coupon": {"coupon_amount": 2_000, "transaction_minimum": 10_000},
            "available_merchants": ["1900000109"],
            "combine_use": False,
            "goods_tag": ["fresh"],
        },
        "no_cash": True,
        "stock_type": "NORMAL",
    }
    assert made.lost == {}


def test_a_merchant_coupon_of_a_discount() -> None:
    offer = CASH | {
        "kind": "discount",
        "value": 1_400,
        "minimum": None,
        "categories": None,
        "stacking": None,
        "days": ["1", "7"],
        "hours": ["9", "10", "20"],
        "stores": ["s1"],
        "valid_hours": 72,
    }
    made = stock_of(offer, "busifavor", Issuer("1900000109", ISSUER.zone, appid="wx1", path="/pages/coupon"))
    assert made.body["coupon_use_rule"] == {
        "coupon_available_time": {
            "available_begin_time": "2026-06-01T00:00:00+08:00",
            "available_end_time": "2026-07-01T00:00:00+08:00",
            "available_day_after_receive": 3,
            "available_week": {
                "week_day": [1, 0],
                "available_day_time": [
                    {"begin_time": 9 * 3600, "end_time": 11 * 3600 - 1},
                    {"begin_time": 20 * 3600, "end_time": 21 * 3600 - 1},
                ],
            },
        },
        "discount_coupon": {"discount_percent": 86, "transaction_minimum": 1},
        "use_method": "MINI_PROGRAMS",
        "mini_programs_appid": "wx1",
        "mini_programs_path": "/pages/coupon",
    }
    assert made.body["stock_type"] == "DISCOUNT"
    assert made.body["custom_entrance"] == {"store_id": "s1"}
    assert made.body["stock_send_rule"]["max_coupons_by_day"] == 50
    assert set(made.lost) == {"max_cost"}


def test_an_exchange_has_a_price() -> None:
    offer = CASH | {"kind": "exchange", "value": 990, "categories": None, "stacking": None}
    rule = stock_of(offer, "busifavor", ISSUER).body["coupon_use_rule"]
    assert rule["exchange_coupon"] == {"exchange_price": 990, "transaction_minimum": 10_000}
    assert rule["use_method"] == "OFF_LINE"


@pytest.mark.parametrize(
    ("kind", "change", "lost"),
    [
        ("favor", {"tiers": ["gold"], "stores": ["s1"]}, {"tiers", "stores"}),
        ("favor", {"days": ["1"], "hours": ["9"], "valid_hours": 24}, {"days", "hours", "valid_hours"}),
        ("favor", {"items": ["i1"]}, {"categories"}),
        ("favor", {"payer": "platform"}, {"payer"}),
        ("favor", {"budget": 1_000_500}, {"budget"}),
        ("favor", {"per_user_limit": None}, {"per_user_limit"}),
        ("busifavor", {"items": ["i1"]}, {"items", "categories", "stacking"}),
        ("busifavor", {"stores": ["s1", "s2"], "valid_hours": 30}, {"stores", "valid_hours", "categories", "stacking"}),
        ("busifavor", {"hours": ["1", "3", "5"]}, {"hours", "categories", "stacking"}),
    ],
)
def test_what_a_stock_cannot_say_is_named(kind: str, change: dict[str, Any], lost: set[str]) -> None:
    assert set(stock_of(CASH | change, kind, ISSUER).lost) == lost


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        ("voucher", {}, "kind"),
        ("favor", {"kind": "discount"}, "kind"),
        ("busifavor", {"kind": "member"}, "kind"),
        ("favor", {"ends": CASH["starts"] + timedelta(days=91)}, "ends"),
        ("favor", {"ends": None}, "ends"),
        ("favor", {"per_user_limit": 61}, "per_user_limit"),
        ("busifavor", {"per_user_limit": 101}, "per_user_limit"),
        ("favor", {"title": "满" * 10}, "title"),
        ("favor", {"title": "满" * 9 + "100"}, "title"),
        ("favor", {"title": "x" * 21}, "title"),
        ("favor", {"title": "5_off"}, "title"),
        ("busifavor", {"title": "满" * 22}, "title"),
        ("favor", {"budget": None}, "budget"),
        ("favor", {"budget": 1_999}, "budget"),
        ("favor", {"value": 0}, "value"),
        ("favor", {"categories": ["x" * 33]}, "categories"),
        ("busifavor", {"kind": "discount", "value": 1_450}, "value"),
        ("busifavor", {"kind": "discount", "value": 1_400, "max_cost": None}, "max_cost"),
    ],
)
def test_what_the_platform_refuses_is_refused_before(kind: str, change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValue) as wrong:
        stock_of(CASH | change, kind, ISSUER)
    assert wrong.value.field == field


def test_a_merchant_coupon_may_run_longer_and_for_more_a_person() -> None:
    offer = CASH | {"ends": CASH["starts"] + timedelta(days=200), "per_user_limit": 100}
    assert stock_of(offer, "busifavor", ISSUER).body["stock_send_rule"]["max_coupons_per_user"] == 100


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("favor", "微信支付代金券批次"),
        ("favor", "满" * 9 + "10"),
        ("favor", "x" * 20),
        ("busifavor", "满_" * 10 + "减"),
    ],
)
def test_a_name_may_be_as_long_as_the_platform_says(kind: str, title: str) -> None:
    """The first is its own example."""
    made = stock_of(CASH | {"title": title}, kind, ISSUER)
    assert (made.body["stock_name"], "title" in made.lost) == (title, False)
