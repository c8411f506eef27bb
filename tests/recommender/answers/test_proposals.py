"""What the events of a day do to the scores, on the proposals themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted_shelf import NOW, Candidate, Night, item

from recommender.answers.catalogue import Catalogue
from recommender.answers.proposals import proposed, seeds_of, table_of, who
from recommender.bundles.bundle import Bundle
from recommender.bundles.today import SIGNALS
from recommender.types import Query, Recent, State

ITEMS = "abcdefgh"
MUTE = "h"
"""Speaks for nothing."""
NEAR = {
    "a": {"b": 1.0, "c": 0.4},
    "b": {"a": 0.9, "d": 0.3},
    "c": {"g": 0.8},
    "d": {"e": 0.7, "f": 0.2},
    "e": {"a": 0.1},
}
NIGHT = Night(
    items=[item(one) for one in ITEMS],
    table={"ann": [Candidate("c", 0.8), Candidate("d", 0.5), Candidate("g", 0.1)]},
    popular=[("e", 1.0), ("f", 0.4)],
    near={one: list(others.items()) for one, others in NEAR.items()},
)


def bundle_with(**session: object) -> Bundle:
    return Bundle.of(NIGHT.arrays(), {**NIGHT.manifest, "session": {**NIGHT.manifest["session"], **session}})


BUNDLE = bundle_with()


def scores(events: list[Recent], user: str = "ann", bundle: Bundle = BUNDLE) -> dict[str, float]:
    """Score by item; 0 for what nothing speaks for."""
    catalogue, query = Catalogue.from_bundle(bundle), Query(user, 5, NOW)
    visitor, acts = who(bundle, catalogue, query, State(events))
    seeds = seeds_of(bundle, catalogue, query, -1, acts, weight=bundle.today.weight)
    pool = proposed(bundle, table_of(bundle, visitor.row, bundle.today.popular if seeds else 1.0), seeds)
    found = dict(zip(map(catalogue.item_id, pool.items.tolist()), pool.scores.tolist(), strict=True))
    return {one: float(found.get(one, 0.0)) for one in ITEMS}


kinds = st.sampled_from(sorted(SIGNALS))
lists = st.lists(
    st.builds(Recent, type=kinds, item_id=st.sampled_from(ITEMS[:-1]), ts_us=st.integers(0, 4)), max_size=6
)
users = st.sampled_from(["ann", "stranger"])


@given(events=lists, seen=st.sampled_from(sorted(NEAR)), user=users)
def test_an_event_raises_the_neighbours_of_its_item_and_nothing_else(
    events: list[Recent], seen: str, user: str
) -> None:
    """Beside an event that speaks for nothing, which only makes the others older."""
    mute = scores([*events, Recent("item_view", MUTE, 9)], user)
    after = scores([*events, Recent("item_view", seen, 9)], user)
    new = all(event.item_id != seen for event in events)
    for one in ITEMS:
        if one in NEAR[seen]:
            assert after[one] > mute[one] - 1e-6
        elif new:
            assert after[one] == pytest.approx(mute[one], abs=1e-6)


@given(events=lists, seed=st.randoms(use_true_random=False), user=users)
def test_times_count_and_not_the_order_in_which_events_are_told(events: list[Recent], seed: object, user: str) -> None:
    shuffled = list(events)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    assert scores(events, user) == scores(shuffled, user)


@given(events=lists, user=users, strange=st.sampled_from(["gone", "", "\0", "a" * 99]), kind=kinds)
def test_unknown_items_and_types_do_nothing(events: list[Recent], user: str, strange: str, kind: str) -> None:
    more = [*events, Recent(kind, strange, 3), Recent("yawn", "a", 9), Recent(kind, None, 9)]
    assert scores(events, user) == scores(more, user)


def test_the_newer_of_two_events_says_more() -> None:
    first, second = Recent("item_view", "c", 1), Recent("item_view", "d", 2)
    found = scores([first, second])
    weight = BUNDLE.today.weight * 0.5
    assert found["e"] == pytest.approx(weight * 0.7)
    assert found["g"] == pytest.approx(0.1 + weight * BUNDLE.today.fade * 0.8)


def test_the_lines_of_one_order_say_the_same() -> None:
    found = scores([Recent("purchase", "c", 1), Recent("purchase", "d", 1)])
    assert found["e"] == pytest.approx(0.5 * 0.7)
    assert found["g"] == pytest.approx(0.1 + 0.5 * 0.8)


def test_who_looks_again_at_what_lies_in_the_cart_has_not_cooled_down() -> None:
    cart, look = Recent("cart", "a", 1), Recent("item_view", "a", 5)
    assert scores([cart, look]) == scores([cart])


@pytest.mark.parametrize("back", ["cart_remove", "unfavorite", "order_cancel", "refund"])
def test_what_is_taken_back_goes_back(back: str) -> None:
    done = [Recent("item_view", "a", 1), Recent("cart", "a", 2)]
    assert scores([*done, Recent(back, "a", 3)]) == scores([])
    again = [*done, Recent(back, "a", 3), Recent("item_view", "a", 4)]
    assert scores(again) == scores([Recent("item_view", "a", 4)])


@pytest.mark.parametrize("back", ["cart_remove", "unfavorite", "order_cancel", "refund"])
def test_at_one_second_what_takes_back_is_the_later(back: str) -> None:
    assert scores([Recent("cart", "a", 1), Recent("favorite", "a", 1), Recent(back, "a", 1)]) == scores([])


TWO_LINES = [Recent("purchase", "a", 1, "o", 300), Recent("purchase", "c", 1, "o", 500)]


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ([], "ac"),
        ([Recent("order_cancel", None, 2, "o")], ""),
        ([Recent("order_cancel", None, 0, "o")], ""),
        ([Recent("order_cancel", None, 2, "other")], "ac"),
        ([Recent("order_cancel", "a", 2, "o")], "c"),
        ([Recent("order_cancel", "a", 2)], "c"),
        ([Recent("refund", "a", 2, "o", 300)], "c"),
        ([Recent("refund", "a", 2, "o")], "c"),
        ([Recent("refund", "a", 2, "o", 299)], "ac"),
        ([Recent("refund", "a", 2, "o", 299), Recent("refund", "a", 3, "o", 1)], "c"),
        ([Recent("refund", None, 2, "o", 799)], "ac"),
        ([Recent("refund", None, 2, "o", 800)], ""),
        ([Recent("cart", "a", 2), Recent("cart_remove", "a", 3)], "ac"),
        ([Recent("order_cancel", None, 2, "o"), Recent("purchase", "a", 3, "p", 300)], "a"),
    ],
)
def test_what_was_sent_back_is_not_had_and_says_nothing(told: list[Recent], left: str) -> None:
    """What pays back a part takes nothing away, nor does a cart that is emptied after the order."""
    catalogue = Catalogue.from_bundle(BUNDLE)
    visitor, acts = who(BUNDLE, catalogue, Query("ann", 5, NOW), State([*TWO_LINES, *told]))
    assert {catalogue.item_id(item) for item in visitor.since} == set(left)
    loud = {catalogue.item_id(act.item) for act in acts if act.kind == "purchase"}
    assert loud == set(left)


@pytest.mark.parametrize("back", ["order_cancel", "refund"])
def test_what_the_night_knew_is_not_had_once_it_is_sent_back(back: str) -> None:
    night = replace(NIGHT, bought={"ann": ["a", "c"]})
    bundle = Bundle.of(night.arrays(), night.manifest)
    catalogue, query = Catalogue.from_bundle(bundle), Query("ann", 5, NOW)
    visitor, _ = who(bundle, catalogue, query, State([Recent(back, "c", 1, "of last week")]))
    assert [catalogue.item_id(item) for item in visitor.history.tolist()] == ["a"]


def test_learnt_weights_are_used() -> None:
    learnt = bundle_with(weight=2.0, fade=0.5, signals={"item_view": 1.0})
    events = [Recent("item_view", "c", 1), Recent("item_view", "d", 2)]
    found = scores(events, bundle=learnt)
    assert found["e"] == pytest.approx(0.5 * 2.0 * 1.0 * 0.7)
    assert found["g"] == pytest.approx(0.1 + 0.5 * 2.0 * 0.5 * 0.8)


def test_another_table_may_speak_for_todays_items_than_for_the_page() -> None:
    arrays = NIGHT.arrays()
    follows = {name: np.zeros_like(arrays[f"neighbour_{name}"]) for name in ("items", "scores")}
    follows["items"][:] = -1
    follows["items"][0, 0], follows["scores"][0, 0] = ITEMS.index("g"), 1.0  # g follows a
    bundle = Bundle.of({**arrays, **{f"session_{name}": array for name, array in follows.items()}}, NIGHT.manifest)
    assert scores([Recent("item_view", "a", 1)], bundle=bundle)["g"] == pytest.approx(0.1 + 0.5 * 0.5)
    page = seeds_of(bundle, Catalogue.from_bundle(bundle), Query("x", 5, NOW), 0, [], weight=1.0)
    near = proposed(bundle, table_of(bundle, -1, 0.0), page)
    assert near.items[0] == ITEMS.index("b")


def test_factors_speak_to_strangers_only() -> None:
    """a and f point the same way."""
    axes = np.zeros((len(ITEMS), 2), np.float32)
    axes[[0, 5]] = [1.0, 0.0]
    axes[[1, 2]] = [0.0, 1.0]
    arrays = {**NIGHT.arrays(), "fold_items": axes, "fold_scale": np.array([3.0, 3.0], np.float32)}
    learnt = {"weight": 1.0, "popular": 0.2, "fold": 2.0, "confidence": 5.0}
    bundle = Bundle.of(arrays, {**NIGHT.manifest, "popular_weight": 0.8, "session": learnt})
    event = [Recent("purchase", "a", 1)]
    said = 5.0 / (3.0 + (5.0 - 1))  # the vector's length along the axis
    assert scores(event, "stranger", bundle)["f"] == pytest.approx(0.8 * 0.2 * 0.4 + 0.5 * 2.0 * said)
    assert scores(event, "stranger", bundle)["b"] == pytest.approx(scores(event, "stranger")["b"])
    assert scores(event, "ann", bundle) == scores(event, "ann")
