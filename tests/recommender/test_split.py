"""Splits: nothing of the future on the left, nobody judged by what cannot be known."""

from __future__ import annotations

import numpy as np
import pytest
from planted_blocks import checkerboard

from recommender import split
from recommender.dataset import DAY_US, Dataset

HISTORY = Dataset.from_arrays(
    ["ann", "ann", "ann", "bob", "cid", "dan", "dan"],
    ["tea", "tea", "pot", "tea", "tea", "cup", "tea"],
    np.array([1, 8, 9, 2, 9, 1, 9]) * DAY_US,
    ["purchase", "purchase", "purchase", "purchase", "purchase", "item_view", "item_view"],
)


def names(found: split.Split, truth: object) -> dict[str, set[str]]:
    dense = truth.toarray() > 0  # type: ignore[attr-defined]
    items = found.train.items
    return {
        found.train.users[user].decode(): {items[at].decode() for at in np.flatnonzero(row)}
        for user, row in zip(found.users, dense, strict=True)
    }


def test_by_time_judges_who_comes_back_and_buys() -> None:
    """bob does not come back, cid was never there, dan only looks; tea is not new to ann."""
    found = split.by_time(HISTORY, 5 * DAY_US)
    assert names(found, found.truth) == {"ann": {"tea", "pot"}}
    assert names(found, found.new_truth) == {"ann": {"pot"}}
    assert found.train.ts_us.max() < 5 * DAY_US


def test_whoever_only_looked_before_is_judged_too() -> None:
    history = Dataset.from_arrays(["dan", "dan"], ["cup", "cup"], np.array([1, 9]) * DAY_US, ["item_view", "purchase"])
    found = split.by_time(history, 5 * DAY_US)
    assert names(found, found.new_truth) == {"dan": {"cup"}}


def test_leave_out_takes_pairs_whole_and_leaves_everybody_something() -> None:
    board = checkerboard()
    found = split.leave_out(board, seed=1)
    left = np.diff(found.train.orders.indptr)
    assert left.min() >= 1
    assert found.truth.multiply(found.train.bought[found.users]).nnz == 0
    assert found.truth.nnz + found.train.bought.nnz == board.bought.nnz
    assert found.truth.nnz / board.bought.nnz == pytest.approx(split.HELD_OUT_SHARE, abs=0.06)


@pytest.mark.law
def test_the_same_seed_leaves_out_the_same() -> None:
    first, second, other = (split.leave_out(checkerboard(), seed).truth for seed in (1, 1, 2))
    assert (first != second).nnz == 0
    assert first.shape != other.shape or (first != other).nnz > 0


def test_a_given_split_is_taken_as_it_is() -> None:
    train = Dataset.from_arrays(["ann", "bob"], ["tea", "tea"], extra_users=["cid"], extra_items=["pot"])
    test = Dataset.from_arrays(["ann", "ann", "cid"], ["tea", "pot", "pot"], extra_users=["bob"], extra_items=["tea"])
    found = split.given(train, test)
    assert names(found, found.truth) == {"ann": {"tea", "pot"}}
    assert names(found, found.new_truth) == {"ann": {"pot"}}


def test_a_sample_is_seeded_and_bounded() -> None:
    found = split.leave_out(checkerboard(), seed=1)
    few = found.sample(10, seed=0)
    assert len(few.users) == few.truth.shape[0] == few.new_truth.shape[0] == 10
    assert few.users.tolist() == found.sample(10, seed=0).users.tolist()
    assert found.sample(10_000, seed=0) is found


def test_the_future_is_at_most_a_fifth_of_the_history() -> None:
    assert split.horizon_us(checkerboard()) <= 20 * DAY_US
