"""How a test file was split off, told by who took what: baskets of themes, planted."""

from __future__ import annotations

import numpy as np
import pytest
from planted_baskets import baskets

from recommender.history.dataset import Dataset
from recommender.history.split import Split, given, leave_out
from recommender.judging.split_kinds import comes_after, comes_later

Row = tuple[str, str]


def dataset(rows: list[Row], others: list[Row], *, ordered: bool = False) -> Dataset:
    users, items = zip(*rows, strict=True)
    more_users, more_items = zip(*others, strict=True)
    ts = range(len(rows)) if ordered else None
    kind = "order" if ordered else "none"
    return Dataset.from_arrays(users, items, ts, time_kind=kind, extra_users=more_users, extra_items=more_items)


def parts(rows: list[Row], others: list[Row]) -> tuple[Split, Split]:
    """A given split, and a draw of the events of its training."""
    train = dataset(rows, others)
    return given(train, dataset(others, rows)), leave_out(train, seed=1, whole=False)


def test_the_next_basket_is_not_a_draw() -> None:
    people = baskets()
    rows = [row for own in people for basket in own[:-1] for row in basket]
    assert comes_later(*parts(rows, [row for own in people for row in own[-1]]), seed=0)


def test_a_draw_is_a_draw() -> None:
    rows = [row for own in baskets() for basket in own for row in basket]
    aside = np.random.default_rng(2).random(len(rows)) < 0.2
    train, test = ([row for row, out in zip(rows, aside, strict=True) if out == side] for side in (False, True))
    assert not comes_later(*parts(train, test), seed=0)


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_walk_is_an_order_until_its_rows_are_shuffled(shuffled: bool) -> None:
    """Everybody walks along a ring of forty things."""
    walks = [[(f"u{user:03d}", f"i{(7 * user + step) % 40:02d}") for step in range(12)] for user in range(200)]
    rows = [row for walk in walks for row in walk[:-1]]
    if shuffled:
        rows = [rows[at] for at in np.random.default_rng(0).permutation(len(rows))]
    test = dataset([walk[-1] for walk in walks], rows)
    assert comes_after(dataset(rows, [walk[-1] for walk in walks], ordered=True), test, seed=0) != shuffled
