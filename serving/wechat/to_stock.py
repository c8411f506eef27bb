"""An offer as the body that creates a stock of WeChat Pay coupons.

Two kinds: `favor` (cash coupons, POST /v3/marketing/favor/coupon-stocks: kind cash alone) and `busifavor` (merchant
coupons, POST /v3/marketing/busifavor/stocks: cash, discount and exchange). Fields are those of the platform's API v3
(favor chapter 9_1_1, busifavor chapter 9_2_1). What a stock cannot say is named in `lost`, never dropped in silence:
`offer_of(stock_of(offer).body)` (from_stock) differs from the offer in the fields named there and in no other. Four
ways of saying the same are read as one: no minimum is a minimum of one fen (the platform's least), a cash offer needs
no max_cost, who pays for a merchant coupon or one without pre-charge is the merchant, and all seven days or 24 hours
are none.

A budget becomes a number of coupons, each at the most it may cost (cash: its value, else max_cost), rounded down.
`available_day_after_receive` counts calendar days from the one of the claim, so that 24 hours end at midnight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, NamedTuple

from portraits.errors import InvalidValue
from recommender.offers.wording import moment, numbers
from serving.wechat.bodies import week_of

KINDS = ("favor", "busifavor")
PER_USER = {"favor": 60, "busifavor": 100}
NAME = {"favor": 20, "busifavor": 21}
"""Most characters of a stock's name (pay.weixin.qq.com/doc/v3/merchant/4012534633, favor: string(20), at most 9 Chinese
characters or 20 letters; .../merchant-exclusive-coupon/apilist.html, busifavor: 21, each character counts one)."""
MOST_WIDE, NOT_IN_NAME = 9, "_,;|"
"""Of a favor stock's name alone: Chinese characters at most, and characters that it may not hold. Of a mixed name the
platform does not speak: we let a Chinese character take two of the letters' places."""
GOODS_NAME, GOODS_TAG, PERIODS = 15, 32, 2
MOST_MONEY, MOST_COUPONS = 10_000_000, 1_000_000_000
FAVOR_DAYS = 90
TYPES = {"cash": "NORMAL", "discount": "DISCOUNT", "exchange": "EXCHANGE"}
_NOT_SAID = {
    "favor": {"stores": "stores", "tiers": "membership tiers", "days": "days", "hours": "hours", "valid_hours": "it"},
    "busifavor": {"items": "items", "categories": "categories", "tiers": "membership tiers", "stacking": "stacking"},
}
_VALID = "a claim of a favor stock is valid until the stock ends"


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who creates the stock: `merchant` number, `zone` of its times, the stock's `name` if not the offer's title, and
    the mini program a merchant coupon is used in (none: in a shop)."""

    merchant: str
    zone: tzinfo = UTC
    name: str | None = None
    appid: str | None = None
    path: str | None = None


class Stock(NamedTuple):
    """The body, and what it does not say: field of the offer -> why."""

    body: dict[str, Any]
    lost: dict[str, str]


def stock_of(offer: Mapping[str, Any], kind: str, issuer: Issuer) -> Stock:
    """The body of a stock for a row of the offers table.

    Raises InvalidValue naming the field that no coupon of that kind can have: another kind of offer, no budget, no
    start or end, a range, a limit or a name beyond the platform's.
    """
    if kind not in KINDS:
        raise InvalidValue("kind", kind, " or ".join(KINDS))
    writing = _Writing(offer, kind, issuer)
    return Stock(writing.favor() if kind == "favor" else writing.busifavor(), writing.lost)


@dataclass
class _Writing:
    offer: Mapping[str, Any]
    kind: str
    issuer: Issuer
    lost: dict[str, str] = field(default_factory=dict)

    def favor(self) -> dict[str, Any]:
        offer = self.offer
        self._expect_kind("cash")
        begins, ends = self._window(FAVOR_DAYS)
        self._name_what_is_not_said()
        coupons = self._coupons("budget")
        daily = offer.get("daily_budget")
        if offer.get("payer") not in (None, "merchant"):
            self.lost["payer"] = f"who pre-charges the money is not said to be {offer['payer']}"
        rule = {
            "fixed_normal_coupon": {"coupon_amount": self._value(1), "transaction_minimum": self._minimum(1)},
            "available_merchants": [self.issuer.merchant],
            **({"combine_use": offer["stacking"] == "with_others"} if offer.get("stacking") else {}),
            **self._goods(),
        }
        return {
            **self._head(begins=begins, ends=ends),
            "stock_use_rule": {
                "max_coupons": coupons,
                "max_amount": coupons * offer["value"],
                **({} if daily is None else {"max_amount_by_day": self._at_least_one("daily_budget", daily)}),
                **self._send_limits(),
            },
            "coupon_use_rule": rule,
            "no_cash": "payer" not in self.lost,
            "stock_type": "NORMAL",
        }

    def busifavor(self) -> dict[str, Any]:
        offer, issuer = self.offer, self.issuer
        self._expect_kind(*TYPES)
        begins, ends = self._window(None)
        self._name_what_is_not_said()
        if offer["kind"] != "cash":
            self.lost["max_cost"] = "one coupon may cost more; its number of coupons reckons with that"
        if offer.get("payer") not in (None, "merchant"):
            self.lost["payer"] = "the merchant pays for a merchant coupon"
        send = {"max_coupons": self._coupons("budget"), **self._send_limits()}
        if offer.get("daily_budget") is not None:
            send["max_coupons_by_day"] = self._coupons("daily_budget")
        use = {"use_method": "MINI_PROGRAMS" if issuer.appid else "OFF_LINE"}
        if issuer.appid:
            use |= {"mini_programs_appid": issuer.appid, "mini_programs_path": issuer.path or ""}
        body = {
            **self._head(),
            "goods_name": self._name()[:GOODS_NAME],
            "stock_type": TYPES[offer["kind"]],
            "coupon_use_rule": {
                "coupon_available_time": {
                    "available_begin_time": begins,
                    "available_end_time": ends,
                    **self._claim_lasts(),
                    **self._week(),
                },
                **self._gives(),
                **use,
            },
            "stock_send_rule": send,
            "coupon_code_mode": "WECHATPAY_MODE",
        }
        stores = list(offer.get("stores") or ())
        if len(stores) == 1:
            body["custom_entrance"] = {"store_id": stores[0]}
        elif stores:
            self.lost["stores"] = f"{len(stores)} stores; the platform takes one"
        return body

    def _head(self, begins: str | None = None, ends: str | None = None) -> dict[str, Any]:
        window = {"available_begin_time": begins, "available_end_time": ends} if begins else {}
        named = {"stock_name": self._name(), "belong_merchant": self.issuer.merchant, **window}
        return {**named, "out_request_no": self.offer["offer_id"]}

    def _name(self) -> str:
        name = str(self.issuer.name or self.offer.get("title") or self.offer["offer_id"])
        wide = sum(not one.isascii() for one in name) if self.kind == "favor" else 0
        if len(name) + wide > NAME[self.kind] or wide > MOST_WIDE:
            most = f"at most {NAME[self.kind]} characters"
            if self.kind == "favor":
                most += f", of them at most {MOST_WIDE} Chinese, which count double"
            raise InvalidValue("title", name, f"{most}, as a stock's name; give a shorter one")
        if self.kind == "favor" and any(one in NOT_IN_NAME for one in name):
            raise InvalidValue("title", name, f"a stock's name without any of {' '.join(NOT_IN_NAME)}; give another")
        if name != self.offer.get("title"):
            self.lost["title"] = f"the stock is called {name!r}"
        return name

    def _expect_kind(self, *kinds: str) -> None:
        if self.offer.get("kind") not in kinds:
            raise InvalidValue("kind", self.offer.get("kind"), f"{', '.join(kinds)} for a {self.kind} stock")

    def _name_what_is_not_said(self) -> None:
        for name, what in _NOT_SAID[self.kind].items():
            if self.offer.get(name) and not _always(name, self.offer[name]):
                self.lost[name] = f"a {self.kind} stock has no limit to {what}" if what != "it" else _VALID
        limit = self.offer.get("max_cost")
        if self.offer["kind"] == "cash" and limit is not None and limit < self._value(1):
            self.lost["max_cost"] = f"a coupon of {self.offer['value']} costs that much"

    def _window(self, most_days: int | None) -> tuple[str, str]:
        starts, ends = self._moment("starts"), self._moment("ends")
        if ends <= starts:
            raise InvalidValue("ends", ends.isoformat(), "a time after starts")
        if most_days and ends - starts > timedelta(days=most_days):
            raise InvalidValue("ends", ends.isoformat(), f"within {most_days} days of starts")
        return starts.astimezone(self.issuer.zone).isoformat(), ends.astimezone(self.issuer.zone).isoformat()

    def _moment(self, name: str) -> datetime:
        when = moment(self.offer.get(name))
        if when is None:
            raise InvalidValue(name, None, "a time: a stock begins and ends")
        return when

    def _value(self, least: int) -> int:
        value = self.offer.get("value")
        if value is None or not least <= value <= MOST_MONEY:
            raise InvalidValue("value", value, f"{least} to {MOST_MONEY} fen")
        return int(value)

    def _minimum(self, least: int) -> int:
        minimum = max(self.offer.get("minimum") or 0, least)
        if minimum > MOST_MONEY:
            raise InvalidValue("minimum", minimum, f"at most {MOST_MONEY} fen")
        return int(minimum)

    def _unit(self) -> int:
        """The most one coupon may cost."""
        if self.offer["kind"] == "cash":
            return self._value(1)
        if not self.offer.get("max_cost"):
            raise InvalidValue("max_cost", self.offer.get("max_cost"), "1 or more: a budget is said in coupons")
        return int(self.offer["max_cost"])

    def _coupons(self, name: str) -> int:
        """How many whole coupons a budget pays for."""
        budget, unit = self.offer.get(name), self._unit()
        if budget is None:
            raise InvalidValue(name, None, "an amount: a stock has a number of coupons")
        count = self._at_least_one(name, budget) // unit
        if count > MOST_COUPONS:
            raise InvalidValue(name, budget, f"at most {MOST_COUPONS} coupons of {unit}")
        if count * unit != budget:
            self.lost[name] = f"{count} coupons of {unit} come to {count * unit}, not to {budget}"
        return int(count)

    def _at_least_one(self, name: str, amount: int) -> int:
        if amount < self._unit():
            raise InvalidValue(name, amount, f"{self._unit()} or more, what one coupon may cost")
        return amount

    def _send_limits(self) -> dict[str, Any]:
        limit, most = self.offer.get("per_user_limit"), PER_USER[self.kind]
        if limit is None:
            self.lost["per_user_limit"] = f"none was given; the platform's most is {most}"
            limit = most
        if not 1 <= limit <= most:
            raise InvalidValue("per_user_limit", limit, f"1 to {most} for a {self.kind} stock")
        return {"max_coupons_per_user": limit, "natural_person_limit": False, "prevent_api_abuse": True}

    def _goods(self) -> dict[str, list[str]]:
        """Items as goods; categories as tags that an order's `goods_tag` has to carry. The platform wants both where
        both are given, an offer either: then the items alone are said, which is the narrower."""
        items, categories = self.offer.get("items") or [], self.offer.get("categories") or []
        for category in categories:
            if len(category) > GOODS_TAG:
                raise InvalidValue("categories", category, f"at most {GOODS_TAG} characters, as an order's goods_tag")
        if items and categories:
            self.lost["categories"] = "a favor stock is for items or for categories"
            categories = []
        told = {"available_items": list(items), "goods_tag": list(categories)}
        return {name: values for name, values in told.items() if values}

    def _gives(self) -> dict[str, Any]:
        offer = self.offer
        if offer["kind"] == "cash":
            what = {"discount_amount": self._value(1), "transaction_minimum": self._minimum(1)}
            return {"fixed_normal_coupon": what}
        if offer["kind"] == "exchange":
            what = {"exchange_price": self._value(0), "transaction_minimum": self._minimum(0)}
            return {"exchange_coupon": what}
        value = offer.get("value")
        if value is None or value % 100 or not 100 <= value <= 9_900:
            raise InvalidValue("value", value, "whole percents, 100 to 9900 basis points, for a discount_percent")
        what = {"discount_percent": 100 - value // 100, "transaction_minimum": self._minimum(1)}
        return {"discount_coupon": what}

    def _claim_lasts(self) -> dict[str, int]:
        hours = self.offer.get("valid_hours")
        if hours is None:
            return {}
        if hours % 24:
            self.lost["valid_hours"] = f"{-(-hours // 24)} days of the platform for {hours} hours"
        return {"available_day_after_receive": -(-hours // 24)}

    def _week(self) -> dict[str, Any]:
        days, hours = numbers(self.offer.get("days") or ()), numbers(self.offer.get("hours") or ())
        week, told = week_of(days, hours, PERIODS)
        if not told:
            self.lost["hours"] = f"the platform takes {PERIODS} periods of a day"
        return {"available_week": week} if week else {}


def _always(name: str, values: object) -> bool:
    """Whether days or hours leave nothing out."""
    return isinstance(values, list) and len(numbers(values)) == {"days": 7, "hours": 24}.get(name)
