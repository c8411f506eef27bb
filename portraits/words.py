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
KINDS = {"article": ("articles", "文章"), "video": ("videos", "视频"), "live": ("lives", "直播")}
"""Kinds of content that the catalogue may name."""
SURE = 0.5
"""Confidence from which what a visitor turns down is worth a word."""
HUNTER, COOL = 1.3, 0.75
"""Discount sensitivity from which, and up to which, it is worth a word: about a tenth of buyers at either end."""
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
        teller.persona,
        teller.purchases,
        teller.due,
        teller.due_now,
        teller.likely,
        teller.worth,
        teller.visits,
        teller.times,
        teller.entrance,
        teller.places,
        teller.categories,
        teller.brands,
        teller.styles,
        teller.avoided,
        teller.price,
        teller.discounts,
        teller.membership,
        teller.contents,
        teller.friends,
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

    def persona(self) -> str | None:
        name = self.of(self.say("persona_name", "persona_name_zh"))
        return self.say(f"One of the group: {name}.", f"所属人群：{name}。") if name else None

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

    def due_now(self) -> str | None:
        named = [entry["tag"] for entry in (self.of("due") or ())][:3]
        return self.say(f"Due now: {', '.join(named)}.", f"现在该补货：{'、'.join(named)}。") if named else None

    def likely(self) -> str | None:
        told = self.chance("buy_30d")
        if told is None:
            return None
        text = self.say(f"Chance to buy within 30 days: {told}", f"30天内购买的可能性：{told}")
        gone = self.chance("churn") if self.of("churn_days") else None
        if gone is not None:
            days = self.of("churn_days")
            text += self.say(f"; not to order within {days} days: {gone}", f"；{days}天内不再下单：{gone}")
        return text + self.say(".", "。")

    def worth(self) -> str | None:
        value, low, high = (self.of(f"value_90d{side}") for side in ("", "_low", "_high"))
        if value is None:
            return None
        text = self.say(f"Expected to spend {self.money(value)} within 90 days", f"预计90天内消费{self.money(value)}")
        if low is not None and high is not None:
            between = self.say(f"{self.money(low)} to {self.money(high)}", f"{self.money(low)}至{self.money(high)}")
            text += self.say(f" ({between})", f"（{between}）")
        return text + self.say(".", "。")

    def chance(self, field: str) -> str | None:
        p, low, high = (self.of(f"{field}{side}") for side in ("", "_low", "_high"))
        if p is None:
            return None
        least, most = f"{low * 100:.0f}", f"{high * 100:.0f}"
        return self.say(f"{p:.0%} ({least} to {most})", f"{p:.0%}（{least}至{most}）")

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
        told = self.say(f"Comes most often on {day} and around {hour}:00", f"最常在{day}、{hour}点左右来")
        payday = self.of("payday")
        if payday is not None:
            told += self.say(
                f"; orders most after payday, on day {payday} of the month", f"；多在每月{payday}号发薪后下单"
            )
        return told + self.say(".", "。")

    def entrance(self) -> str | None:
        usual, best = self.of("usual_channel"), self.of("best_channel")
        if usual in (None, UNKNOWN):
            return None
        told = self.say(f"Usually comes in by {CHANNELS[usual][0]}", f"通常从{CHANNELS[usual][1]}进入")
        if best is not None and best != usual:
            told += self.say(
                f"; brings most money after {CHANNELS[best][0]}", f"；从{CHANNELS[best][1]}进入时带来的收入最多"
            )
        return told + self.say(".", "。")

    def categories(self) -> str | None:
        named = _strongest(self.of("categories"))
        return self.say(f"Drawn to {', '.join(named)}.", f"偏好品类：{'、'.join(named)}。") if named else None

    def brands(self) -> str | None:
        named = _strongest(self.of("brands"))
        return self.say(f"Brands: {', '.join(named)}.", f"偏好品牌：{'、'.join(named)}。") if named else None

    def styles(self) -> str | None:
        named = _strongest(self.of("styles"))
        return self.say(f"Styles: {', '.join(named)}.", f"偏好风格：{'、'.join(named)}。") if named else None

    def avoided(self) -> str | None:
        entries = [*(self.of("avoided_categories") or ()), *(self.of("avoided_brands") or ())]
        named = [entry["tag"] for entry in entries if entry["confidence"] >= SURE][:3]
        return self.say(f"Passes over {', '.join(named)}.", f"不感兴趣：{'、'.join(named)}。") if named else None

    def price(self) -> str | None:
        band = BANDS.get(self.of("price_band") or "")
        full = self.of("full_price_share")
        parts = [band[self.lang]] if band else []
        if full is not None:
            share = f"{full:.0%}"
            parts.append(self.say(f"{share} of lines at full price", f"{share}按原价购买"))
        return self.say("; ".join(parts) + ".", "；".join(parts) + "。") if parts else None

    def discounts(self) -> str | None:
        moved, claimed = self.of("discount_sensitivity"), self.of("offers_claimed")
        parts = []
        if moved is not None and moved >= HUNTER:
            parts.append(self.say("Takes discounts far more than others", "对优惠非常敏感"))
        if moved is not None and moved <= COOL:
            parts.append(self.say("Hardly moved by discounts", "对优惠不敏感"))
        if claimed:
            used = self.of("offers_redeemed") or 0
            told = self.say(f"{used} of {claimed} offers claimed were redeemed", f"领券{claimed}张，核销{used}张")
            parts.append(told)
        return self.say("; ".join(parts) + ".", "；".join(parts) + "。") if parts else None

    def membership(self) -> str | None:
        tier, days, points = self.of("member_tier"), self.of("member_days"), self.of("points_held")
        if tier is None and days is None:
            return None
        told = self.say(f"A member ({tier})" if tier else "A member", f"会员（{tier}）" if tier else "会员")
        if days is not None:
            told += self.say(f" for {days} {_plural('day', days)}", f"，入会{days}天")
        if points is not None:
            told += self.say(f"; {points:,} {_plural('point', points)} held", f"；持有积分{points:,}")
        if left := self.of("permissions_left"):
            told += self.say(f"; {left} more {_plural('message', left)} may be sent", f"；还可推送{left}条消息")
        return told + self.say(".", "。")

    def places(self) -> str | None:
        stores = self.of("stores")
        if not stores:
            return None
        home, others = stores[0], len(stores) - 1
        told = self.say(
            f"Usual store: {home['store_id']} ({home['visits']} {_plural('visit', home['visits'])}, "
            f"mostly around {home['usual_hour']}:00)",
            f"常去门店：{home['store_id']}（{home['visits']}次，多在{home['usual_hour']}点左右）",
        )
        reach = self.of("store_reach_km")
        if others and reach is not None:
            told += self.say(
                f"; the farthest store visited is {reach:,.0f} km away", f"；最远去过{reach:,.0f}公里外的门店"
            )
        return told + self.say(".", "。")

    def contents(self) -> str | None:
        spend, kind = self.of("content_spend"), KINDS.get(self.of("favourite_content_kind") or "")
        parts = [self.say(f"Opens {kind[0]} most", f"最常看{kind[1]}")] if kind else []
        if spend:
            paid = self.money(spend)
            parts.append(self.say(f"{paid} of orders came by contents", f"由内容带来的消费{paid}"))
        text = self.say("; ", "；").join(parts)
        return text[:1].upper() + text[1:] + self.say(".", "。") if parts else None

    def friends(self) -> str | None:
        reached, paying = self.of("friends_reached"), self.of("paying_friends")
        if not reached:
            return None
        told = self.say(
            f"Shares brought in {reached} {_plural('friend', reached)}, of whom {paying or 'none'} paid",
            f"分享带来{reached}位好友，其中{paying}位付款",
        )
        if paying:
            spend = self.money(self.of("friends_spend"))
            told += self.say(f" ({spend})", f"（共{spend}）")
        return told + self.say(".", "。")


def _strongest(tastes: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """The three strongest tags with their shares; a category is left out where one below it is strong too."""
    strong = [taste for taste in tastes or () if taste["weight"] >= STRONG]
    paths = [taste["tag"] for taste in strong]
    named = [t for t in strong if not any(path.startswith(t["tag"] + CATEGORY_SEPARATOR) for path in paths)]
    return [f"{taste['tag']} ({taste['weight']:.0%})" for taste in named[:3]]


def _date(moment: date | datetime) -> str:
    return moment.strftime("%Y-%m-%d")


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _ago(days: int) -> str:
    return {0: "today", 1: "1 day ago"}.get(days, f"{days} days ago")


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
