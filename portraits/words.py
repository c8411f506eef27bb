"""A portrait in plain sentences, English or Chinese, for a marketer or for the visitor who asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from portraits.errors import InvalidValue
from portraits.history import CATEGORY_SEPARATOR
from portraits.scenes import CHANNELS, UNKNOWN

LANGUAGES = ("en", "zh")
MINOR_DIGITS = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "KWD": 3, "BHD": 3, "OMR": 3, "TND": 3, "JOD": 3}
"""Digits after the point by currency (ISO 4217), where they are not two."""

WEEKDAYS = (
    ("Mondays", "周一"),
    ("Tuesdays", "周二"),
    ("Wednesdays", "周三"),
    ("Thursdays", "周四"),
    ("Fridays", "周五"),
    ("Saturdays", "周六"),
    ("Sundays", "周日"),
)
STAGES = {
    "visitor": ("Has not bought yet.", "尚未购买。"),
    "new": ("A new customer.", "新客。"),
    "active": ("An active customer.", "活跃客户。"),
    "loyal": ("A loyal customer.", "忠诚客户。"),
    "slipping": ("A customer who is slipping away.", "正在流失的客户。"),
    "asleep": ("A customer who has gone to sleep.", "沉睡客户。"),
}
BANDS = {
    "low": ("Buys the cheaper items", "偏好较便宜的商品"),
    "middle": ("Buys items of middle price", "偏好中等价位的商品"),
    "high": ("Buys the dearer items", "偏好较贵的商品"),
}
STRONG = 0.05
"""Share of attention below which a category or brand is not worth a word."""


def in_words(portrait: Mapping[str, Any], currency: str, lang: str = "en") -> list[str]:
    """Sentences about one portrait (a row of `PortraitSet`), most telling first; what is unknown is left out.

    `currency` is the app's ISO 4217 code. Raises InvalidValue for a language other than en and zh.
    """
    if lang not in LANGUAGES:
        raise InvalidValue("lang", lang, "en or zh")
    zh = lang == "zh"
    teller = _Teller(portrait, currency, 1 if zh else 0)
    parts: tuple[Callable[[], str | None], ...] = (
        teller.stage,
        teller.purchases,
        teller.due,
        teller.visits,
        teller.times,
        teller.entrance,
        teller.categories,
        teller.brands,
        teller.price,
    )
    return [sentence for part in parts if (sentence := part())]


def money(minor: float, currency: str) -> str:
    """An amount in minor units as people write it: 123456 CNY is 'CNY 1,234.56'."""
    digits = MINOR_DIGITS.get(currency, 2)
    return f"{currency} {minor / 10**digits:,.{digits}f}"


class _Teller:
    """The sentences of one portrait. `lang` is 0 for English, 1 for Chinese: the place of a text in its pair."""

    def __init__(self, portrait: Mapping[str, Any], currency: str, lang: int) -> None:
        self.portrait = portrait
        self.currency = currency
        self.lang = lang

    def of(self, field: str) -> Any:
        return self.portrait.get(field)

    def say(self, english: str, chinese: str) -> str:
        return (english, chinese)[self.lang]

    def money(self, minor: float) -> str:
        return money(minor, self.currency)

    def stage(self) -> str | None:
        known = STAGES.get(self.of("stage") or "")
        return known[self.lang] if known else None

    def purchases(self) -> str | None:
        orders = self.of("orders")
        if not orders:
            return None
        spend, value = self.money(self.of("spend")), self.money(self.of("order_value"))
        told = self.say(
            f"Ordered {_times(orders)} for {spend} in all, {value} an order",
            f"下单{orders}次，共{spend}，平均每单{value}",
        )
        days = self.of("recency_days")
        if days is not None:
            told += self.say(f"; last {_ago(days)}", f"；最近一次在{days}天前")
        if self.of("refunds"):
            refunded = self.money(self.of("refunded"))
            told += self.say(f"; {refunded} was given back", f"；退款{refunded}")
        return told + self.say(".", "。")

    def due(self) -> str | None:
        gap, due = self.of("order_gap_days"), self.of("due_date")
        if gap is None or due is None or self.of("stage") == "asleep":
            return None
        days = max(round(gap), 1)
        return self.say(
            f"Usually orders every {'day' if days == 1 else f'{days} days'}; the next order is due on {_date(due)}.",
            f"通常每{days}天下单一次，预计下次在{_date(due)}。",
        )

    def visits(self) -> str | None:
        visits, days = self.of("visits"), self.of("active_days")
        if not visits:
            return None
        first, last = _date(self.of("first_seen")), _date(self.of("last_seen"))
        counted = self.say(
            f"{visits} {_plural('visit', visits)} on {days} {_plural('day', days)}",
            f"{days}天来访{visits}次",
        )
        if first == last:
            return self.say(f"{counted}, {first}.", f"{counted}，{first}。")
        return self.say(f"{counted}, from {first} to {last}.", f"{counted}，从{first}到{last}。")

    def times(self) -> str | None:
        hour, weekday = self.of("favourite_hour"), self.of("favourite_weekday")
        if hour is None or weekday is None or (self.of("visits") or 0) < 3:
            return None
        day = WEEKDAYS[weekday - 1][self.lang]
        return self.say(f"Comes most often on {day} and around {hour}:00.", f"最常在{day}、{hour}点左右来。")

    def entrance(self) -> str | None:
        usual, best = self.of("usual_channel"), self.of("best_channel")
        if usual in (None, UNKNOWN):
            return None
        told = self.say(f"Usually comes in by {CHANNELS[usual][0]}", f"通常从{CHANNELS[usual][1]}进入")
        if best is not None and best != usual:
            told += self.say(f"; spends most after {CHANNELS[best][0]}", f"；从{CHANNELS[best][1]}进入时消费最多")
        return told + self.say(".", "。")

    def categories(self) -> str | None:
        named = _strongest(self.of("categories"))
        return self.say(f"Drawn to {', '.join(named)}.", f"偏好品类：{'、'.join(named)}。") if named else None

    def brands(self) -> str | None:
        named = _strongest(self.of("brands"))
        return self.say(f"Brands: {', '.join(named)}.", f"偏好品牌：{'、'.join(named)}。") if named else None

    def price(self) -> str | None:
        band = BANDS.get(self.of("price_band") or "")
        full = self.of("full_price_share")
        parts = [band[self.lang]] if band else []
        if full is not None:
            share = f"{full:.0%}"
            parts.append(self.say(f"{share} of lines at full price", f"{share}按原价购买"))
        return self.say("; ".join(parts) + ".", "；".join(parts) + "。") if parts else None


def _strongest(tastes: Sequence[Mapping[str, Any]] | None, most: int = 3) -> list[str]:
    """The strongest tags with their shares; a category is left out where one below it is strong too."""
    strong = [taste for taste in tastes or () if taste["weight"] >= STRONG]
    paths = [taste["tag"] for taste in strong]
    named = [t for t in strong if not any(path.startswith(t["tag"] + CATEGORY_SEPARATOR) for path in paths)]
    return [f"{taste['tag']} ({taste['weight']:.0%})" for taste in named[:most]]


def _date(moment: date | datetime) -> str:
    return moment.strftime("%Y-%m-%d")


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _ago(days: int) -> str:
    return {0: "today", 1: "1 day ago"}.get(days, f"{days} days ago")


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
