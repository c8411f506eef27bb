"""The offer that the body of a WeChat Pay coupon stock states: the way back of `to_stock`.

What an offer cannot say (certain cards or payments, other merchants, irregular times) is named in `lost` with its
value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from portraits.errors import InvalidValue
from serving.wechat.bodies import Body, hours_of
from serving.wechat.to_stock import TYPES

_PLATFORM = (
    "stock_type belong_merchant comment goods_name no_cash coupon_code_mode subsidy pattern_info display_pattern_info "
    "custom_entrance notify_config stock_use_rule.prevent_api_abuse stock_send_rule.prevent_api_abuse "
    "coupon_use_rule.use_method coupon_use_rule.mini_programs_appid coupon_use_rule.mini_programs_path stock_id"
).split()
"""Fields about how the platform shows and books a coupon: they are no part of an offer's rule."""


class Taken(NamedTuple):
    """A row of the offers table, and what it does not say: field of the body -> its value."""

    offer: dict[str, Any]
    lost: dict[str, Any]


def offer_of(body: Mapping[str, Any], *, offer_id: str | None = None, max_cost: int | None = None) -> Taken:
    """The offer that a stock's body states. `offer_id`: none given, the body's request number or stock_id. `max_cost`:
    what one coupon of a discount or an exchange may cost; without it the number of coupons tells no budget.

    Raises InvalidValue naming the field that is missing or not of its type.
    """
    given = Body(body)
    favor, busifavor = given.has("stock_use_rule"), given.has("stock_send_rule")
    if favor == busifavor:
        raise InvalidValue("stock", sorted(body)[:5], "a body with stock_use_rule (favor) or stock_send_rule")
    name = offer_id or given.text("out_request_no") or given.text("stock_id")
    if not name:
        raise InvalidValue("out_request_no", None, "a request number or stock_id, or an offer_id to call it by")
    given.text("out_request_no")
    offer = {"offer_id": name, "title": given.text("stock_name"), "payer": "merchant"}
    offer |= _from_favor(given) if favor else _from_busifavor(given, max_cost)
    lost = {path: value for path, value in given.left().items() if not path.startswith(tuple(_PLATFORM))}
    return Taken({key: value for key, value in offer.items() if value is not None}, lost)


def _from_favor(given: Body) -> dict[str, Any]:
    coupon = "coupon_use_rule.fixed_normal_coupon"
    value, combine = given.whole(f"{coupon}.coupon_amount", 1), given.pop("coupon_use_rule.combine_use")
    if given.pop("coupon_use_rule.available_merchants") not in (None, [given.get("belong_merchant")]):
        given.keep("coupon_use_rule.available_merchants")
    budget, coupons = given.maybe("stock_use_rule.max_amount"), given.maybe("stock_use_rule.max_coupons")
    return {
        "kind": "cash",
        "value": value,
        "minimum": _minimum(given.maybe(f"{coupon}.transaction_minimum")),
        "items": given.texts("coupon_use_rule.available_items"),
        "categories": given.texts("coupon_use_rule.goods_tag"),
        "starts": given.time("available_begin_time"),
        "ends": given.time("available_end_time"),
        "budget": budget if budget is not None or coupons is None else coupons * value,
        "daily_budget": given.maybe("stock_use_rule.max_amount_by_day"),
        "per_user_limit": given.maybe("stock_use_rule.max_coupons_per_user"),
        "stacking": None if combine is None else "with_others" if combine else "alone",
        **({"payer": None} if given.get("no_cash") is False else {}),
    }


def _from_busifavor(given: Body, max_cost: int | None) -> dict[str, Any]:
    kind = next((kind for kind, name in TYPES.items() if name == given.get("stock_type")), None)
    if kind is None:
        raise InvalidValue("stock_type", given.get("stock_type"), f"one of {', '.join(TYPES.values())}")
    path, least = {
        "cash": ("fixed_normal_coupon.discount_amount", 1),
        "discount": ("discount_coupon.discount_percent", 1),
        "exchange": ("exchange_coupon.exchange_price", 0),
    }[kind]
    value = given.whole(f"coupon_use_rule.{path}", least)
    if kind == "discount":
        value = (100 - value) * 100
    minimum = given.maybe(f"coupon_use_rule.{path.partition('.')[0]}.transaction_minimum")
    when = "coupon_use_rule.coupon_available_time"
    lasts = given.maybe(f"{when}.available_day_after_receive")
    days, hours = hours_of(given, f"{when}.available_week")
    store = given.text("custom_entrance.store_id")
    unit = value if kind == "cash" else max_cost
    budgets = {}
    for name, field_ in (("budget", "max_coupons"), ("daily_budget", "max_coupons_by_day")):
        count = given.maybe(f"stock_send_rule.{field_}")
        budgets[name] = None if count is None or unit is None else count * unit
        if count is not None and unit is None:
            given.keep(f"stock_send_rule.{field_}")
    return {
        "kind": kind,
        "value": value,
        "minimum": _minimum(minimum),
        "stores": [store] if store else None,
        "days": days,
        "hours": hours,
        "starts": given.time(f"{when}.available_begin_time"),
        "ends": given.time(f"{when}.available_end_time"),
        **budgets,
        "per_user_limit": given.maybe("stock_send_rule.max_coupons_per_user"),
        "valid_hours": lasts * 24 if lasts else None,
        "max_cost": max_cost if kind != "cash" else None,
    }


def _minimum(amount: int | None) -> int | None:
    return amount if amount is not None and amount > 1 else None
