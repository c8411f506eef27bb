"""Exploration keeps its share to the letter, and what is logged as a propensity is how often it happens."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from planted_shelf import NOW, Candidate, Night, item

from recommender.answers.catalogue import Catalogue
from recommender.answers.exploration import MOST_NEWCOMERS, draw
from recommender.answers.pipeline import popular_shelf, recommend
from recommender.answers.promotions import Pin, Promotion, Promotions
from recommender.types import Answer, Filters, Query

DRAWS = 20_000
KNOWN = [f"k{n}" for n in range(8)]
NEW = ["n0", "n1", "n2"]
NIGHT = Night(
    items=[item(one, price=100) for one in KNOWN]
    + [item(one, price=200, created_at=NOW - timedelta(days=3)) for one in NEW],
    table={"ann": [Candidate(one, 0.9 - 0.1 * place) for place, one in enumerate(KNOWN)]},
    new=NEW,
)
BUNDLE = NIGHT.bundle()
CATALOGUE = Catalogue.from_bundle(BUNDLE)
QUERY = Query("ann", 5, NOW, exploration=0.3)
PINNED = Promotions([Promotion("p", Pin("k7", 2))])


def ask(seed: int, query: Query = QUERY, promotions: Promotions = PINNED) -> Answer:
    return recommend(BUNDLE, CATALOGUE, replace(query, draw=seed), promotions=promotions)


@pytest.mark.parametrize(
    "query",
    [
        QUERY,
        replace(QUERY, exploration=0.02),
        replace(QUERY, exploration=0.5, n=8),
        replace(QUERY, exploration=0.5, exclude=("n0", "n1")),
        replace(QUERY, exploration=0.25, n=4, diversity=0.5),
    ],
)
def test_logged_propensities_are_frequencies(query: Query) -> None:
    shown: Counter[str] = Counter()
    logged: dict[str, set[float]] = {}
    for seed in range(DRAWS):
        for ranked in ask(seed, query).items:
            shown[ranked.item_id] += 1
            logged.setdefault(ranked.item_id, set()).add(round(ranked.propensity, 12))
    for one, told in logged.items():
        (p,) = told
        assert abs(shown[one] / DRAWS - p) <= 4 * (p * (1 - p) / DRAWS) ** 0.5 + 1e-12, one
    assert sum(shown.values()) == DRAWS * query.n
    assert sum(p for (p,) in logged.values()) == pytest.approx(query.n)


def test_the_share_is_exact_and_every_place_has_the_same_chance() -> None:
    counts, places = 0, Counter[int]()
    for seed in range(DRAWS):
        drawn = draw(10, 50, 0.25, seed)
        assert len(drawn.places) == len(set(drawn.picked)) in (2, 3)
        counts += len(drawn.places)
        places.update(drawn.places)
    assert counts / DRAWS == pytest.approx(2.5, abs=4 * 0.5 / DRAWS**0.5)
    for place in range(10):
        assert abs(places[place] / DRAWS - 0.25) < 4 * (0.25 * 0.75 / DRAWS) ** 0.5


def test_a_draw_is_repeated_by_its_seed_alone() -> None:
    assert ask(7) == ask(7)
    assert len({tuple(ranked.item_id for ranked in ask(seed).items) for seed in range(50)}) > 10


def test_visitors_are_shown_newcomers_of_what_they_like() -> None:
    """As many new teas as new pots, more than one lot of each; ann's candidates are teas, bob's pots, and of zoe there
    are none."""
    new = {kind: [f"{kind}{n:02}" for n in range(MOST_NEWCOMERS + 5)] for kind in ("tea", "pot")}
    shop = Night(
        items=[
            *(item(one, category=["shop", kind]) for kind, ids in new.items() for one in ids),
            *(item(f"old-{kind}", category=["shop", kind]) for kind in new),
            item("plain"),
        ],
        table={"ann": [Candidate("old-tea", 0.5)], "bob": [Candidate("plain", 0.9), Candidate("old-pot", 0.5)]},
        new=[one for pair in zip(new["tea"], new["pot"], strict=True) for one in pair],
    )
    bundle = shop.bundle()
    catalogue = Catalogue.from_bundle(bundle)

    def explored(user: str) -> set[str]:
        asked = (Query(user, 3, NOW, exploration=0.5, draw=seed) for seed in range(300))
        answers = (recommend(bundle, catalogue, query) for query in asked)
        return {one.item_id for answer in answers for one in answer.items if one.source == "explore"}

    assert explored("ann") == set(new["tea"][:MOST_NEWCOMERS])
    assert explored("bob") == set(new["pot"][:MOST_NEWCOMERS])
    half = MOST_NEWCOMERS // 2
    assert explored("zoe") == {*new["tea"][:half], *new["pot"][:half]}


def test_a_newcomer_says_what_it_is() -> None:
    explored = [ranked for seed in range(50) for ranked in ask(seed).items if ranked.source == "explore"]
    assert {ranked.item_id for ranked in explored} == set(NEW)
    assert {ranked.reason.code for ranked in explored} == {"new"}


def test_what_came_today_is_a_newcomer_too() -> None:
    catalogue = Catalogue.from_bundle(BUNDLE)
    catalogue.apply([item("today")])
    answers = [recommend(BUNDLE, catalogue, replace(QUERY, draw=seed)) for seed in range(50)]
    explored = {ranked.item_id: ranked for answer in answers for ranked in answer.items if ranked.source == "explore"}
    assert explored.keys() == {*NEW, "today"}
    assert explored["today"].reason.code == "available"  # nobody said when it was made


@pytest.mark.law
def test_rules_and_pins_come_first() -> None:
    for seed in range(200):
        items = ask(seed, replace(QUERY, exclude=("n0",), filters=Filters(price_max=250))).items
        assert (items[1].item_id, items[1].propensity) == ("k7", 1.0)
        assert "n0" not in {ranked.item_id for ranked in items}
        assert all(
            ranked.source != "explore" for ranked in ask(seed, replace(QUERY, filters=Filters(price_max=150))).items
        )


@pytest.mark.parametrize("asked", [{"exploration": 0.0}, {"personalized": False}])
def test_nothing_is_explored_where_it_is_off(asked: dict[str, object]) -> None:
    shelves = [ask(seed, replace(QUERY, **asked)) for seed in range(50)]  # type: ignore[arg-type]
    assert shelves == [shelves[0]] * 50
    assert all(ranked.propensity == 1 for ranked in shelves[0].items)


def test_the_control_group_is_not_explored_on() -> None:
    shelves = [popular_shelf(BUNDLE, CATALOGUE, replace(QUERY, draw=seed)) for seed in range(50)]
    assert shelves == [shelves[0]] * 50
