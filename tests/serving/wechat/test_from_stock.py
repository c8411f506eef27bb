"""Stocks of WeChat Pay are read back as the offers they were made of, and what cannot be said is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraits.checking import Rejection, check
from portraits.errors import InvalidValue
from portraits.history import OFFERS
from serving.wechat.from_stock import offer_of
from serving.wechat.to_stock import Issuer, stock_of

CHINA = timezone(timedelta(hours=8))
ISSUER = Issuer("1900000109", CHINA)
BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
NAMES = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x4EFF), min_size=1, max_size=20)
TITLES = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x4EFF), min_size=1, max_size=9)
DAYS = st.sets(st.integers(1, 7).map(str), min_size=1)
HOURS = st.sets(st.integers(0, 23).map(str), min_size=1)


@st.composite
def offers(draw: st.DrawFn) -> dict[str, Any]:
    """Any row that a stock may be made of; half of its fields cannot be said by one kind of stock or the other."""
    kind = draw(st.sampled_from(("cash", "discount", "exchange")))
    value = draw(st.integers(1, 99).map(lambda percent: percent * 100))
    unit = value if kind == "cash" else draw(st.integers(1, 5_000))
    row = {
        "offer_id": "o1",
        "title": draw(TITLES),
        "kind": kind,
        "value": value,
        "starts": BEGIN,
        "ends": BEGIN + timedelta(seconds=draw(st.integers(1, 90 * 86_400))),
        "budget": draw(st.integers(unit, 10**9)),
        "payer": draw(st.sampled_from(("merchant", "platform", "supplier"))),
        **({} if kind == "cash" else {"max_cost": unit}),
    }
    may = {
        "minimum": st.integers(2, 10**6),
        "items": st.lists(NAMES, min_size=1, max_size=3),
        "categories": st.lists(NAMES, min_size=1, max_size=3),
        "stores": st.lists(NAMES, min_size=1, max_size=2),
        "tiers": st.lists(NAMES, min_size=1, max_size=2),
        "days": DAYS.map(lambda days: sorted(days, key=int)),
        "hours": HOURS.map(lambda hours: sorted(hours, key=int)),
        "daily_budget": st.integers(unit, 10**6),
        "per_user_limit": st.integers(1, 60),
        "valid_hours": st.integers(1, 240),
        "stacking": st.sampled_from(("alone", "with_others")),
    }
    for name, values in may.items():
        chosen = draw(st.none() | values)
        if chosen is not None:
            row[name] = chosen
    return row


@given(offers(), st.sampled_from(("favor", "busifavor")))
def test_what_comes_back_differs_only_in_what_was_named(offer: dict[str, Any], kind: str) -> None:
    if kind == "favor" and offer["kind"] != "cash":
        with pytest.raises(InvalidValue, match="cash for a favor stock"):
            stock_of(offer, kind, ISSUER)
        return
    made = stock_of(offer, kind, ISSUER)
    back = offer_of(made.body, max_cost=offer.get("max_cost"))
    for name, every in (("days", 7), ("hours", 24)):
        if len(offer.get(name, ())) == every:
            del offer[name]  # all days are no limit
    differ = {name for name in offer | back.offer if offer.get(name) != back.offer.get(name)}
    assert differ <= set(made.lost)
    assert set(made.lost) - differ <= {"max_cost"}  # it was told again by the caller
    assert back.lost == {}
    told = {**back.offer, "starts": back.offer["starts"].isoformat(), "ends": back.offer["ends"].isoformat()}
    assert not isinstance(check(OFFERS, told), Rejection)


FAVOR = {
    "stock_id": "98065001",
    "stock_name": "满100减20",
    "belong_merchant": "1900000109",
    "available_begin_time": "2026-06-01T00:00:00+08:00",
    "available_end_time": "2026-07-01T00:00:00+08:00",
    "stock_use_rule": {"max_coupons": 500, "max_amount": 1_000_000, "max_coupons_per_user": 3},
    "coupon_use_rule": {
        "fixed_normal_coupon": {"coupon_amount": 2_000, "transaction_minimum": 10_000},
        "combine_use": False,
        "limit_card": {"name": "a bank"},
        "trade_type": ["MICROAPP"],
    },
    "no_cash": True,
    "stock_type": "NORMAL",
}


def test_a_stock_of_the_merchants_own_names_what_an_offer_cannot_say() -> None:
    taken = offer_of(FAVOR)
    assert taken.offer == {
        "offer_id": "98065001",
        "title": "满100减20",
        "kind": "cash",
        "value": 2_000,
        "minimum": 10_000,
        "starts": datetime(2026, 5, 31, 16, tzinfo=UTC),
        "ends": datetime(2026, 6, 30, 16, tzinfo=UTC),
        "budget": 1_000_000,
        "per_user_limit": 3,
        "stacking": "alone",
        "payer": "merchant",
    }
    assert taken.lost == {"coupon_use_rule.limit_card.name": "a bank", "coupon_use_rule.trade_type": ["MICROAPP"]}


def test_the_number_of_discount_coupons_tells_a_budget_only_with_what_one_may_cost() -> None:
    body = {
        "stock_name": "八六折",
        "stock_type": "DISCOUNT",
        "out_request_no": "o2",
        "coupon_use_rule": {
            "coupon_available_time": {
                "available_begin_time": "2026-06-01T00:00:00+08:00",
                "available_end_time": "2026-07-01T00:00:00+08:00",
                "available_day_after_receive": 3,
                "wait_days_after_receive": 1,
                "available_week": {"week_day": [0, 1], "available_day_time": [{"begin_time": 3600, "end_time": 9_000}]},
            },
            "discount_coupon": {"discount_percent": 86, "transaction_minimum": 1},
        },
        "stock_send_rule": {"max_coupons": 100, "max_coupons_per_user": 5, "natural_person_limit": True},
    }
    taken = offer_of(body)
    assert (taken.offer["value"], taken.offer["valid_hours"], taken.offer["days"]) == (1_400, 72, ["1", "7"])
    assert set(taken.lost) == {
        "stock_send_rule.max_coupons",
        "stock_send_rule.natural_person_limit",
        "coupon_use_rule.coupon_available_time.wait_days_after_receive",
        "coupon_use_rule.coupon_available_time.available_week.available_day_time",
    }
    assert "budget" not in taken.offer
    assert offer_of(body, max_cost=1_500).offer["budget"] == 150_000


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"stock_name": "x"}, "stock"),
        ({**FAVOR, "available_begin_time": "soon"}, "available_begin_time"),
        ({**FAVOR, "available_end_time": "2026-07-01T00:00:00"}, "available_end_time"),
        ({**FAVOR, "stock_id": None}, "out_request_no"),
        ({**FAVOR, "coupon_use_rule": {}}, "coupon_use_rule.fixed_normal_coupon.coupon_amount"),
        ({**FAVOR, "stock_use_rule": {"max_coupons": "500"}}, "stock_use_rule.max_coupons"),
    ],
)
def test_a_body_that_is_none_is_refused_by_the_name_of_its_field(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValue) as wrong:
        offer_of(body)
    assert wrong.value.field == field
