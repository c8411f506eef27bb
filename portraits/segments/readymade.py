"""Segments that every app has from the first night on, as rules like any other.

A rule is written in the same grammar as a marketer's, so it can be read, copied and refined, or named inside another.
One whose fields an app's portraits do not have (no predictions yet) is simply not there for that app.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LANGUAGES = ("en", "zh")
BUYS = {"type": "purchase"}
COMES = {"type": ["launch", "page_view", "item_view", "content_view", "search", "cart", "store_enter", "purchase"]}
INTEREST = {"type": ["item_view", "search", "cart", "favorite"]}


@dataclass(frozen=True, slots=True)
class ReadyMade:
    """A segment of the house. `titles` by language; `use` says what a marketer does with it."""

    name: str
    titles: Mapping[str, str]
    rule: Mapping[str, Any]
    use: Mapping[str, str]


def _field(name: str, op: str, value: Any = None) -> dict[str, Any]:
    return {"field": name, "op": op} | ({} if value is None else {"value": value})


def _within(window: int, what: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"did": dict(what), "within_days": window, **more}


def _and_no_purchase(days: int, *parts: Mapping[str, Any]) -> dict[str, Any]:
    """What a night said of a customer, until the next purchase. Of the last 2 days: the night may be of yesterday."""
    return {"and": [*parts, {"not": _within(days, BUYS)}]}


def _one(name: str, title: tuple[str, str], rule: Mapping[str, Any], use: tuple[str, str]) -> ReadyMade:
    """Texts are pairs: English, Chinese."""
    return ReadyMade(name, dict(zip(LANGUAGES, title, strict=True)), rule, dict(zip(LANGUAGES, use, strict=True)))


_ALL = (
    _one(
        "newcomers",
        ("Newcomers: first seen within 7 days", "新访客：7天内首次到访"),
        {
            "or": [
                _field("first_seen", "within_days", 7),
                {"and": [_field("actions", "=", 0), _within(7, COMES)]},  # who first came since the night
            ]
        },
        ("Greet them and show what sells best.", "欢迎新客，展示热销商品。"),
    ),
    _one(
        "new-customers",
        ("New customers: first purchase within 30 days", "新客：30天内首次购买"),
        {"first": BUYS, "within_days": 30},
        ("Win the second order while the first is fresh.", "趁热促成第二单。"),
    ),
    _one(
        "one-time-buyers",
        ("Bought once, more than 30 days ago", "一次性买家：仅购买一次，且已超过30天"),
        {"and": [_field("order_days", "=", 1), {"not": _within(30, BUYS)}]},
        ("A reason to come back.", "提供回购理由。"),
    ),
    _one(
        "loyal",
        ("Loyal customers", "忠诚客户"),
        _field("stage", "=", "loyal"),
        ("Thank them; ask them to bring friends.", "答谢并邀请分享。"),
    ),
    _one(
        "best-customers",
        ("Best customers: recent, frequent and valuable", "高价值活跃客户：近期、高频、高消费"),
        {
            "and": [
                _field("recency_class", ">=", 4),
                _field("frequency_class", ">=", 4),
                _field("money_class", ">=", 4),
            ]
        },
        ("Service before discounts.", "重服务，少打折。"),
    ),
    _one(
        "slipping",
        ("Slipping away: late by more than two of their own gaps", "正在流失：超过自身购买间隔两倍未购买"),
        _and_no_purchase(2, _field("stage", "=", "slipping")),
        ("Call them back before they sleep.", "在沉睡前召回。"),
    ),
    _one(
        "about-to-churn",
        ("About to churn: likely to leave, and worth keeping", "即将流失：流失概率高且有价值"),
        _and_no_purchase(
            2, _field("churn", ">=", 0.5), _field("orders", ">=", 2), {"not": _field("stage", "=", "asleep")}
        ),
        ("An offer that pays for itself.", "用能回本的优惠挽留。"),
    ),
    _one(
        "asleep-high-value",
        ("High value, asleep", "沉睡高价值客户"),
        _and_no_purchase(2, _field("stage", "=", "asleep"), _field("money_class", ">=", 4)),
        ("The dearest customers to lose: a personal word.", "流失代价最高的客户：个性化召回。"),
    ),
    _one(
        "lapsed",
        ("Lapsed: a customer once, asleep now", "已沉睡客户"),
        _and_no_purchase(2, _field("stage", "=", "asleep")),
        ("The last, cheapest try.", "低成本的最后一次召回。"),
    ),
    _one(
        "lapsed-members",
        ("Lapsed members: a membership tier, no purchase for 90 days", "沉睡会员：有会员等级但90天未购买"),
        {"and": [_field("member_tier", "known"), {"not": _within(90, BUYS)}]},
        ("Remind them of points and benefits.", "提醒积分与权益。"),
    ),
    _one(
        "due-now",
        ("Due: the next order is due within 7 days by their own rhythm", "到期复购：按自身节奏7天内应再次购买"),
        _and_no_purchase(1, _field("due_date", "next_days", 7)),  # who buys daily is due again tomorrow
        ("A reminder on the right day needs no discount.", "在恰当的日子提醒，无需折扣。"),
    ),
    _one(
        "likely-buyers",
        ("Likely to buy within 30 days", "30天内可能购买"),
        _field("buy_30d", ">=", 0.5),
        ("They buy anyway: no discount here.", "本来就会购买：不必打折。"),
    ),
    _one(
        "discount-hunters",
        ("Discount hunters: seldom at full price", "折扣敏感：很少按原价购买"),
        {"and": [_field("orders", ">=", 2), _field("full_price_share", "<=", 0.25)]},
        ("Clear stock with them; keep new goods for others.", "适合清库存，新品留给他人。"),
    ),
    _one(
        "full-price-buyers",
        ("Full price: hardly ever with a discount", "原价买家：几乎不用折扣"),
        {"and": [_field("orders", ">=", 2), _field("full_price_share", ">=", 0.9)]},
        ("Never teach them to wait for a coupon.", "不要让他们养成等券的习惯。"),
    ),
    _one(
        "cart-abandoners",
        ("Left in the cart: carted within 3 days, no purchase in them", "加购未买：3天内加购但未购买"),
        {"and": [_within(3, {"type": "cart"}), {"not": _within(3, BUYS)}]},
        ("Bring the cart back before it is forgotten.", "及时唤回购物车。"),
    ),
    _one(
        "window-shoppers",
        ("Window shoppers: look often, never bought", "只逛不买：常浏览但从未购买"),
        {
            "and": [
                _field("orders", "=", 0),
                {"not": {"did": BUYS}},  # a first order since the night, too
                _within(30, INTEREST, times={"op": ">=", "value": 5}),
            ]
        },
        ("Find out what keeps them from the first order.", "弄清是什么阻碍首单。"),
    ),
    _one(
        "searched-in-vain",
        ("Searched twice or more within 14 days, bought nothing", "多次搜索未购买：14天内搜索两次以上且无购买"),
        {"and": [_within(14, {"type": "search"}, times={"op": ">=", "value": 2}), {"not": _within(14, BUYS)}]},
        ("What did they not find?", "他们没找到什么？"),
    ),
    _one(
        "key-sharers",
        ("Key sharers: friends whom they brought have paid", "关键分享者：带来的好友已付费"),
        _field("paying_friends", ">=", 1),
        ("Thank the people who sell for you.", "感谢为你带货的人。"),
    ),
    _one(
        "sharers",
        ("Sharers: shared something within 30 days", "分享达人：30天内有分享"),
        _within(30, {"type": "share"}),
        ("Give them something worth sharing.", "给他们值得分享的内容。"),
    ),
    _one(
        "store-regulars",
        ("Store regulars: in a store on 3 days or more within 30 days", "门店常客：30天内到店3天及以上"),
        _within(30, {"type": "store_enter"}, days={"op": ">=", "value": 3}),
        ("News of their own store.", "推送常去门店的消息。"),
    ),
    _one(
        "content-led-buyers",
        ("Content-led: bought within a day of reading or watching", "内容带动购买：看内容后一天内购买"),
        {"sequence": [{"type": "content_view"}, BUYS], "within_days": 60, "gap_days": 1},
        ("Show the next article or live first.", "优先推送新内容与直播。"),
    ),
    _one(
        "refunders",
        ("Refunds: got back a third of their spend or more", "高退款：退款达消费额三分之一以上"),
        {"and": [_field("orders", ">=", 2), _field("refund_share", ">=", 0.33)]},
        ("Look at what disappoints them.", "了解不满意的原因。"),
    ),
    _one(
        "group-buyers",
        ("Group buyers: joined or opened a group buy within 60 days", "拼团用户：60天内参团或开团"),
        _within(60, {"type": ["group_open", "group_join"]}),
        ("Tell them of the next group first.", "优先通知新的拼团。"),
    ),
)

READY_MADE: Mapping[str, ReadyMade] = {one.name: one for one in _ALL}
"""By name, in the order that they are shown."""


def rules() -> dict[str, Any]:
    """The rules by name, as `rules.parse` wants other segments."""
    return {name: one.rule for name, one in READY_MADE.items()}
