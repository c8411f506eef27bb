"""The laws of a shelf, for any shop, any changes of the day, any visitor, any request, with and without a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from planted_shelf import NOW, Candidate, Night, Row, item

from recommender.answers.catalogue import Catalogue
from recommender.answers.pipeline import popular_shelf, recommend, similar, together, trending
from recommender.answers.promotions import EVER, LARGEST_FACTOR, SMALLEST_FACTOR, Boost, Pin, Promotion, Promotions
from recommender.bundles.today import SIGNALS
from recommender.types import Answer, Filters, Query, Recent, State

pytestmark = pytest.mark.law

ITEMS = ("a", "ab", "abc", "b", "茶", "茶杯", "🍵", "z9")
USERS = ("ann", "小明", "🙂")
CATEGORIES, BRANDS, TAGS, STORES = ("food", "茶", "home"), ("Lu", "坡"), ("new", "绿"), ("s1", "s2")
NOW_US = int(NOW.timestamp()) * 1_000_000
OCCASIONS = ("store:s1", "store:s2", "scene:wechat:1011", "hour:8", "article:c1", "readers:c1", "now")
SUPPORT = st.sampled_from([0.0, 3.0, 40.0])
SCORES = st.sampled_from([round(0.05 * step, 2) for step in range(1, 21)])


@dataclass(frozen=True)
class World:
    """A night, the day's catalogue rows after it, and what the visitor did since. `night` None: no model."""

    night: Night | None
    day: list[Row]
    recent: list[Recent]
    query: Query
    promotions: list[Promotion] = field(default_factory=list)

    def rows(self) -> dict[str, Row]:
        """The catalogue as it is now, kept in the plainest way."""
        return {row["item_id"]: row for row in [*(self.night.items if self.night else ()), *self.day]}

    def ask(self, door: Callable[..., Answer] = recommend, **changed: Any) -> Answer:
        bundle = self.night.bundle() if self.night else None
        catalogue = Catalogue(bundle)
        catalogue.apply(self.day)
        query = replace(self.query, **changed)
        if door is recommend:
            return recommend(bundle, catalogue, query, State(self.recent), Promotions(self.promotions))
        if door is popular_shelf:
            return popular_shelf(bundle, catalogue, query, Promotions(self.promotions))
        return door(bundle, catalogue, query)


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
    kept = some(OCCASIONS, 4) if known else st.just([])
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
        new=draw(some(known, len(ITEMS))) if known else [],
        together={one: draw(ranking(tuple(other for other in known if other != one))) for one in known},
        occasions={key: [(one, draw(SUPPORT)) for one in draw(some(known, 4))] for key in draw(kept)},
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
    placement=perhaps(st.just("home")),
    scene=perhaps(st.sampled_from(("1011", "1007"))),
    hour=perhaps(st.sampled_from((8, 9))),
    content_id=perhaps(st.sampled_from(("c1", "?"))),
    item_id=perhaps(st.sampled_from((*ITEMS, "?"))),
    store_id=perhaps(st.sampled_from((*STORES, "?"))),
    cart=some((*ITEMS, "?"), 2).map(tuple),
    exclude=some((*ITEMS, "?"), 2).map(tuple),
    filters=st.just(Filters()) | filters,
    lang=st.sampled_from(["en", "zh"]),
    personalized=st.booleans(),
    allow_seen=perhaps(st.booleans()),
    diversity=st.floats(0, 1),
    exploration=st.just(0.0) | st.floats(0, 0.5),
    draw=st.integers(0, 2**64),
)
named = {"item": (*ITEMS, "?"), "category": (*CATEGORIES, "?"), "brand": (*BRANDS, "?"), "tag": (*TAGS, "?")}
boosts = st.sampled_from(sorted(named)).flatmap(
    lambda by: st.builds(Boost, st.just(by), st.sampled_from(named[by]), st.floats(SMALLEST_FACTOR, LARGEST_FACTOR))
)
promotions = st.lists(
    st.builds(
        Promotion,
        rule_id=st.sampled_from("abcdefgh"),
        does=boosts | st.builds(Pin, st.sampled_from((*ITEMS, "?")), st.integers(1, 12)),
        placement=perhaps(st.sampled_from(("home", "cart"))),
        starts_us=st.sampled_from((0, NOW_US, NOW_US + 1)),
        ends_us=st.sampled_from((NOW_US, NOW_US + 1, EVER)),
    ),
    max_size=5,
    unique_by=lambda one: one.rule_id,
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
    promotions=promotions,
)
known_worlds = st.builds(
    World,
    night=nights(),
    day=st.lists(st.sampled_from(ITEMS).flatmap(rows), max_size=2),
    recent=events,
    query=queries,
    promotions=promotions,
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


DOORS = {
    "recommend": recommend,
    "similar": similar,
    "together": together,
    "trending": trending,
    "popular": popular_shelf,
}
OF_OCCASIONS = {
    "popular_in_store": lambda query: f"store:{query.store_id}",
    "popular_by_entrance": lambda query: f"scene:wechat:{query.scene}",
    "popular_at_this_hour": lambda query: f"hour:{query.hour}",
    "from_this_article": lambda query: f"article:{query.content_id}",
    "readers_took": lambda query: f"readers:{query.content_id}",
    "trending": lambda _: "now",
}


@pytest.mark.parametrize("name", DOORS)
@given(world=worlds)
def test_rules_are_hard_and_a_shelf_is_never_empty(name: str, world: World) -> None:
    """While n eligible items exist, n come back; nothing else ever does; no item twice."""
    assume(name != "similar" or world.query.item_id is not None)
    assume(name != "together" or world.query.item_id is not None or world.query.cart)
    shown = [ranked.item_id for ranked in world.ask(DOORS[name]).items]
    may = eligible(world, personal=name == "recommend")
    assert set(shown) <= may
    assert len(shown) == len(set(shown)) == min(world.query.n, len(may))


@pytest.mark.parametrize("name", ["recommend", "popular"])
@given(world=worlds)
def test_a_pin_that_may_be_shown_stands_at_its_place(name: str, world: World) -> None:
    """In order of place and rule_id; the next place where one is taken; nothing where a rule forbids the item."""
    may, query = eligible(world, personal=name == "recommend"), world.query
    holding = [
        (one.does.position, one.rule_id, one.does.item_id)
        for one in world.promotions
        if isinstance(one.does, Pin)
        and one.placement in (None, query.placement)
        and one.starts_us <= NOW_US < one.ends_us
    ]
    expected: dict[str, int] = {}
    for position, _, pinned in sorted(holding):
        place = max([position - 1, *(taken + 1 for taken in expected.values())])
        if pinned in may and pinned not in expected and place < query.n:
            expected[pinned] = place
    shown = world.ask(DOORS[name]).items
    told = [ranked.item_id for ranked in shown if ranked.reason.code == "pinned"]
    assert told == list(expected)
    assert all(ranked.propensity == 1 and ranked.source == "rule" for ranked in shown if ranked.item_id in told)
    places = {ranked.item_id: at for at, ranked in enumerate(shown)}
    assert all(places[one] == place for one, place in expected.items() if place < len(shown) - len(expected))


@given(world=worlds)
def test_newcomers_push_out_the_end_of_the_shelf_and_nothing_else(world: World) -> None:
    """Without what the draw brought in, the shelf is the beginning of the shelf that is not explored on."""
    shown = world.ask().items
    told = [ranked.item_id for ranked in shown if ranked.source != "explore"]
    pins = {ranked.item_id for ranked in shown if ranked.reason.code == "pinned"}
    plain = [ranked.item_id for ranked in world.ask(exploration=0.0).items if ranked.item_id not in pins]
    assert [one for one in told if one not in pins] == plain[: len(told) - len(pins)]
    assert all(0 < ranked.propensity <= 1 for ranked in shown)
    if not world.query.personalized:
        assert len(told) == len(shown)


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
    assert spoken <= {"similar_to", "popular", "popular_in_category", "new", "available", "pinned", *OF_OCCASIONS}


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
    asked |= {"exploration": 0.0}
    quiet = replace(world, recent=[], promotions=[])
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
        elif code in OF_OCCASIONS:
            support = dict(night.occasions[OF_OCCASIONS[code](query)])[ranked.item_id]
            assert support > 0
            assert evidence.get("visitors", support) == support
        elif code in ("popular", "popular_in_category"):
            elsewhere = {one for lines in night.occasions.values() for one, support in lines if not support}
            assert ranked.item_id in popular | elsewhere or (line is not None and line.source == "popular")
        if "category" in evidence:
            assert evidence["category"] in (world.rows()[ranked.item_id]["category"] or ())


@pytest.mark.parametrize("name", ["recommend", "trending"])
@given(world=known_worlds)
def test_without_the_list_nothing_is_said_of_its_occasion(name: str, world: World) -> None:
    assert world.night is not None
    for ranked in world.ask(DOORS[name]).items:
        code = ranked.reason.code
        if code in OF_OCCASIONS:
            key = OF_OCCASIONS[code](world.query)
            kept = {one: lines for one, lines in world.night.occasions.items() if one != key}
            without = replace(world, night=replace(world.night, occasions=kept))
            assert code not in {other.reason.code for other in without.ask(DOORS[name]).items}


@given(world=known_worlds)
def test_what_is_said_to_be_bought_together_was(world: World) -> None:
    """The strongest reason of an item is told: a pair, else likeness, else the ladder."""
    assert world.night is not None
    given_items = [one for one in (world.query.item_id, *world.query.cart) if one is not None]
    assume(given_items)
    pairs = {(one, other): score for one, lines in world.night.together.items() for other, score in lines}
    for ranked in world.ask(together).items:
        with_it = {one: pairs[one, ranked.item_id] for one in given_items if (one, ranked.item_id) in pairs}
        assert (ranked.reason.code == "bought_together") == bool(with_it)
        if with_it:
            evidence = ranked.reason.evidence
            assert with_it[str(evidence["item_id"])] == max(with_it.values())
            assert evidence["lift"] == 2
            assert evidence["orders"] == pytest.approx(10 * max(with_it.values()), abs=1)


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
