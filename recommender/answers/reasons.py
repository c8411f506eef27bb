"""Why an item is shown, in words that are true: every reason names something that put the item on the shelf.

By day a reason is made from the part that weighed most in the item's score, or from the rung of the fallback that
supplied it. Where that part is the night's, it names the source credited with the item (`Recipe.credited`): the one
that ordered it, the largest part of a weighted sum, or, where the ranker ordered it, the source that ranks it highest
among those that the ranker heard. Nothing is said that was not used. Titles are cut, so that a reason fits under a
picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from recommender.types import Reason

TITLE_LIMIT = 40


class Words(NamedTuple):
    """The sentences of one reason in one language: with the name of its evidence, and when that has no name."""

    named: str
    plain: str


WORDS: Mapping[str, Mapping[str, Words]] = {
    "en": {
        "bought_again": Words("You have bought this before", "You have bought this before"),
        "liked_again": Words("You have looked at this before", "You have looked at this before"),
        "because_bought": Words("Because you bought {name}", "Because of something you bought"),
        "because_viewed": Words("Because you looked at {name}", "Because of something you looked at"),
        "because_saved": Words("Because you saved {name}", "Because of something you saved"),
        "because_carted": Words("Goes with {name} in your cart", "Goes with what is in your cart"),
        "similar_to": Words("Similar to {name}", "Similar to this product"),
        "for_you": Words("Picked from what you liked before", "Picked from what you liked before"),
        "like_you": Words("Popular with visitors like you", "Popular with visitors like you"),
        "popular": Words("Popular with other visitors", "Popular with other visitors"),
        "popular_in_category": Words("Popular in {name}", "Popular in this category"),
        "popular_in_store": Words("Popular near your store", "Popular near your store"),
        "popular_by_entrance": Words(
            "Popular with visitors who came this way", "Popular with visitors who came this way"
        ),
        "popular_at_this_hour": Words("Popular at this time of day", "Popular at this time of day"),
        "from_this_article": Words("From this article", "From this article"),
        "readers_took": Words("Readers of this article looked at it too", "Readers of this article looked at it too"),
        "trending": Words("Trending now", "Trending now"),
        "bought_together": Words("Bought together with {name}", "Bought together with this product"),
        "pinned": Words("Picked by the shop", "Picked by the shop"),
        "new": Words("New in the shop", "New in the shop"),
        "available": Words("From the shop's range", "From the shop's range"),
    },
    "zh": {
        "bought_again": Words("您曾经买过", "您曾经买过"),
        "liked_again": Words("您曾经看过", "您曾经看过"),
        "because_bought": Words("因为您买过「{name}」", "因为您买过的商品"),
        "because_viewed": Words("因为您看过「{name}」", "因为您看过的商品"),
        "because_saved": Words("因为您收藏了「{name}」", "因为您收藏的商品"),
        "because_carted": Words("与购物车里的「{name}」相配", "与购物车里的商品相配"),
        "similar_to": Words("与「{name}」相似", "与当前商品相似"),
        "for_you": Words("根据您以往的喜好", "根据您以往的喜好"),
        "like_you": Words("与您相似的顾客喜欢", "与您相似的顾客喜欢"),
        "popular": Words("很受欢迎", "很受欢迎"),
        "popular_in_category": Words("「{name}」热门", "本类热门"),
        "popular_in_store": Words("您附近门店热门", "您附近门店热门"),
        "popular_by_entrance": Words("从这里进来的顾客喜欢", "从这里进来的顾客喜欢"),
        "popular_at_this_hour": Words("这个时段热门", "这个时段热门"),
        "from_this_article": Words("文中提到", "文中提到"),
        "readers_took": Words("读过本文的顾客也看了", "读过本文的顾客也看了"),
        "trending": Words("近期热度上升", "近期热度上升"),
        "bought_together": Words("有顾客与「{name}」一起购买", "有顾客与当前商品一起购买"),
        "pinned": Words("店铺推荐", "店铺推荐"),
        "new": Words("店铺新品", "店铺新品"),
        "available": Words("店内在售", "店内在售"),
    },
}
"""code -> sentence, by language. `{name}` is the title of the evidence, or the name of the category."""


def reason(code: str, lang: str, item_id: str | None = None, title: str = "", category: str | None = None) -> Reason:
    """The reason `code` in words, resting on an item (`item_id`, `title`), a category, or nothing to be named."""
    words = WORDS[lang][code]
    if item_id is not None:
        return Reason(code, _fill(words, title), {"item_id": item_id, "title": title})
    if category is not None:
        return Reason(code, _fill(words, category), {"category": category})
    return _plain(code, lang)


@cache
def _plain(code: str, lang: str) -> Reason:
    return Reason(code, WORDS[lang][code].plain, {})


def _fill(words: Words, name: str) -> str:
    short = name if len(name) <= TITLE_LIMIT else name[: TITLE_LIMIT - 1] + "…"
    # Not str.format: a title may hold braces.
    return words.named.replace("{name}", short) if name else words.plain
