"""Shelves read off the table at once are those that `recommend` makes one by one, item by item and word by word."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_shelf import NOW, Candidate, Night, item

from recommender.batch import TableShelves
from recommender.catalogue import Catalogue
from recommender.pipeline import recommend
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
    at_once = iter(range(int(whole.sum())))
    for row, is_whole in zip(rows.tolist(), whole.tolist(), strict=True):
        answer = recommend(bundle, catalogue, replace(query, user_id=bundle.users.id(row))).items
        from_table = [one for one in answer if one.source in bundle.sources and one.reason.code not in ("new", "available")]
        if not is_whole:
            # Only a table that is too short is left to `recommend`.
            assert len([one for one in from_table if one.score > 0]) < n or not len(night.table) or _filled(night, bundle.users.id(row), answer)
            continue
        at = next(at_once)
        assert [catalogue.item_id(one) for one in found.items[at].tolist()] == [one.item_id for one in answer]
        assert found.scores[at].tolist() == [one.score for one in answer]
        assert [bundle.sources[one] for one in found.sources[at]] == [one.source for one in answer]
        assert [shelves.texts[one] for one in found.reasons[at]] == [one.reason.text for one in answer]
    assert len(set(shelves.texts)) <= len(shelves.texts)
