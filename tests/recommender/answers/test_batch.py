"""Shelves read off the table at once are those that `recommend` makes one by one, item by item and word by word."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_shelf import NOW, Candidate, Night, Row, item

from recommender.answers.batch import TableShelves
from recommender.answers.catalogue import Catalogue
from recommender.answers.pipeline import recommend
from recommender.types import Query

NAMES = [f"i{n}" for n in range(9)]
names = st.sampled_from(NAMES)
lines = st.builds(
    lambda chosen, sources, causes: [
        Candidate(one, 1.0 - place / 16, sources[place % 4], causes[place % 5]) for place, one in enumerate(chosen)
    ],
    st.permutations(NAMES).flatmap(lambda order: st.integers(0, 9).map(lambda length: order[:length])),
    st.lists(st.sampled_from(Night.SOURCES), min_size=4, max_size=4),
    st.lists(st.none() | names, min_size=5, max_size=5),
)
nights = st.builds(
    lambda tables, bought, popular, repeat, target, hidden, stock: Night(
        items=[item(one, title=one.upper(), hidden=one in hidden, stock=stock.get(one)) for one in NAMES],
        table={f"u{n}": table for n, table in enumerate(tables)},
        bought={f"u{n}": some for n, some in enumerate(bought)},
        popular=[(one, 1.0 - place / 10) for place, one in enumerate(popular)],
        idle=["u0"],
        repeat=repeat,
        target=target,
    ),
    st.lists(lines, min_size=1, max_size=5),
    st.lists(st.lists(names, unique=True), min_size=1, max_size=6),
    st.lists(names, unique=True),
    st.booleans(),
    st.sampled_from(["purchase", "click"]),
    st.sets(names),
    st.dictionaries(names, st.sampled_from([0, 3])),
)


@pytest.mark.law
@settings(deadline=None, max_examples=150)
@given(nights, st.integers(1, 9), st.sampled_from([None, True, False]), st.sampled_from(["en", "zh"]), st.sets(names))
def test_it_is_what_recommend_says(night: Night, n: int, allow_seen: bool | None, lang: str, gone: set[str]) -> None:
    bundle = night.bundle()
    catalogue = Catalogue.from_bundle(bundle)
    catalogue.apply([item(one, title="sold out", stock=0) for one in sorted(gone)] + [item("late", title="Late")])
    query = Query("", n, NOW, allow_seen=allow_seen, lang=lang)
    shelves = TableShelves(bundle, catalogue, query)
    rows = np.arange(len(bundle.users), dtype=np.int32)[::-1]
    whole, found = shelves.of(rows)
    night_gone = gone | {row["item_id"] for row in night.items if _is_gone(row)}
    at_once = iter(range(int(whole.sum())))
    for row, is_whole in zip(rows.tolist(), whole.tolist(), strict=True):
        user = bundle.users.id(row)
        had = set() if _keeps(night, allow_seen) else set(night.bought.get(user, ()))
        left = [line for line in night.table.get(user, ()) if line.item_id not in had | night_gone]
        assert is_whole == (len(left) >= n)
        if not is_whole:
            continue
        answer = recommend(bundle, catalogue, replace(query, user_id=user)).items
        at = next(at_once)
        assert [catalogue.item_id(one) for one in found.items[at].tolist()] == [one.item_id for one in answer]
        assert found.scores[at].tolist() == [one.score for one in answer]
        assert [bundle.sources[one] for one in found.sources[at]] == [one.source for one in answer]
        assert [shelves.texts[one] for one in found.reasons[at]] == [one.reason.text for one in answer]


def test_a_night_without_tables_leaves_everybody_to_recommend() -> None:
    bundle = Night(items=[item("tea")], bought={"ann": ["tea"]}, popular=[("tea", 1.0)]).bundle()
    whole, found = TableShelves(bundle, Catalogue.from_bundle(bundle), Query("", 1, NOW)).of(np.array([0], np.int32))
    assert whole.tolist() == [False]
    assert found.items.shape == (0, 1)


def test_a_reason_is_put_into_words_once() -> None:
    table = [Candidate("pot", 0.9, evidence="tea"), Candidate("cup", 0.8, evidence="tea"), Candidate("tea", 0.7)]
    rows = [item("tea", title="Tea"), item("pot"), item("cup")]
    bundle = Night(items=rows, table={"ann": table, "bob": table}, bought={"ann": ["tea"]}, repeat=True).bundle()
    shelves = TableShelves(bundle, Catalogue.from_bundle(bundle), Query("", 3, NOW))
    for _ in range(2):
        _, found = shelves.of(np.array([0, 1], np.int32))
        assert [[shelves.texts[one] for one in row] for row in found.reasons.tolist()] == [
            ["Because you bought Tea", "Because you bought Tea", "You have bought this before"],
            ["Because you looked at Tea", "Because you looked at Tea", "Picked from what you liked before"],
        ]
    assert len(shelves.texts) == 4


def _keeps(night: Night, allow_seen: bool | None) -> bool:
    return night.repeat if allow_seen is None else allow_seen


def _is_gone(row: Row) -> bool:
    return bool(row["hidden"]) or row["stock"] == 0
