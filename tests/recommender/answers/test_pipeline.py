"""A planted shop whose best answers are known: what comes first, why, and what the ladder fills in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from planted_shelf import NOW, Candidate, Night, item

from portraits.errors import InvalidValue
from recommender.answers.catalogue import Catalogue
from recommender.answers.pipeline import popular_shelf, recommend, similar
from recommender.bundles.bundle import Bundle
from recommender.types import Answer, Filters, Query, Recent, State

NIGHT = Night(
    items=[
        item("tea", title="Green tea", category=["food", "tea"], price=1200),
        item("pot", title="Teapot", category=["home", "tea"], price=3000),
        item("cup", title="Cup", category=["home"], price=500),
        item("ink", title="Ink", category=["office"], price=200),
        item("pen", title="Pen", category=["office"], price=100),
        item("pad", title="Pad", category=["office"], price=300),
    ],
    table={"ann": [Candidate("ink", 0.9), Candidate("cup", 0.6, "similar", "tea"), Candidate("pad", 0.3)]},
    bought={"ann": ["tea"]},
    popular=[("cup", 1.0), ("pen", 0.8), ("tea", 0.5)],
    near={"tea": [("pot", 1.0), ("cup", 0.5)], "pen": [("pad", 0.9), ("ink", 0.4)]},
)
BUNDLE = NIGHT.bundle()


def query(user: str = "ann", n: int = 3, **asked: Any) -> Query:
    return Query(user, n, NOW, **asked)


def ask(asked: Query, *recent: tuple[str, str]) -> Answer:
    events = [Recent(kind, one, at) for at, (kind, one) in enumerate(recent)]
    return recommend(BUNDLE, Catalogue.from_bundle(BUNDLE), asked, State(events))


def ids(answer: Answer) -> list[str]:
    return [ranked.item_id for ranked in answer.items]


def test_a_known_visitor_gets_the_nights_table() -> None:
    answer = ask(query())
    assert ids(answer) == ["ink", "cup", "pad"]
    assert [round(ranked.score, 6) for ranked in answer.items] == [0.9, 0.6, 0.3]
    assert [ranked.source for ranked in answer.items] == ["als", "similar", "als"]
    assert (answer.policy, answer.degraded, answer.removed) == ("pipeline", False, {})


def test_a_stranger_gets_what_is_popular() -> None:
    answer = ask(query("stranger"))
    assert ids(answer) == ["cup", "pen", "tea"]
    assert (answer.policy, answer.degraded) == ("popular", False)


def test_neighbours_of_what_was_viewed_rise() -> None:
    answer = ask(query(), ("item_view", "pen"))
    parts = {"pad": 0.3 + 0.5 * 0.5 * 0.9, "ink": 0.9 + 0.5 * 0.5 * 0.4, "cup": 0.6}
    assert {one.item_id: pytest.approx(one.score) for one in answer.items} == parts
    assert ids(answer) == sorted(parts, key=parts.__getitem__, reverse=True)


def test_a_stranger_who_looked_at_something_gets_its_neighbours() -> None:
    answer = ask(query("stranger", n=1, exclude=("cup", "pen")), ("favorite", "tea"))
    assert ids(answer) == ["pot"]
    assert answer.items[0].reason.code == "because_saved"
    assert answer.policy == "pipeline"


def test_the_last_thing_done_with_an_item_decides() -> None:
    kept = ask(query(), ("cart", "pen"))
    taken_back = ask(query(), ("cart", "pen"), ("cart_remove", "pen"))
    assert ids(kept)[0] == "ink"
    assert kept.items[0].score > 0.9
    assert taken_back.items == ask(query()).items


def test_events_may_come_in_any_order() -> None:
    events = [Recent("item_view", "pen", 3), Recent("cart", "tea", 1), Recent("click", "ink", 2)]
    catalogue = Catalogue.from_bundle(BUNDLE)
    answers = [recommend(BUNDLE, catalogue, query(), State(order)) for order in (events, events[::-1])]
    assert answers[0] == answers[1]


def test_events_without_an_item_or_of_unknown_items_and_types_say_nothing() -> None:
    events = [Recent("search", None, 1), Recent("item_view", "gone", 2), Recent("yawn", "pen", 3)]
    assert recommend(BUNDLE, Catalogue.from_bundle(BUNDLE), query(), State(events)) == ask(query())


def test_the_page_brings_its_neighbours_and_not_itself() -> None:
    answer = ask(query(item_id="tea"))
    assert ids(answer) == ["ink", "cup", "pot"]
    assert [round(one.score, 6) for one in answer.items] == [0.9, 0.6 + 0.5 * 0.5, 0.5]
    assert [one.reason.code for one in answer.items[1:]] == ["because_bought", "similar_to"]
    assert "tea" not in ids(ask(query(item_id="tea", n=6, allow_seen=True)))


@pytest.mark.parametrize("user", ["ann", "stranger"])
def test_the_page_is_heard_however_small_its_similarities_are(user: str) -> None:
    """Twelve candidates and as many popular items beside neighbours whose similarity is 0.004 at most: with the rate
    of exchange that the night would have measured they are among the first ten, and not above everything."""
    names = [f"i{number:02}" for number in range(20)]
    night = Night(
        items=[item(one) for one in names],
        table={"ann": [Candidate(one, 0.8 - 0.05 * at) for at, one in enumerate(names[:12])]},
        popular=[(one, 1.0 - 0.05 * at) for at, one in enumerate(names[:12])],
        near={"i19": [("i18", 0.004), ("i17", 0.003)], "i00": [("i01", 0.0025)]},
        session_weight=0.8 / ((0.004 + 0.0025) / 2),
    )
    bundle = night.bundle()
    answer = recommend(bundle, Catalogue.from_bundle(bundle), query(user, n=10, item_id="i19"))
    found = {one.item_id: one.reason.code for one in answer.items}
    assert (found["i18"], found["i17"]) == ("similar_to", "similar_to")
    assert {"i00", "i01", "i02"} <= found.keys()


def test_the_cart_brings_its_neighbours_and_not_itself() -> None:
    answer = ask(query(cart=("pen",)))
    assert answer.items[0].item_id == "ink"
    assert "pen" not in ids(ask(query(cart=("pen",), n=6)))


def test_bought_items_are_gone_unless_repeat_or_asked_for() -> None:
    everything = {row["item_id"] for row in NIGHT.items}
    assert set(ids(ask(query(n=6), ("purchase", "ink")))) == everything - {"tea", "ink"}
    assert set(ids(ask(query(n=6, allow_seen=True), ("purchase", "ink")))) == everything
    bundle = replace(NIGHT, repeat=True).bundle()
    catalogue = Catalogue.from_bundle(bundle)
    state = State([Recent("purchase", "ink", 1)])
    assert set(ids(recommend(bundle, catalogue, query(n=6), state))) == everything
    assert set(ids(recommend(bundle, catalogue, query(n=6, allow_seen=False), state))) == everything - {"tea", "ink"}


def test_where_repeats_are_shown_an_item_is_gone_until_it_is_due() -> None:
    """Tea is taken again after an hour; nobody knows about ink."""
    night = replace(NIGHT, repeat=True)
    arrays = night.arrays()
    hour = 3_600_000_000
    gaps = np.full(len(night.items), -1, np.int64)
    gaps[np.searchsorted(arrays["items"], [b"tea", b"cup"])] = hour
    bundle = Bundle.of({**arrays, "item_gap_us": gaps}, night.manifest)
    catalogue, now = Catalogue.from_bundle(bundle), int(NOW.timestamp() * 1_000_000)
    state = State(
        [
            Recent("purchase", "tea", now - hour // 2),
            Recent("purchase", "cup", now - hour),
            Recent("purchase", "ink", now - 1),
            Recent("purchase", "tea", now - 9 * hour),
        ]
    )
    answer = recommend(bundle, catalogue, query(n=6), state)
    everything = {row["item_id"] for row in night.items}
    assert set(ids(answer)) == everything - {"tea"}
    assert set(ids(recommend(bundle, catalogue, query(n=6, allow_seen=True), state))) == everything
    assert set(ids(recommend(bundle, catalogue, query(n=6, allow_seen=False), state))) == {"pot", "pen", "pad"}
    stranger = recommend(bundle, catalogue, query("stranger", n=6), state)
    assert "tea" not in ids(stranger)
    assert stranger.removed == {"bought": 1}


def test_what_factors_say_of_today_names_no_single_cause() -> None:
    """Pad and pot point the same way as ink, of which nothing else is known; ink itself was seen."""
    arrays = NIGHT.arrays()
    axes = np.zeros((len(NIGHT.items), 1), np.float32)
    axes[np.searchsorted(arrays["items"], [b"ink", b"pad", b"pot"])] = [[1.0], [0.9], [0.8]]
    folding = {"fold_items": axes, "fold_scale": np.ones(1, np.float32)}
    bundle = Bundle.of({**arrays, **folding}, {**NIGHT.manifest, "session": {"fold": 9.0, "popular": 0.0}})
    state = State([Recent("item_view", "pen", 1), Recent("item_view", "ink", 2)])
    answer = recommend(bundle, Catalogue.from_bundle(bundle), query("stranger", n=1), state)
    assert ids(answer) == ["pad"]
    assert (answer.items[0].source, answer.items[0].reason.code) == ("session", "for_you")
    assert answer.items[0].reason.evidence == {}


def test_several_targets_all_count_as_taken() -> None:
    bundle = replace(NIGHT, target=["click", "item_view"]).bundle()
    state = State([Recent("item_view", "ink", 1), Recent("click", "cup", 2), Recent("purchase", "pad", 3)])
    assert ids(recommend(bundle, Catalogue.from_bundle(bundle), query(), state))[0] == "pad"


def test_rules_are_counted() -> None:
    asked = query(exclude=("ink", "gone"), cart=("cup",), filters=Filters(price_min=400))
    assert ask(asked).removed == {"price": 2, "cart": 1}
    assert ask(query(exclude=("ink",), cart=("cup",))).removed == {"excluded": 1, "cart": 1}


def test_the_ladder_fills_with_the_pages_category_then_popular_then_the_rest() -> None:
    answer = similar(BUNDLE, Catalogue.from_bundle(BUNDLE), query(item_id="ink", n=5))
    assert ids(answer) == ["pen", "pad", "cup", "tea", "pot"]
    assert [one.reason.code for one in answer.items] == [
        "popular_in_category", "available", "popular", "popular", "available",
    ]  # fmt: skip
    assert sorted((one.score for one in answer.items), reverse=True) == [one.score for one in answer.items]


def test_similar_items_come_first_and_need_an_item() -> None:
    answer = similar(BUNDLE, Catalogue.from_bundle(BUNDLE), query(item_id="tea", n=3))
    assert ids(answer) == ["pot", "cup", "pen"]
    assert [one.source for one in answer.items] == ["similar", "similar", "popular"]
    with pytest.raises(InvalidValue, match="item_id"):
        similar(BUNDLE, Catalogue.from_bundle(BUNDLE), query())


def test_similar_to_an_item_that_came_today_is_popular_in_its_category() -> None:
    catalogue = Catalogue.from_bundle(BUNDLE)
    catalogue.apply([item("brush", category=["office"])])
    answer = similar(BUNDLE, catalogue, query(item_id="brush", n=2))
    assert ids(answer)[0] == "pen"
    assert answer.items[0].reason.evidence == {"category": "office"}


def test_the_popular_shelf_is_the_same_for_everyone() -> None:
    catalogue = Catalogue.from_bundle(BUNDLE)
    answers = [popular_shelf(BUNDLE, catalogue, query(user, n=6)) for user in ("ann", "stranger")]
    assert answers[0] == answers[1]
    assert ids(answers[0])[:3] == ["cup", "pen", "tea"]
    assert answers[0].policy == "popular"


def test_what_came_by_day_can_be_found_in_its_category_and_fills_up_the_rest() -> None:
    catalogue = Catalogue.from_bundle(BUNDLE)
    catalogue.apply([item("brush", category=["art"]), item("ink", title="Ink", category=["art"], price=200)])
    found = recommend(BUNDLE, catalogue, query(n=6, filters=Filters(category=("art",))))
    assert set(ids(found)) == {"brush", "ink"}
    assert set(ids(recommend(BUNDLE, catalogue, query(n=10)))) == {"brush", "pot", "cup", "ink", "pen", "pad"}


def test_a_filter_by_category_says_so_unless_the_item_moved_out_today() -> None:
    catalogue = Catalogue.from_bundle(BUNDLE)
    asked = query("stranger", n=6, item_id="pot")
    in_category = similar(BUNDLE, catalogue, replace(asked, filters=Filters(category=("home",)))).items
    assert [one.reason.evidence for one in in_category] == [{"category": "home"}]
    catalogue.apply([item("cup", title="Cup", category=["garden"], price=500)])
    moved = similar(BUNDLE, catalogue, asked).items
    assert {one.item_id: one.reason.code for one in moved}["cup"] == "popular"


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(category=("home", "office")), ["cup", "pen", "ink", "pad", "pot"]),
        (Filters(category=("food", "home"), price_max=2000), ["cup", "tea"]),
        (Filters(brand=("Lu",)), ["pot", "tea"]),
        (Filters(tags=("new",), category=("office",)), ["pad"]),
    ],
)
def test_narrow_requests_are_filled_from_the_lists_of_what_they_ask_for(filters: Filters, expected: list[str]) -> None:
    special = {"tea": {"brand": "Lu"}, "pot": {"brand": "Lu", "tags": ["new"]}, "pad": {"tags": ["new"]}}
    rows = [row | special.get(row["item_id"], {}) for row in NIGHT.items]
    bundle = Night(items=rows, popular=[("cup", 1.0)]).bundle()
    found = ids(recommend(bundle, Catalogue.from_bundle(bundle), query("stranger", n=6, filters=filters)))
    assert sorted(found) == sorted(expected)


def test_without_a_bundle_the_catalogue_answers() -> None:
    catalogue = Catalogue.empty()
    assert recommend(None, catalogue, query()) == Answer((), degraded=True, policy="fallback")
    catalogue.apply(NIGHT.items)
    answer = recommend(None, catalogue, query(n=10))
    assert sorted(ids(answer)) == sorted(row["item_id"] for row in NIGHT.items)
    assert (answer.policy, answer.degraded) == ("fallback", True)
    assert ids(popular_shelf(None, catalogue, query(n=10))) == ids(answer)
    assert "tea" not in ids(similar(None, catalogue, query(n=10, item_id="tea")))


def test_diversity_holds_back_the_second_of_a_category() -> None:
    rows = [item(f"a{n}", category=["a"]) for n in range(3)] + [item("b", category=["b"]), item("c")]
    scores = {"a0": 0.9, "a1": 0.8, "a2": 0.7, "b": 0.6, "c": 0.5}
    bundle = Night(items=rows, table={"ann": [Candidate(one, score) for one, score in scores.items()]}).bundle()
    catalogue = Catalogue.from_bundle(bundle)
    by_strength = {s: ids(recommend(bundle, catalogue, query(n=5, diversity=s))) for s in (0, 0.5, 1)}
    assert by_strength[0] == ["a0", "a1", "a2", "b", "c"]
    assert by_strength[0.5] == ["a0", "b", "c", "a1", "a2"]
    assert by_strength[1] == ["a0", "b", "c", "a1", "a2"]


def test_a_catalogue_of_another_bundle_is_refused() -> None:
    with pytest.raises(InvalidValue, match="catalogue"):
        recommend(BUNDLE, Catalogue.empty(), query())


def test_one_item_one_user() -> None:
    bundle = Night(items=[item("only")], popular=[("only", 1.0)]).bundle()
    assert ids(recommend(bundle, Catalogue.from_bundle(bundle), query(n=10))) == ["only"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 0},
        {"n": 1001},
        {"lang": "fr"},
        {"diversity": 1.5},
        {"diversity": float("nan")},
        {"now": NOW.replace(tzinfo=None)},
    ],
)
def test_a_wrong_query_names_its_field(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue, match=next(iter(wrong))):
        Query(**({"user_id": "ann", "n": 1, "now": NOW} | wrong))
