"""WeChat Pay coupons and payments as events of the contract.

A coupon as the platform's queries and notices state it (`stock_id`, `coupon_id` or `coupon_code`, a state, times) tells
what became of it so far: claimed at `receive_time`, redeemed at `use_time`, returned at `return_time`, run out at
`expire_time` (EXPIRED) or taken away at `deactivate_time` (DEACTIVATED, DELETED). A paid transaction tells by
`promotion_detail` which coupons it used and what each took off.

Event ids come from the coupon's id alone, so that the same coupon told twice, in whatever form, is one claim and one
redemption a day; a second telling with other content is quarantined as a conflict. Each names its coupon (`claim_id`
among its properties), which tells two of one order apart. The visitor is the openid.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from portraits.errors import InvalidValue
from serving.wechat.bodies import Body

STATES = ("SENDED", "USED", "EXPIRED", "DELETED", "DEACTIVATED")
"""As the platform spells them."""
_ENDED = {"EXPIRED": "expire_time", "DELETED": "deactivate_time", "DEACTIVATED": "deactivate_time"}


class Told(NamedTuple):
    """Events as the importer takes them, and what could not be told: field -> why."""

    events: list[dict[str, Any]]
    lost: dict[str, str]


def coupon_events(coupon: Mapping[str, Any], offers: Mapping[str, str]) -> Told:
    """What became of one coupon. `offers`: stock_id -> offer_id; a stock not in it is an offer of that id.

    Raises InvalidValue for a state the platform has not, and for a missing id, holder or time.
    """
    given = Body(coupon)
    state = given.text("coupon_state") or given.text("status") or given.text("state")
    if state not in STATES:
        raise InvalidValue("coupon_state", state, f"one of {', '.join(STATES)}")
    code = given.text("coupon_code") or given.text("coupon_id")
    stock, holder = _needed(given, "stock_id"), given.text("openid")
    if not code or not holder:
        name = "openid" if code else "coupon_id"
        raise InvalidValue(name, None, "the coupon's id" if name == "coupon_id" else "the holder of the coupon")
    about = {"user_id": holder, "offer_id": offers.get(stock, stock), "platform": "wechat"}
    order = given.text("associate_out_trade_no")
    used = {"order_id": order} if order else {}
    lost, times = (
        {},
        {
            "offer_claim": given.time("receive_time"),
            "offer_redeem": given.time("use_time"),
            "offer_return": given.time("return_time"),
            "offer_expire": given.time(_ENDED[state]) if state in _ENDED else None,
        },
    )
    if state == "USED" and times["offer_redeem"] is None:
        raise InvalidValue("use_time", None, "when a coupon that is USED was used")
    if state in _ENDED and times["offer_expire"] is None:
        lost[_ENDED[state]] = f"not given: when the coupon became {state} is not known, so no event says it"
    events = [
        _event(kind, code, when, about | (used if kind in ("offer_redeem", "offer_return") else {}))
        for kind, when in times.items()
        if when is not None
    ]
    return Told(events, lost)


def payment_events(transaction: Mapping[str, Any], offers: Mapping[str, str]) -> Told:
    """One redemption for each coupon that a paid transaction used; none, and said so, for one that is not paid."""
    given = Body(transaction)
    state = given.text("trade_state")
    if state != "SUCCESS":
        return Told([], {"trade_state": f"{state}: only a SUCCESS used its coupons"})
    about = {
        "user_id": _needed(given, "payer.openid"),
        "order_id": _needed(given, "out_trade_no"),
        "platform": "wechat",
    }
    store = given.text("scene_info.store_info.id")
    when = given.time("success_time")
    if when is None:
        raise InvalidValue("success_time", None, "when the transaction was paid")
    told = about | ({"store_id": store} if store else {})
    used = given.pop("promotion_detail") or []
    if not isinstance(used, list):
        raise InvalidValue("promotion_detail", used, "a list")
    return Told([event for one in used for event in _redeemed(one, told, when, offers)], {})


def _redeemed(
    used: Mapping[str, Any], about: Mapping[str, Any], when: datetime, offers: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    given = Body(used)
    stock, code = _needed(given, "stock_id"), _needed(given, "coupon_id")
    goods = given.pop("goods_detail") or []
    if not isinstance(goods, list) or not all(isinstance(each, Mapping) for each in goods):
        raise InvalidValue("promotion_detail.goods_detail", goods, "a list of JSON objects")
    one = {"item_id": str(goods[0]["goods_id"])} if len(goods) == 1 and goods[0].get("goods_id") else {}
    saved = {"discount": given.whole("amount", 0)}
    names = ("scope", "type", "wechatpay_contribute", "merchant_contribute", "other_contribute")
    kept = {name: used[name] for name in names if used.get(name) is not None}
    yield _event("offer_redeem", code, when, {**about, "offer_id": offers.get(stock, stock), **one, **saved}, kept)


def _event(
    kind: str, code: str, when: datetime, about: Mapping[str, Any], kept: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    properties = json.dumps({"claim_id": code, **(kept or {})}, sort_keys=True)
    return {"event_id": f"wechat-{code}-{kind}", "type": kind, "ts": when, **about, "properties": properties}


def _needed(given: Body, path: str) -> str:
    text = given.text(path)
    if not text:
        raise InvalidValue(path, text, "text that is not empty")
    return text
