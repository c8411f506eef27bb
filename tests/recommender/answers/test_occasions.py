"""Lists of the occasion in an answer: who hears them, how they mix, and what is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from planted_shelf import NOW, Candidate, Night, item

from recommender.answers.catalogue import Catalogue
from recommender.answers.occasions import CODES
from recommender.answers.pipeline import NO_STATE, popular_shelf, recommend, trending
from recommender.answers.reasons import WORDS
from recommender.types import Answer, Filters, Query, Recent, State

NIGHT = Night(
    items=[
        item("tea", title="Green tea", category=["tea"]),
        item("bun", title="Bun", category=["food"]),
        item("pot", title="Teapot", category=["home"]),
        item("cup", title="Cup", category=["home"]),
        item("ink", title="Ink", category=["office"], store_ids=["s2"]),
        item("pen", title="Pen", category=["office"]),
    ],
    table={"ann": [Candidate("pen", 0.9), Candidate("tea", 0.8)]},
    popular=[("tea", 1.0), ("cup", 0.5)],
    near={"pot": [("cup", 0.9)]},
    occasions={
        "store:s1": [("pot", 12), ("ink", 9), ("tea", 0)],
        "scene:wechat:1011": [("pen", 7)],
        "hour:8": [("bun", 30), ("tea", 0)],
        "article:c1": [("cup", 1)],
        "readers:c1": [("ink", 4)],
        "now": [("ink", 5.25), ("cup", 2.0)],
    },
)


def ask(user: str = "stranger", n: int = 2, *, night: Night = NIGHT, recent: State = NO_STATE, **asked: Any) -> Answer:
    bundle = night.bundle()
    return recommend(bundle, Catalogue.from_bundle(bundle), Query(user, n, NOW, **asked), recent)


def said(answer: Answer) -> list[tuple[str, str]]:
    return [(ranked.item_id, ranked.reason.code) for ranked in answer.items]


def test_every_kind_of_list_has_its_reason() -> None:
    assert set(CODES.values()) <= WORDS["en"].keys()


@pytest.mark.parametrize(
    ("asked", "first", "code", "evidence"),
    [
        ({"store_id": "s1"}, "pot", "popular_in_store", {"store_id": "s1", "visitors": 12}),
        ({"platform": "wechat", "scene": "1011"}, "pen", "popular_by_entrance",
         {"platform": "wechat", "scene": "1011", "visitors": 7}),
        ({"scene": "1011"}, "pen", "popular_by_entrance", {"platform": "wechat", "scene": "1011", "visitors": 7}),
        ({"hour": 8}, "bun", "popular_at_this_hour", {"hour": 8, "visitors": 30}),
        ({"content_id": "c1"}, "cup", "from_this_article", {"content_id": "c1"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("personalized", [True, False])
def test_a_stranger_hears_the_occasion(
    asked: dict[str, Any], first: str, code: str, evidence: dict[str, Any], personalized: bool
) -> None:
    """Also whoever wants nothing personal: none of it is about them."""
    answer = ask(**asked, personalized=personalized)
    assert answer.policy == "occasion"
    assert (answer.items[0].item_id, answer.items[0].reason.code) == (first, code)
    assert answer.items[0].reason.evidence == evidence


@pytest.mark.parametrize("asked", [{}, {"hour": 9}, {"store_id": "s9"}, {"scene": "1"}, {"content_id": "c9"}])
def test_where_no_list_exists_everybody_s_favourites_come(asked: dict[str, Any]) -> None:
    answer = ask(**asked)
    assert answer.policy == "popular"
    assert said(answer) == [("tea", "popular"), ("cup", "popular")]


def test_several_occasions_mix_and_each_item_names_its_own() -> None:
    answer = ask(n=4, store_id="s1", hour=8)
    assert dict(said(answer)) == {
        "tea": "popular",
        "pot": "popular_in_store",
        "bun": "popular_at_this_hour",
        "cup": "popular",
    }


def test_a_store_sells_what_it_sells() -> None:
    """Ink stands on the list of the first store, and only the second one sells it."""
    assert "ink" not in dict(said(ask(n=6, store_id="s1")))


def test_readers_are_heard_beside_the_article() -> None:
    assert said(ask(content_id="c1")) == [("cup", "from_this_article"), ("ink", "readers_took")]


def test_a_known_visitor_keeps_the_table_and_hears_the_store_below() -> None:
    assert said(ask("ann", n=3, hour=8, scene="1011")) == [("pen", "for_you"), ("tea", "for_you"), ("cup", "popular")]
    answer = ask("ann", n=3, store_id="s1")
    assert said(answer) == [("pen", "for_you"), ("tea", "for_you"), ("pot", "popular_in_store")]
    assert answer.policy == "pipeline"


def test_own_acts_lead_a_stranger_in_a_store() -> None:
    state = State([Recent("item_view", "pot", 1)])
    assert dict(said(ask(n=3, store_id="s1", recent=state)))["cup"] == "because_viewed"


def test_the_control_shelf_is_everybody_s() -> None:
    bundle = NIGHT.bundle()
    answer = popular_shelf(bundle, Catalogue.from_bundle(bundle), Query("x", 2, NOW, store_id="s1", hour=8))
    assert [ranked.reason.code for ranked in answer.items] == ["popular", "popular"]


def rising(night: Night = NIGHT, **asked: Any) -> Answer:
    bundle = night.bundle()
    return trending(bundle, Catalogue.from_bundle(bundle), Query("", 3, NOW, **asked))


def test_what_rises_says_how_much() -> None:
    answer = rising()
    assert said(answer) == [("ink", "trending"), ("cup", "trending"), ("tea", "popular")]
    assert answer.items[0].reason.evidence == {"times_usual": 5.2}
    assert answer.policy == "trending"
    assert rising(replace(NIGHT, occasions={})).policy == "popular"


def test_what_rises_in_a_category_and_then_what_is_popular_there() -> None:
    assert said(rising(filters=Filters(category=("home",)))) == [("cup", "trending"), ("pot", "available")]


def test_where_nothing_rises_nothing_is_said_to() -> None:
    quiet = replace(NIGHT, occasions={})
    assert {code for _, code in said(rising(quiet))} <= {"popular", "available"}
