"""Overlap of segments against sets of Python."""

from __future__ import annotations

import ibis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portraits.segments.overlap import overlaps

PEOPLE = [f"u{number}" for number in range(10)]


def table(con: ibis.BaseBackend, **sets: set[str]) -> ibis.Table:
    columns = {name: [user in members for user in PEOPLE] for name, members in sets.items()}
    return ibis.memtable({"user_id": PEOPLE} | columns)


@pytest.fixture(scope="module")
def con() -> ibis.BaseBackend:
    return ibis.duckdb.connect()


def test_a_planted_pair(con: ibis.BaseBackend) -> None:
    told = overlaps(table(con, a=set(PEOPLE[:4]), b=set(PEOPLE[2:8])), ["a", "b"])[("a", "b")]
    assert (told.one, told.other, told.both, told.base) == (4, 6, 2, 10)
    assert told.jaccard == 2 / 8
    assert (told.share_of_one, told.share_of_other) == (2 / 4, 2 / 6)
    assert told.lift == 2 * 10 / (4 * 6)


def test_empty_segments_have_no_shares(con: ibis.BaseBackend) -> None:
    told = overlaps(table(con, a=set(), b=set()), ["a", "b"])[("a", "b")]
    assert (told.jaccard, told.share_of_one, told.lift) == (None, None, None)


@settings(max_examples=20)
@given(st.lists(st.sets(st.sampled_from(PEOPLE)), min_size=2, max_size=4))
def test_every_pair_is_what_sets_say(sets: list[set[str]]) -> None:
    named = {f"s{place}": members for place, members in enumerate(sets)}
    told = overlaps(table(ibis.duckdb.connect(), **named), list(named))
    assert len(told) == len(sets) * (len(sets) - 1) // 2
    for (one, other), found in told.items():
        a, b = named[one], named[other]
        assert (found.one, found.other, found.both) == (len(a), len(b), len(a & b))
        assert found.jaccard == (len(a & b) / len(a | b) if a | b else None)
