"""What became of a coupon of WeChat Pay, as events of the contract."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from portraits.checking import Rejection, check
from portraits.errors import InvalidValue
from portraits.history import EVENTS
from serving.wechat.coupons import STATES, coupon_events, payment_events

COUPON = {
    "stock_id": "98065001",
    "coupon_code": "c1",
    "openid": "oV1",
    "coupon_state": "USED",
    "receive_time": "2026-06-01T10:00:00+08:00",
    "use_time": "2026-06-02T10:00:00+08:00",
    "associate_out_trade_no": "order-1",
    "use_request_no": "u1",
}
PAID: dict[str, Any] = {
    "trade_state": "SUCCESS",
    "out_trade_no": "order-1",
    "success_time": "2026-06-02T10:00:00+08:00",
    "payer": {"openid": "oV1"},
    "scene_info": {"store_info": {"id": "s1"}},
    "promotion_detail": [
        {"coupon_id": "c1", "stock_id": "98065001", "amount": 2_000, "type": "CASH", "merchant_contribute": 2_000},
        {"coupon_id": "c2", "stock_id": "7", "amount": 100, "goods_detail": [{"goods_id": "i1", "quantity": 1}]},
    ],
}
OFFERS = {"98065001": "summer-20"}


def kinds(coupon: dict[str, Any]) -> list[tuple[str, datetime]]:
    return [(event["type"], event["ts"]) for event in coupon_events(coupon, OFFERS).events]


def test_a_used_coupon_was_claimed_and_redeemed() -> None:
    claim, redeem = coupon_events(COUPON, OFFERS).events
    named = json.dumps({"claim_id": "c1"})
    about = {"user_id": "oV1", "offer_id": "summer-20", "platform": "wechat", "properties": named}
    begun, used = datetime(2026, 6, 1, 2, tzinfo=UTC), datetime(2026, 6, 2, 2, tzinfo=UTC)
    assert claim == {"event_id": "wechat-c1-offer_claim", "type": "offer_claim", "ts": begun, **about}
    assert redeem == {
        "event_id": "wechat-c1-offer_redeem",
        "type": "offer_redeem",
        "ts": used,
        "order_id": "order-1",
        **about,
    }


def test_a_coupon_given_back_may_be_used_again() -> None:
    back = COUPON | {"coupon_state": "SENDED", "return_time": "2026-06-03T10:00:00+08:00"}
    assert [kind for kind, _ in kinds(back)] == ["offer_claim", "offer_redeem", "offer_return"]


@pytest.mark.parametrize(
    ("state", "field"), [("EXPIRED", "expire_time"), ("DEACTIVATED", "deactivate_time"), ("DELETED", "deactivate_time")]
)
def test_a_coupon_that_ended_ran_out(state: str, field: str) -> None:
    ended = {name: value for name, value in COUPON.items() if name != "use_time"} | {"coupon_state": state}
    assert kinds(ended | {field: "2026-06-09T00:00:00Z"})[1] == ("offer_expire", datetime(2026, 6, 9, tzinfo=UTC))
    told = coupon_events(ended, OFFERS)
    assert [event["type"] for event in told.events] == ["offer_claim"]
    assert set(told.lost) == {field}


def test_an_end_that_is_yet_to_come_is_no_event() -> None:
    held = COUPON | {"coupon_state": "SENDED", "use_time": None, "expire_time": "2026-09-01T00:00:00Z"}
    assert [kind for kind, _ in kinds(held)] == ["offer_claim"]


def test_a_payment_says_which_coupons_it_used_and_what_they_took_off() -> None:
    first, second = payment_events(PAID, OFFERS).events
    assert first["event_id"] == coupon_events(COUPON, OFFERS).events[1]["event_id"]
    assert (first["offer_id"], first["discount"], first["order_id"], first["store_id"]) == (
        "summer-20",
        2_000,
        "order-1",
        "s1",
    )
    assert json.loads(first["properties"]) == {"claim_id": "c1", "type": "CASH", "merchant_contribute": 2_000}
    assert (second["offer_id"], second["item_id"], second["discount"]) == ("7", "i1", 100)


def test_a_payment_that_failed_used_nothing() -> None:
    told = payment_events(PAID | {"trade_state": "NOTPAY"}, OFFERS)
    assert told.events == []
    assert set(told.lost) == {"trade_state"}


def test_events_pass_the_contracts_check() -> None:
    for event in [*coupon_events(COUPON, OFFERS).events, *payment_events(PAID, OFFERS).events]:
        assert not isinstance(check(EVENTS, event | {"ts": event["ts"].isoformat()}), Rejection)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"coupon_state": "GONE"}, "coupon_state"),
        ({"openid": None}, "openid"),
        ({"coupon_code": None}, "coupon_id"),
        ({"stock_id": 7}, "stock_id"),
        ({"use_time": None}, "use_time"),
        ({"receive_time": "yesterday"}, "receive_time"),
    ],
)
def test_a_coupon_that_is_none_is_refused_by_the_name_of_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValue) as wrong:
        coupon_events(COUPON | change, OFFERS)
    assert wrong.value.field == field


def test_every_state_of_the_platform_is_known() -> None:
    ends = dict.fromkeys(("expire_time", "deactivate_time"), "2026-06-09T00:00:00Z")
    for state in STATES:
        assert coupon_events(COUPON | ends | {"coupon_state": state}, OFFERS).lost == {}
