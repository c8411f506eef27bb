"""Names of personas, English and Chinese, made from what sets each apart.

A name is a head, which says where the group stands with the shop (the first of HEADS that is true of it), and the one
or two traits that set it apart most. It stays while it is still true, within some slack, so that a name does not
flicker; no two personas of a night have the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

CLEAR = 0.5
"""Standard deviations from the app's mean at which a trait is worth a word."""
STRIKING = 1.0
"""At which a second trait is named as well."""
SLACK = 0.2
"""By how much (deviations, shares) a name may fail and be kept."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One persona in numbers: shares of its members who bought, who bought more than once and who came only once, and
    the distance of its average from the app's by trait, in standard deviations."""

    buyers: float
    repeats: float
    once: float
    away: Mapping[str, float]


Test = Callable[[Profile, float], bool]
"""(profile, slack) -> whether the head is true of it."""

HEADS: Mapping[str, tuple[str, str, Test]] = {
    "once": ("one-visit guests", "单次到访访客", lambda p, s: p.once >= 0.6 - s and p.buyers < 0.4 + s),
    "gone": (
        "sleeping customers",
        "沉睡客户",
        lambda p, s: p.buyers >= 0.6 - s and p.away["days_since_seen"] >= CLEAR - s,
    ),
    "browsers": ("window shoppers", "浏览型访客", lambda p, s: p.buyers < 0.35 + s / 2),
    "regulars": (
        "loyal regulars",
        "忠实常客",
        lambda p, s: p.repeats >= 0.6 - s and p.away["orders"] >= STRIKING - s,
    ),
    "repeats": ("returning customers", "回头客", lambda p, s: p.repeats >= 0.6 - s),
    "single": ("one-time buyers", "单次买家", lambda p, s: p.buyers >= 0.6 - s and p.repeats < 0.3 + s),
    "some": ("occasional customers", "低频顾客", lambda p, s: p.buyers >= 0.35 - s / 2),
}
"""English and Chinese by code; `browsers` and `some` together hold for everybody."""

NO_SALES: Mapping[str, tuple[str, str, Test]] = {
    "once": HEADS["once"],
    "gone": ("former visitors", "沉寂访客", lambda p, s: p.away["days_since_seen"] >= CLEAR - s),
    "regulars": ("regular visitors", "常客", lambda p, s: p.away["visits"] >= CLEAR - s),
    "some": ("occasional visitors", "低频访客", lambda p, s: p.away["visits"] < CLEAR + s),
}
"""Heads for an app in which nobody buys."""

MODIFIERS: Mapping[str, tuple[str, str, str]] = {
    "visits+": ("frequent", "", "常来"),
    "days_since_seen+": ("long-absent", "", "久未来访"),
    "days_since_seen-": ("recently active", "", "近期活跃"),
    "order_value+": ("big-ticket", "", "客单价高"),
    "order_value-": ("small-ticket", "", "客单价低"),
    "item_views+": ("thorough", "", "浏览细致"),
    "item_views-": ("quick", "", "浏览较少"),
    "content_views+": ("", "who follow the content", "爱看内容"),
    "discount_share+": ("bargain-hunting", "", "爱买特价"),
    "discount_share-": ("full-price", "", "原价购买"),
    "offers_redeemed+": ("coupon-using", "", "爱用优惠券"),
    "price_level+": ("premium", "", "偏好高价商品"),
    "price_level-": ("thrifty", "", "偏好低价商品"),
    "refund_share+": ("", "who send things back", "常退款"),
    "weekend_share+": ("weekend", "", "周末来"),
    "weekend_share-": ("weekday", "", "工作日来"),
    "scan_share+": ("", "by scan", "扫码进店"),
    "share_share+": ("", "brought by friends", "朋友分享来"),
    "shares+": ("", "who share", "爱分享"),
}
"""(words before the head, words after it, Chinese words) by trait and direction."""

ALIKE = (("order_value", "price_level"), ("discount_share", "offers_redeemed"), ("visits", "days_since_seen"))
"""Traits that tell much the same: a name needs one of them."""

IMPLIED = {
    "gone": ("days_since_seen+",),
    "regulars": ("visits+", "days_since_seen-"),
    "once": ("item_views-",),
}
"""What a head says already."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name and the parts that it is made of. number: above 1 where words alone do not tell two personas apart."""

    head: str
    modifiers: tuple[str, ...]
    sales: bool = True
    number: int = 1

    @property
    def en(self) -> str:
        heads, parts = _heads(self.sales), [MODIFIERS[code] for code in self.modifiers]
        before = [part[0] for part in parts if part[0]]
        told = ", ".join(before) + " " + heads[self.head][0] if before else heads[self.head][0]
        after = " and ".join(part[1] for part in parts if part[1])
        return _capital(f"{told} {after}".strip()) + self._numbered

    @property
    def zh(self) -> str:
        told = "、".join(MODIFIERS[code][2] for code in self.modifiers)
        return (f"{told}的" if told else "") + _heads(self.sales)[self.head][1] + self._numbered

    @property
    def _numbered(self) -> str:
        return f" {self.number}" if self.number > 1 else ""


def name_all(profiles: Sequence[Profile], last: Sequence[tuple[str, tuple[str, ...]] | None]) -> list[Name]:
    """A name for each persona, all different. last: (head, modifiers) of the night before, None for a new persona."""
    sales = any(profile.buyers > 0 for profile in profiles)
    names = [
        kept if (kept := _kept(profile, before, sales)) else _name(profile, sales)
        for profile, before in zip(profiles, last, strict=True)
    ]
    new = [n for n, before in enumerate(last) if before is None or (names[n].head, names[n].modifiers) != before]
    old = [n for n in range(len(names)) if n not in new]
    taken: set[str] = set()
    for n in [*old, *new]:
        names[n] = _distinct(names[n], profiles[n], taken)
        taken.add(names[n].en)
    return names


def codes(profile: Profile, head: str, least: float) -> list[str]:
    """Modifiers that are true of a persona, most striking first."""
    ordered = sorted(profile.away.items(), key=lambda trait: (-abs(trait[1]), trait[0]))
    told = [f"{field}{'+' if by > 0 else '-'}" for field, by in ordered if abs(by) >= least]
    return [code for code in told if code in MODIFIERS and code not in IMPLIED.get(head, ())]


def _name(profile: Profile, sales: bool) -> Name:
    head = next(code for code, (_, _, test) in _heads(sales).items() if test(profile, 0.0))
    clear = _one_of_alike(codes(profile, head, CLEAR))
    second = len(clear) > 1 and abs(profile.away[clear[1][:-1]]) >= STRIKING
    return Name(head, tuple(clear[: 2 if second else 1]), sales)


def _kept(profile: Profile, last: tuple[str, tuple[str, ...]] | None, sales: bool) -> Name | None:
    """Last night's name, if it is still true and there is nothing much more striking to say."""
    if last is None or last[0] not in _heads(sales) or not _heads(sales)[last[0]][2](profile, SLACK):
        return None
    head, modifiers = last
    if not set(modifiers) <= set(codes(profile, head, CLEAR - SLACK)):
        return None
    fresh = _name(profile, sales).modifiers
    untold = [abs(profile.away[code[:-1]]) for code in fresh if code not in modifiers]
    told = [abs(profile.away[code[:-1]]) for code in modifiers] or [CLEAR]
    return None if untold and max(untold) > min(told) + 2 * SLACK else Name(head, modifiers, sales)


def _distinct(name: Name, profile: Profile, taken: set[str]) -> Name:
    """`name` with as many further traits as make it the only one."""
    further = [code for code in codes(profile, name.head, 0.0) if code not in name.modifiers]
    for count in range(len(further) + 1):
        longer = replace(name, modifiers=(*name.modifiers, *further[:count]))
        if longer.en not in taken:
            return longer
    numbers = (replace(name, number=number) for number in range(2, len(taken) + 3))
    return next(numbered for numbered in numbers if numbered.en not in taken)


def _one_of_alike(found: list[str]) -> list[str]:
    """The codes without those that follow a stronger one of the same kind."""
    kind = {field: n for n, fields in enumerate(ALIKE) for field in fields}
    firsts: dict[int | str, str] = {}
    for code in found:
        firsts.setdefault(kind.get(code[:-1], code), code)
    return list(firsts.values())


def _heads(sales: bool) -> Mapping[str, tuple[str, str, Test]]:
    return HEADS if sales else NO_SALES


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
