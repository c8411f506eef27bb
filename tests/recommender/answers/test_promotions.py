"""Pins and boosts: what they move, when they hold, and that every hard rule comes before them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from planted_shelf import NOW, Candidate, Night, item

from recommender.answers.catalogue import Catalogue
from recommender.answers.pipeline import popular_shelf, recommend
from recommender.answers.promotions import ENTRANTS, Boost, Pin, Promotion, Promotions
from recommender.types import Answer, Filters, Query

NOW_US = int(NOW.timestamp()) * 1_000_000
NIGHT = Night(
    items=[
        item("tea", title="Green tea", category=["food", "tea"], brand="Lu", price=1200),
        item("pot", title="Teapot", category=["home", "tea"], brand="Lu", price=3000),
        item("cup", title="Cup", category=["home"], tags=["gift"], price=500),
        item("ink", title="Ink", category=["office"], price=200),
        item("pen", title="Pen", category=["office"], price=100),
        item("pad", title="Pad", category=["office"], price=300),
    ],
    table={"ann": [Candidate("ink", 0.9), Candidate("cup", 0.6), Candidate("pad", 0.3)]},
    popular=[("pen", 1.0), ("pot", 0.8), ("tea", 0.5)],
)
BUNDLE = NIGHT.bundle()


def ask(*does: Pin | Boost | Promotion, n: int = 4, **asked: Any) -> Answer:
    promotions = [one if isinstance(one, Promotion) else Promotion(f"r{place}", one) for place, one in enumerate(does)]
    query = Query(asked.pop("user_id", "ann"), n, NOW, **asked)
    return recommend(BUNDLE, Catalogue.from_bundle(BUNDLE), query, promotions=Promotions(promotions))


def ids(answer: Answer) -> list[str]:
    return [ranked.item_id for ranked in answer.items]


def test_without_rules_the_order_is_the_nights() -> None:
    assert ids(ask()) == ["ink", "cup", "pad", "pen"]


def test_a_pin_stands_at_its_place_and_says_who_picked_it() -> None:
    answer = ask(Pin("pot", 2))
    assert ids(answer) == ["ink", "pot", "cup", "pad"]
    pinned = answer.items[1]
    assert (pinned.source, pinned.reason.code, pinned.reason.text) == ("rule", "pinned", "Picked by the shop")
    assert pinned.score == answer.items[2].score
    assert ask(Pin("pot", 2), lang="zh").items[1].reason.text == "店铺推荐"


def test_a_pinned_item_is_shown_once() -> None:
    assert ids(ask(Pin("pad", 1), Pin("pad", 3))) == ["pad", "ink", "cup", "pen"]


@pytest.mark.parametrize(
    "asked",
    [{"exclude": ("pot",)}, {"cart": ("pot",)}, {"item_id": "pot"}, {"filters": Filters(price_max=2000)}],
)
def test_a_pin_that_a_rule_forbids_leaves_its_place_to_the_next_best(asked: dict[str, Any]) -> None:
    assert ids(ask(Pin("pot", 1), **asked)) == ids(ask(**asked))


def test_a_pin_of_an_item_that_is_sold_out_hidden_or_unknown_is_not_shown() -> None:
    catalogue = Catalogue.from_bundle(BUNDLE)
    catalogue.apply([NIGHT.items[1] | {"stock": 0}, NIGHT.items[0] | {"hidden": True}])
    pins = [Promotion(one, Pin(one, 1)) for one in ("pot", "tea", "gone")]
    answer = recommend(BUNDLE, catalogue, Query("ann", 3, NOW), promotions=Promotions(pins))
    assert ids(answer) == ["ink", "cup", "pad"]


def test_two_pins_of_one_place_follow_each_other_by_rule_id() -> None:
    rules = [Promotion("b", Pin("tea", 1)), Promotion("a", Pin("pot", 1)), Promotion("c", Pin("pen", 2))]
    assert ids(ask(*rules)) == ["pot", "tea", "pen", "ink"]


def test_a_place_beyond_the_shelf_is_not_there() -> None:
    assert ids(ask(Pin("pot", 5))) == ids(ask())
    assert ids(ask(Pin("pot", 6), n=6))[-1] == "pot"


def test_pins_alone_may_fill_a_shelf() -> None:
    assert ids(ask(Pin("pot", 1), Pin("tea", 2), Pin("pen", 3), n=2)) == ["pot", "tea"]


@pytest.mark.parametrize(
    ("starts", "ends", "holds"),
    [(0, 1, True), (1, 2, False), (-1, 0, False), (-2, -1, False)],
)
def test_a_rule_holds_from_its_start_until_before_its_end(starts: int, ends: int, holds: bool) -> None:
    rule = Promotion("r", Pin("pot", 1), None, NOW_US + starts, NOW_US + ends)
    assert (ids(ask(rule))[0] == "pot") == holds


def test_a_rule_of_a_placement_holds_there_alone() -> None:
    rule = Promotion("r", Boost("item", "pad", 10), "cart")
    assert ids(ask(rule, placement="cart"))[0] == "pad"
    assert ids(ask(rule, placement="home")) == ids(ask(rule)) == ids(ask())


@pytest.mark.parametrize("boost", [Boost("item", "pad", 4), Boost("category", "office", 4), Boost("brand", "Lu", 0.1)])
def test_a_boost_multiplies_what_speaks_for_an_item(boost: Boost) -> None:
    scores = {"ink": 0.9, "cup": 0.6, "pad": 0.3}
    lifted = {"item": {"pad"}, "category": {"ink", "pad"}, "brand": set()}[boost.by]
    expected = {one: score * (boost.factor if one in lifted else 1) for one, score in scores.items()}
    shown = {ranked.item_id: ranked for ranked in ask(boost, n=6).items if ranked.item_id in scores}
    assert {one: pytest.approx(ranked.score) for one, ranked in shown.items()} == expected
    assert {ranked.reason.code for ranked in shown.values()} == {"for_you"}, "its own reason"
    assert [one for one in ids(ask(boost, n=6)) if one in scores] == sorted(expected, key=lambda one: -expected[one])


def test_boosts_of_one_item_are_multiplied() -> None:
    answer = ask(Boost("item", "cup", 2), Boost("tag", "gift", 0.5))
    assert [(one.item_id, round(one.score, 6)) for one in answer.items[:3]] == [
        ("ink", 0.9),
        ("cup", 0.6),
        ("pad", 0.3),
    ]


def test_popular_items_of_a_boosted_kind_enter_below_the_least_of_the_proposals() -> None:
    answer = ask(Boost("brand", "Lu", 2.5), n=6)
    entered = {one.item_id: one for one in answer.items if one.source == "rule"}
    assert {one: pytest.approx(ranked.score) for one, ranked in entered.items()} == {
        "pot": 0.3 * 0.8 * 2.5, "tea": 0.3 * 0.5 * 2.5,
    }  # fmt: skip
    assert {ranked.reason.code for ranked in entered.values()} == {"popular"}
    assert ids(answer)[:4] == ["ink", "cup", "pot", "tea"]


def test_what_another_boost_holds_down_does_not_enter() -> None:
    answer = ask(Boost("brand", "Lu", 2), Boost("category", "tea", 0.5), n=6)
    assert "rule" not in {ranked.source for ranked in answer.items}


def test_a_boost_brings_in_a_bounded_number() -> None:
    rows = [item(f"i{n:03}", brand="Lu") for n in range(3 * ENTRANTS)] + [item("own")]
    bundle = Night(
        rows, table={"ann": [Candidate("own", 1.0)]}, popular=[(row["item_id"], 1.0) for row in rows[:-1]]
    ).bundle()
    boost = Promotions([Promotion("r", Boost("brand", "Lu", 2))])
    answer = recommend(bundle, Catalogue.from_bundle(bundle), Query("ann", 100, NOW), promotions=boost)
    assert sum(ranked.source == "rule" for ranked in answer.items) == ENTRANTS


def test_a_stranger_and_the_popular_shelf_follow_the_rules_too() -> None:
    rules = Promotions([Promotion("a", Pin("pad", 2)), Promotion("b", Boost("category", "food", 10))])
    catalogue = Catalogue.from_bundle(BUNDLE)
    shelves = [
        recommend(BUNDLE, catalogue, Query("stranger", 4, NOW), promotions=rules),
        popular_shelf(BUNDLE, catalogue, Query("ann", 4, NOW), rules),
    ]
    assert [ids(shelf) for shelf in shelves] == [["tea", "pad", "pen", "pot"]] * 2


def test_without_a_model_pins_hold() -> None:
    catalogue = Catalogue.empty()
    catalogue.apply(NIGHT.items)
    answer = recommend(None, catalogue, Query("ann", 2, NOW), promotions=Promotions([Promotion("a", Pin("pad", 1))]))
    assert ids(answer)[0] == "pad"


def test_a_boost_goes_by_the_catalogue_of_now() -> None:
    catalogue = Catalogue.from_bundle(BUNDLE)
    catalogue.apply([NIGHT.items[5] | {"brand": "Lu"}, NIGHT.items[0] | {"brand": None}])
    rules = Promotions([Promotion("a", Boost("brand", "Lu", 10))])
    query = Query("ann", 6, NOW + timedelta(days=1))
    answer = recommend(BUNDLE, catalogue, query, promotions=rules)
    assert ids(answer)[:2] == ["pad", "pot"]
    assert {ranked.item_id for ranked in answer.items if ranked.source == "rule"} == {"pot"}
