"""Bought together by day: pairs first, then likeness, then the category, each with its own reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from planted_shelf import NOW, Night, item

from portraits.errors import InvalidValue
from recommender.answers.catalogue import Catalogue
from recommender.answers.companions import companions
from recommender.answers.pipeline import together
from recommender.types import Answer, Query

NIGHT = Night(
    items=[
        item("tea", title="Green tea", category=["tea"]),
        item("pot", title="Teapot", category=["home"]),
        item("cup", title="Cup", category=["home"]),
        item("jug", title="Jug", category=["home"]),
        item("chai", title="Chai", category=["tea"]),
        item("oat", title="Oats", category=["food"]),
    ],
    popular=[("oat", 1.0), ("chai", 0.2)],
    near={"tea": [("chai", 1.0), ("pot", 0.9)], "oat": [("chai", 0.5)]},
    together={"tea": [("pot", 1.0), ("cup", 0.4)], "oat": [("cup", 0.9), ("jug", 0.3)]},
)


def ask(*items: str, n: int = 4, night: Night = NIGHT, **asked: Any) -> Answer:
    bundle = night.bundle()
    first, *others = items
    query = Query("", n, NOW, item_id=first, cart=tuple(others), **asked)
    return together(bundle, Catalogue.from_bundle(bundle), query)


def said(answer: Answer) -> list[tuple[str, str]]:
    return [(ranked.item_id, ranked.reason.code) for ranked in answer.items]


def test_pairs_then_likeness_then_the_category_then_the_shop() -> None:
    answer = ask("tea")
    assert said(answer) == [
        ("pot", "bought_together"),
        ("cup", "bought_together"),
        ("chai", "similar_to"),
        ("oat", "popular"),
    ]
    assert answer.items[0].reason.evidence == {"item_id": "tea", "title": "Green tea", "orders": 10, "lift": 2.0}
    assert answer.items[0].reason.text == "Bought together with Green tea"
    scores = [ranked.score for ranked in answer.items]
    assert scores == sorted(scores, reverse=True)
    assert {code for _, code in said(ask("jug", n=2))} == {"available"}


def test_with_several_items_what_goes_with_more_of_them_leads() -> None:
    answer = ask("tea", "oat")
    assert said(answer)[0] == ("cup", "bought_together")
    assert answer.items[0].reason.evidence["item_id"] == "oat", "the stronger pair is told"
    assert not {"tea", "oat"} & {ranked.item_id for ranked in answer.items}


def test_the_items_that_others_shall_go_with_are_on_no_page_and_in_no_cart() -> None:
    near = {"tea": [("oat", 1.0)], "oat": [("tea", 0.5)]}
    answer = ask("tea", "oat", night=replace(NIGHT, near=near))
    assert answer.removed == {"asked_for": 2}


def test_one_pair_outweighs_any_likeness() -> None:
    bundle = NIGHT.bundle()
    pool = companions(bundle, bundle.items.indices(["tea", "oat"]).tolist())
    order = [bundle.items.id(one) for one in pool.items.tolist()]
    assert set(order[:3]) == {"cup", "pot", "jug"}
    assert all(0 <= score <= 1 for score in pool.scores.tolist())


def test_an_unknown_item_gets_what_is_popular() -> None:
    assert said(ask("?", n=1)) == [("oat", "popular")]


def test_without_an_item_nothing_can_be_said() -> None:
    bundle = NIGHT.bundle()
    with pytest.raises(InvalidValue, match="item"):
        together(bundle, Catalogue.from_bundle(bundle), Query("", 3, NOW))


def test_without_a_model_the_catalogue_answers() -> None:
    catalogue = Catalogue.empty()
    catalogue.apply([item("tea"), item("pot")])
    answer = together(None, catalogue, Query("", 3, NOW, item_id="tea"))
    assert [ranked.item_id for ranked in answer.items] == ["pot"]
    assert answer.degraded
