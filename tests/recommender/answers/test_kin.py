"""Where an item leads that came since the night."""

from __future__ import annotations

from typing import Any

import pytest
from planted_shelf import NOW, Night, item

from recommender.answers.catalogue import Catalogue
from recommender.answers.pipeline import recommend
from recommender.types import Answer, Query, Recent, State

TEAS = ["tea1", "tea2", "tea3"]
NIGHT = Night(
    items=[
        *(item(one, category=["food", "tea"], brand="b2" if one == "tea3" else "b1") for one in TEAS),
        item("jam", category=["food", "jam"]),
        *(item(one, category=["home"]) for one in ("cup", "pan", "pot")),
        item("map", category=["lonely"]),
    ],
    popular=[("cup", 1.0), ("pan", 0.9), ("pot", 0.8), ("tea1", 0.4), ("tea2", 0.3), ("tea3", 0.2), ("jam", 0.1)],
    near={
        **{"tea1": [("tea2", 0.8)], "tea2": [("tea1", 0.8)], "tea3": [("cup", 0.6)], "jam": [("pot", 0.5)]},
        "pot": [("cup", 0.5), ("pan", 0.4), ("jam", 0.1), ("map", 0.1)],
    },
)


def ask(new: dict[str, Any], n: int = 3, **asked: Any) -> Answer:
    """What a stranger gets who looked at an item of today."""
    bundle = NIGHT.bundle()
    catalogue = Catalogue.from_bundle(bundle)
    catalogue.apply([new])
    seen = [] if "item_id" in asked else [Recent("item_view", new["item_id"], 1)]
    return recommend(bundle, catalogue, Query("stranger", n, NOW, **asked), State(seen))


def ids(answer: Answer) -> list[str]:
    return [one.item_id for one in answer.items]


def test_its_category_speaks_for_it_the_own_brand_first() -> None:
    answer = ask(item("new", title="New tea", category=["food", "tea"], brand="b2"))
    assert ids(answer) == ["tea3", "tea1", "tea2"]
    assert {one.reason.code for one in answer.items} == {"because_viewed"}
    assert {one.reason.evidence["item_id"] for one in answer.items} == {"new"}
    assert ids(ask(item("new", category=["food", "tea"]))) == TEAS


def test_on_the_page_as_well() -> None:
    answer = ask(item("new", category=["food", "tea"]), item_id="new")
    assert ids(answer) == TEAS
    assert {one.reason.code for one in answer.items} == {"similar_to"}


def test_for_a_category_that_came_today_the_level_above_speaks() -> None:
    answer = ask(item("new", category=["food", "coffee"]))
    assert ids(answer) == TEAS
    assert {one.reason.code for one in answer.items} == {"because_viewed"}


@pytest.mark.parametrize("category", [None, ["garden"], ["lonely"]])
def test_where_the_category_tells_nothing_the_stranger_gets_what_is_popular(category: list[str] | None) -> None:
    """None, one that the night has not seen, one whose items are near nothing."""
    answer = ask(item("new", category=category))
    assert ids(answer) == ["cup", "pan", "pot"]
    assert {one.reason.code for one in answer.items} == {"popular"}


def test_beside_what_the_night_knows_it_is_one_of_several_that_speak() -> None:
    bundle = NIGHT.bundle()
    catalogue = Catalogue.from_bundle(bundle)
    catalogue.apply([item("new", category=["food", "tea"])])
    state = State([Recent("item_view", "jam", 1), Recent("item_view", "new", 2)])
    answer = recommend(bundle, catalogue, Query("stranger", 5, NOW), state)
    causes = {one.item_id: one.reason.evidence.get("item_id") for one in answer.items}
    assert causes["pot"] == "jam"
    assert {causes[one] for one in TEAS} == {"new"}
