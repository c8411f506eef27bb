"""Tags: the parts of a portrait that a visitor can name and delete. Plain Python, for the request path.

A tag is a statement, whatever fields say it: `top_category` goes with `categories`, since either tells the other. So
every field belongs to one tag first (`tag_of`), by its family unless MOVED says otherwise, and goes with every other
whose statement it repeats or rests on (ALSO): who deletes purchases has no prediction made from them either. A test
holds this against the registry: a field that looks at another goes whenever that one goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from portraits.errors import UnknownName
from portraits.field import Field


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag and what people call it."""

    name: str
    en: str
    zh: str

    def title(self, lang: str) -> str:
        return self.zh if lang == "zh" else self.en


TAGS: Mapping[str, Tag] = {
    tag.name: tag
    for tag in (
        Tag("purchases", "What and how much you buy", "购买"),
        Tag("visits", "How often you come and what you do", "到访与行为"),
        Tag("categories", "Categories you like or pass over", "品类偏好"),
        Tag("brands", "Brands you like or pass over", "品牌偏好"),
        Tag("styles", "Styles you like", "风格偏好"),
        Tag("price", "Prices, discounts and coupons", "价格与优惠"),
        Tag("rhythm", "At what times you come", "时间习惯"),
        Tag("entrance", "By which way you come in", "进入渠道"),
        Tag("membership", "Your membership and messages", "会员与消息"),
        Tag("place", "Stores and cities", "门店与城市"),
        Tag("social", "Sharing and friends", "分享与好友"),
        Tag("content", "Articles, videos and lives", "内容"),
        Tag("predictions", "What you may do next", "预测"),
        Tag("personas", "The group of visitors like you", "人群"),
    )
}

MOVED: Mapping[str, str] = {
    **dict.fromkeys(("categories", "top_category", "top_subcategory", "avoided_categories"), "categories"),
    **dict.fromkeys(("content_categories", "category_rhythm"), "categories"),
    **dict.fromkeys(("brands", "top_brand", "avoided_brands"), "brands"),
    "styles": "styles",
    "price_tastes": "price",
    **dict.fromkeys(("last_order_day", "due_date", "payday", "payday_share", "paydays"), "purchases"),
    **dict.fromkeys(("item_rhythm", "due"), "purchases"),
    "content_views": "content",
    "shares": "social",
}
"""Fields whose tag is not their family's."""

_MODELLED = ("purchases", "visits")
ALSO: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("category_rhythm", "item_rhythm", "due"), ("purchases", "categories")),
    "content_categories": ("content",),
    **dict.fromkeys(("content_views", "shares", "friends_per_share"), ("visits",)),
    "funnel_depth": ("purchases",),
    **dict.fromkeys(("content_purchases", "content_spend", "content_spend_share", "content_kinds"), ("purchases",)),
    "contents": ("purchases",),
    **dict.fromkeys(("channels", "best_channel", "store_spend_share"), ("purchases",)),
    **dict.fromkeys(("priced_lines", "saved", "discount_sensitivity"), ("purchases",)),
    "usual_store_hour": ("rhythm",),
    "benefits_used": ("price",),
    **dict.fromkeys(("next_category", "next_category_chance"), ("categories",)),
}
"""Further tags that a field goes with."""
ALSO_OF_FAMILY: Mapping[str, tuple[str, ...]] = {
    "predictions": _MODELLED,
    "personas": (*_MODELLED, "content", "price", "rhythm", "entrance", "social"),
}
"""The same for all fields of a family: what a model made of other fields."""
MODELS = tuple(ALSO_OF_FAMILY)
"""Families that models make of the features."""


def tag_of(field: Field) -> str:
    """The tag under which a field is told."""
    return MOVED.get(field.name, field.family)


def tags_of(field: Field) -> frozenset[str]:
    """Every tag that a field goes with."""
    return frozenset((tag_of(field), *ALSO.get(field.name, ()), *ALSO_OF_FAMILY.get(field.family, ())))


def named(name: str, fields: Mapping[str, Field]) -> str:
    """The tag that is meant by its own name or by that of one of its fields. Raises UnknownName naming the tags."""
    if name in TAGS:
        return name
    if name in fields:
        return tag_of(fields[name])
    raise UnknownName("tag", name, TAGS)


def hidden(fields: Mapping[str, Field], deleted: Iterable[str]) -> frozenset[str]:
    """Names of the fields that go with any of these tags."""
    gone = frozenset(deleted)
    return frozenset(name for name, field in fields.items() if gone & tags_of(field)) if gone else frozenset()
