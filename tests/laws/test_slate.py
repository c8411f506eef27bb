"""The laws of a shelf, for any shop, any changes of the day, any visitor, any request, with and without a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from planted_shelf import NOW, Candidate, Night, Row, item

from recommender.catalogue import Catalogue
from recommender.pipeline import popular_shelf, recommend, similar
from recommender.proposals import SIGNALS
from recommender.types import Answer, Filters, Query, Recent, State

pytestmark = pytest.mark.law

ITEMS = ("a", "ab", "abc", "b", "茶", "茶杯", "🍵", "z9")
USERS = ("ann", "小明", "🙂")
CATEGORIES, BRANDS, TAGS, STORES = ("food", "茶", "home"), ("Lu", "坡"), ("new", "绿"), ("s1", "s2")
SCORES = st.sampled_from([round(0.05 * step, 2) for step in range(1, 21)])


@dataclass(frozen=True)
class World:
    """A night, the day's catalogue rows after it, and what the visitor did since. `night` None: no model."""

    night: Night | None
    day: list[Row]
    recent: list[Recent]
    query: Query

    def rows(self) -> dict[str, Row]:
        """The catalogue as it is now, kept in the plainest way."""
        return {row["item_id"]: row for row in [*(self.night.items if self.night else ()), *self.day]}

    def ask(self, door: Callable[..., Answer] = recommend, **changed: Any) -> Answer:
        bundle = self.night.bundle() if self.night else None
        catalogue = Catalogue(bundle)
        catalogue.apply(self.day)
        query = replace(self.query, **changed)
        return (
            door(bundle, catalogue, query, State(self.recent)) if door is recommend else door(bundle, catalogue, query)
        )


def some(values: tuple[str, ...], most: int = 3) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), max_size=most, unique=True)


def perhaps(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def rows(item_id: str) -> st.SearchStrategy[Row]:
    return st.fixed_dictionaries(
        {
            "category": perhaps(some(CATEGORIES)),
            "brand": perhaps(st.sampled_from(BRANDS)),
            "price": perhaps(st.integers(0, 3)),
            "stock": perhaps(st.integers(0, 2)),
            "hidden": perhaps(st.booleans()),
            "tags": perhaps(some(TAGS)),
            "store_ids": perhaps(some(STORES)),
        }
    ).map(lambda columns: item(item_id, title=f"T {item_id}", **columns))


@st.composite
def ranking(draw: st.DrawFn, of: tuple[str, ...]) -> list[tuple[str, float]]:
    ranked = draw(st.lists(st.sampled_from(of), unique=True)) if of else []
    return list(zip(ranked, sorted((draw(SCORES) for _ in ranked), reverse=True), strict=True))


@st.composite
def nights(draw: st.DrawFn) -> Night:
    known = tuple(draw(some(ITEMS, len(ITEMS))))
    table = {
        user: [
            Candidate(one, score, draw(st.sampled_from(Night.SOURCES)), draw(perhaps(st.sampled_from(known))))
            for one, score in draw(ranking(known))
        ]
        for user in draw(some(USERS))
    }
    return Night(
        items=[draw(rows(one)) for one in known],
        table=table,
        bought={user: draw(some(known)) for user in table} if known else {},
        popular=draw(ranking(known)),
        near={one: draw(ranking(tuple(other for other in known if other != one))) for one in known},
        repeat=draw(st.booleans()),
        target=draw(st.sampled_from(["purchase", ["click", "item_view"]])),
    )


filters = st.builds(
    Filters,
    category=some((*CATEGORIES, "?"), 2).map(tuple),
    brand=some((*BRANDS, "?"), 1).map(tuple),
    tags=some((*TAGS, "?"), 2).map(tuple),
    price_min=perhaps(st.integers(0, 3)),
    price_max=perhaps(st.integers(0, 3)),
    store_id=perhaps(st.sampled_from((*STORES, "?"))),
    in_stock=perhaps(st.booleans()),
)
queries = st.builds(
    Query,
    user_id=st.sampled_from((*USERS, "stranger")),
    n=st.integers(1, 10),
    now=st.just(NOW),
    item_id=perhaps(st.sampled_from((*ITEMS, "?"))),
    store_id=perhaps(st.sampled_from((*STORES, "?"))),
    cart=some((*ITEMS, "?"), 2).map(tuple),
    exclude=some((*ITEMS, "?"), 2).map(tuple),
    filters=st.just(Filters()) | filters,
    lang=st.sampled_from(["en", "zh"]),
    personalized=st.booleans(),
    allow_seen=perhaps(st.booleans()),
    diversity=perhaps(st.floats(0, 1)),
)
events = st.lists(
    st.builds(
        Recent,
        type=st.sampled_from([*SIGNALS, "exposure", "search"]),
        item_id=perhaps(st.sampled_from((*ITEMS, "?"))),
        ts_us=st.integers(0, 5),
    ),
    max_size=6,
)
worlds = st.builds(
    World,
    night=perhaps(nights()),
    day=st.lists(st.sampled_from(ITEMS).flatmap(rows), max_size=4),
    recent=events,
    query=queries,
)
known_worlds = st.builds(
    World, night=nights(), day=st.lists(st.sampled_from(ITEMS).flatmap(rows), max_size=2), recent=events, query=queries
)


def has(world: World) -> set[str]:
    """What the visitor has taken already, by the night's and the day's record."""
    target = world.night.target if world.night else "purchase"
    targets = [target] if isinstance(target, str) else target
    today = {event.item_id for event in world.recent if event.item_id and event.type in targets}
    return today | set(world.night.bought.get(world.query.user_id, ()) if world.night else ())


def eligible(world: World, personal: bool) -> set[str]:
    """What the rules leave, said a second time without a single array."""
    query, wanted = world.query, world.query.filters
    keeps = query.allow_seen if query.allow_seen is not None else world.night is not None and world.night.repeat
    gone = {*query.cart, *query.exclude, query.item_id}
    gone |= has(world) if personal and query.personalized and not keeps else set()
    return {
        one
        for one, row in world.rows().items()
        if one not in gone
        and not row["hidden"]
        and row["stock"] != 0
        and (not wanted.category or set(wanted.category) & set(row["category"] or ()))
        and (not wanted.brand or row["brand"] in wanted.brand)
        and (not wanted.tags or set(wanted.tags) & set(row["tags"] or ()))
        and {store for store in (wanted.store_id, query.store_id) if store} <= set(row["store_ids"] or (*STORES, "?"))
        and (wanted.price_min is None or (row["price"] is not None and row["price"] >= wanted.price_min))
        and (wanted.price_max is None or (row["price"] is not None and row["price"] <= wanted.price_max))
    }  # fmt: skip


DOORS = {"recommend": recommend, "similar": similar, "popular": popular_shelf}


@pytest.mark.parametrize("name", DOORS)
@given(world=worlds)
def test_rules_are_hard_and_a_shelf_is_never_empty(name: str, world: World) -> None:
    """While n eligible items exist, n come back; nothing else ever does; no item twice."""
    assume(name != "similar" or world.query.item_id is not None)
    shown = [ranked.item_id for ranked in world.ask(DOORS[name]).items]
    may = eligible(world, personal=name == "recommend")
    assert set(shown) <= may
    assert len(shown) == len(set(shown)) == min(world.query.n, len(may))


@given(world=worlds)
def test_the_same_request_gets_the_same_answer(world: World) -> None:
    backwards = replace(world, recent=world.recent[::-1])
    assert world.ask() == world.ask() == backwards.ask()


@given(world=worlds, other=st.sampled_from((*USERS, "stranger")), instead=events)
def test_off_means_off(world: World, other: str, instead: list[Recent]) -> None:
    """Without personalisation, who asks and what they did changes nothing, and no reason speaks of them."""
    answer = world.ask(personalized=False)
    assert answer == replace(world, recent=instead).ask(personalized=False, user_id=other)
    spoken = {ranked.reason.code for ranked in answer.items}
    assert spoken <= {"similar_to", "popular", "popular_in_category", "new", "available"}


@given(world=known_worlds, taken=st.sampled_from(ITEMS))
def test_what_was_bought_is_gone_at_once_unless_it_may_repeat(world: World, taken: str) -> None:
    assert world.night is not None
    target = world.night.target if isinstance(world.night.target, str) else world.night.target[0]
    after = replace(world, recent=[*world.recent, Recent(target, taken, 9)])
    shown = {ranked.item_id for ranked in after.ask(personalized=True, allow_seen=False).items}
    assert taken not in shown
    if eligible(replace(world, query=replace(world.query, personalized=True, allow_seen=True)), True) >= {taken}:
        everything = after.ask(personalized=True, allow_seen=True, n=len(ITEMS))
        assert taken in {ranked.item_id for ranked in everything.items}


@given(world=known_worlds, data=st.data())
def test_the_neighbours_of_what_was_viewed_rise(world: World, data: st.DataObject) -> None:
    """The nearest stands no lower than before: what gains less cannot overtake it."""
    assert world.night is not None
    with_neighbours = [one for one, near in world.night.near.items() if near]
    assume(with_neighbours)
    viewed = data.draw(st.sampled_from(with_neighbours))
    asked = {"n": len(ITEMS), "personalized": True, "allow_seen": True, "diversity": 0.0, "item_id": None, "cart": ()}
    quiet = replace(world, recent=[])
    before = [ranked.item_id for ranked in quiet.ask(**asked).items]
    after = [ranked.item_id for ranked in replace(quiet, recent=[Recent("item_view", viewed, 9)]).ask(**asked).items]
    nearest = world.night.near[viewed][0][0]
    if nearest in before:
        assert after.index(nearest) <= before.index(nearest)


@given(world=known_worlds)
def test_a_reason_rests_on_what_is_there(world: World) -> None:
    """Each reason names something that the night's table, today's events, the page or the cart really holds."""
    assert world.night is not None
    query, night = world.query, world.night
    done = {(SIGNALS[event.type][1], event.item_id) for event in world.recent if event.type in SIGNALS}
    table = {line.item_id: line for line in night.table.get(query.user_id, ())} if query.personalized else {}
    popular = {one for one, score in night.popular if score > 0}
    for ranked in world.ask().items:
        code, evidence = ranked.reason.code, ranked.reason.evidence
        line = table.get(ranked.item_id)
        if code == "similar_to":
            assert evidence["item_id"] == query.item_id
        elif code == "because_carted" and evidence["item_id"] in query.cart:
            assert query.personalized
        elif "item_id" in evidence:
            assert (code, evidence["item_id"]) in done or (line is not None and line.evidence == evidence["item_id"])
        elif code in ("bought_again", "liked_again"):
            assert ranked.item_id in has(world)
        elif code == "for_you":
            assert line is not None
        elif code in ("popular", "popular_in_category"):
            assert ranked.item_id in popular or (line is not None and line.source == "popular")
        if "category" in evidence:
            assert evidence["category"] in (world.rows()[ranked.item_id]["category"] or ())


@given(world=known_worlds)
def test_without_the_evidence_the_reason_goes(world: World) -> None:
    """Take away today's events about an item, and no answer says "because of it", unless the night says so too."""
    assert world.night is not None
    told_by_night = {line.evidence for line in world.night.table.get(world.query.user_id, ())}
    kept = {*told_by_night, world.query.item_id, *world.query.cart}
    for ranked in world.ask().items:
        cause = ranked.reason.evidence.get("item_id")
        if cause is None or cause in kept:
            continue
        without = replace(world, recent=[event for event in world.recent if event.item_id != cause])
        assert cause not in {other.reason.evidence.get("item_id") for other in without.ask().items}
