"""An offer's rule in words, English and Chinese: what it gives, from what, for what, for whom, when, how often.

The words state the whole rule and nothing about the reader: the same offer reads the same to everyone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from portraits.history import BASIS_POINTS

KINDS = ("cash", "discount", "exchange", "member")
NAMED_CATEGORIES = 3

_DECIMALS = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "BHD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3}
"""Decimals of currencies whose minor unit is not a hundredth (ISO 4217)."""
_SIGNS = {"CNY": "¥", "USD": "$", "EUR": "€", "GBP": "£", "HKD": "HK$"}
_WEEKDAYS = {
    "en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    "zh": ("周一", "周二", "周三", "周四", "周五", "周六", "周日"),
}


def money(amount: int, currency: str) -> str:
    """An amount of minor units as people write it: `money(1250, "CNY") == "¥12.50"`; whole amounts lose the zeros."""
    decimals = _DECIMALS.get(currency, 2)
    whole, rest = divmod(abs(amount), 10**decimals)
    text = f"{whole}.{rest:0{decimals}d}" if rest else str(whole)
    sign = "-" if amount < 0 else ""
    return f"{sign}{_SIGNS[currency]}{text}" if currency in _SIGNS else f"{sign}{text} {currency}"


def moment(value: datetime | str | None) -> datetime | None:
    """An aware time from a catalogue row, which holds a datetime, its RFC 3339 text, or nothing."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def numbers(texts: Iterable[str]) -> set[int]:
    """Weekdays or hours of a catalogue row as numbers; what is none is left out."""
    return {int(text) for text in texts if text.strip().isdecimal()}


def describe(offer: Mapping[str, Any], currency: str, lang: str = "en", zone: tzinfo = UTC) -> str:
    """The rule of an offer (a row of the `offers` table with a known kind and a value) in one sentence."""
    parts = _in_english(offer, currency) if lang == "en" else _in_chinese(offer, currency)
    window = _window(offer, lang)
    if window:
        parts.append(window)
    ends = moment(offer.get("ends"))
    if ends is not None:
        when = ends.astimezone(zone)
        parts.append(f"until {when:%Y-%m-%d %H:%M}" if lang == "en" else f"截至{when:%Y-%m-%d %H:%M}")
    limit = offer.get("per_user_limit")
    if limit is not None:
        parts.append(f"at most {limit} a person" if lang == "en" else f"每人限{limit}次")
    return (", " if lang == "en" else "，").join(parts)


def yours(rule: str, until: datetime | None, lang: str, zone: tzinfo) -> str:
    """What is said of an offer that the visitor has claimed: that it is theirs, until when, and its rule."""
    when = None if until is None else f"{until.astimezone(zone):%Y-%m-%d %H:%M}"
    if lang == "en":
        return f"yours{'' if when is None else f', use it until {when}'}: {rule}"
    return f"已领取{'' if when is None else f'，请在{when}前使用'}：{rule}"


def _in_english(offer: Mapping[str, Any], currency: str) -> list[str]:
    value = offer["value"]
    parts = {
        "cash": lambda: f"{money(value, currency)} off",
        "discount": lambda: f"{min(value, BASIS_POINTS) / 100:g}% off",
        "exchange": lambda: f"yours for {money(value, currency)}",
        "member": lambda: f"{min(value, BASIS_POINTS) / 100:g}% off for members",
    }
    said = [parts[offer["kind"]]()]
    if offer.get("minimum"):
        said.append(f"on orders from {money(offer['minimum'], currency)}")
    scope = []
    if offer.get("categories"):
        scope.append(_few(offer["categories"], ", ", " and more"))
    if offer.get("items"):
        scope.append(_count(len(offer["items"]), "certain product"))
    if scope:
        said.append("for " + " and ".join(scope))
    if offer.get("stores"):
        said.append("in " + _count(len(offer["stores"]), "certain store"))
    if offer.get("tiers"):
        said.append("for members of tier " + ", ".join(offer["tiers"]))
    return said


def _in_chinese(offer: Mapping[str, Any], currency: str) -> list[str]:
    value = offer["value"]
    tenths = f"{(BASIS_POINTS - value) / 1000:g}折" if value < BASIS_POINTS else "免费"
    given = {
        "cash": f"立减{money(value, currency)}",
        "discount": tenths,
        "exchange": f"换购价{money(value, currency)}",
        "member": f"会员{tenths}",
    }[offer["kind"]]
    said = [f"满{money(offer['minimum'], currency)}{given}" if offer.get("minimum") else given]
    scope = []
    if offer.get("categories"):
        scope.append(_few(offer["categories"], "、", "等品类"))
    if offer.get("items"):
        scope.append(f"指定{len(offer['items'])}件商品")
    if scope:
        said.append("适用于" + "及".join(scope))
    if offer.get("stores"):
        said.append(f"限{len(offer['stores'])}家门店")
    if offer.get("tiers"):
        said.append(f"限{'、'.join(offer['tiers'])}会员")
    return said


def _window(offer: Mapping[str, Any], lang: str) -> str:
    """Weekdays and hours, e.g. 'Mon, Tue 9:00-12:00'; '' when it always runs."""
    days = [_WEEKDAYS[lang][day - 1] for day in sorted(numbers(offer.get("days") or ())) if 1 <= day <= 7]
    hours = [f"{first}:00-{last}:00" for first, last in runs(sorted(numbers(offer.get("hours") or ())))]
    comma = ", " if lang == "en" else "、"
    return " ".join(part for part in (comma.join(days), comma.join(hours)) if part)


def runs(hours: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending hours as [first, end) runs: 9, 10, 11, 20 -> (9, 12), (20, 21)."""
    found: list[tuple[int, int]] = []
    for hour in hours:
        if found and found[-1][1] == hour:
            found[-1] = (found[-1][0], hour + 1)
        else:
            found.append((hour, hour + 1))
    return found


def _few(names: Sequence[str], comma: str, more: str) -> str:
    return comma.join(names[:NAMED_CATEGORIES]) + (more if len(names) > NAMED_CATEGORIES else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
