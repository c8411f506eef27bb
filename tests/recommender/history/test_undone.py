"""What was taken back is no tie, but was one before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recommender.history.dataset import Dataset
from recommender.history.kinds import KINDS
from recommender.history.sample import of_visitors
from recommender.history.undone import NEVER

LINES = [
    (1, "ann", "tea", "purchase", 4),
    (2, "ann", "cup", "purchase", NEVER),
    (2, "bob", "tea", "cart", 8),
    (3, "ann", "tea", "item_view", NEVER),
    (6, "bob", "cup", "purchase", 6),
]
"""ts_us, user, item, kind, back_us."""


def dataset(until: int = 10, **more: Any) -> Dataset:
    """As it is known at a moment."""
    rows = [row for row in LINES if row[0] < until]
    ts, users, items, kinds, back = zip(*rows, strict=True)
    known = np.array([moment if moment < until else NEVER for moment in back])
    return Dataset.from_codes(
        np.array([b"ann", b"bob"]),
        np.array([b"cup", b"tea"]),
        user=np.array([["ann", "bob"].index(one) for one in users], np.int32),
        item=np.array([["cup", "tea"].index(one) for one in items], np.int32),
        ts_us=np.array(ts, np.int64),
        kind=np.array([KINDS.index(kind) for kind in kinds], np.uint8),
        back_us=known,
        until_us=until,
        **more,
    )


def rows(found: Dataset) -> list[tuple[int, str, str, str]]:
    names = ((found.users, found.user), (found.items, found.item))
    users, items = ([ids[code].decode() for code in codes] for ids, codes in names)
    return list(zip(found.ts_us.tolist(), users, items, [KINDS[kind] for kind in found.kind], strict=True))


def test_it_is_none_of_the_interactions() -> None:
    assert rows(dataset()) == [(2, "ann", "cup", "purchase"), (3, "ann", "tea", "item_view")]
    assert dataset().orders.toarray().tolist() == [[1.0, 0.0], [0.0, 0.0]]


@pytest.mark.law
@pytest.mark.parametrize("first", range(2, 11))
def test_a_past_moment_knows_what_was_known_then(first: int) -> None:
    """No leak: what was taken back only later was there, from whichever later moment one looks back."""
    for second in range(first, 11):
        assert rows(dataset().before(second).before(first)) == rows(dataset(first))


def test_visitors_keep_what_they_took_back() -> None:
    some = of_visitors(dataset(), np.array([1], np.int32))
    assert rows(some) == []
    assert rows(some.before(7)) == [(2, "bob", "tea", "cart")]


def test_without_time_it_is_gone() -> None:
    assert rows(dataset(time_kind="turns"))[0][1:] == ("ann", "cup", "purchase")
    assert dataset(time_kind="turns").undone is None
