"""Splits: nothing of the future on the left, nobody judged by what cannot be known."""

from __future__ import annotations

import numpy as np
import pytest
from planted_blocks import checkerboard

from recommender.history import split
from recommender.history.dataset import DAY_US, Dataset

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


def test_strangers_of_a_given_split_stand_apart() -> None:
    train = Dataset.from_arrays(["ann", "bob"], ["tea", "tea"], extra_users=["cid"], extra_items=["pot"])
    test = Dataset.from_arrays(["ann", "cid"], ["pot", "pot"], extra_users=["bob"], extra_items=["tea"])
    strangers = split.given(train, test).strangers
    assert strangers is not None
    assert train.users[strangers.users].tolist() == [b"cid"]
    assert strangers.truth.toarray().tolist() == [[1.0, 0.0]]


def held(count: int) -> np.ndarray:
    return np.full(len(HISTORY.users), count)


def test_the_last_of_each_is_what_they_took_last() -> None:
    """bob and cid have nothing else, dan took nothing."""
    found = split.last_of_each(HISTORY, held(1), seed=0)
    assert names(found, found.truth) == {"ann": {"pot"}}
    assert names(split.last_of_each(HISTORY, held(2), seed=0), found.new_truth) == {"ann": {"pot"}}
    assert found.train.until_us == HISTORY.until_us


def test_what_was_done_after_the_last_of_each_is_not_known() -> None:
    history = Dataset.from_arrays(
        ["ann"] * 4, list("abcb"), np.arange(4), ["purchase", "item_view", "purchase", "item_view"]
    )
    found = split.last_of_each(history, np.array([1]), seed=0)
    assert found.train.items[found.train.item].tolist() == [b"a", b"b"]
    assert names(found, found.truth) == {"ann": {"c"}}


def test_nobody_loses_everything_to_the_last_of_each() -> None:
    found = split.last_of_each(HISTORY, held(99), seed=0)
    assert names(found, found.truth) == {"ann": {"tea", "pot"}}
    assert set(found.train.user.tolist()) == set(HISTORY.user.tolist())


def test_turns_end_where_the_last_of_each_was_taken_away() -> None:
    rows = Dataset.from_arrays(["ann"] * 3 + ["bob"] * 2, list("abcab"), range(5), time_kind="order")
    found = split.last_of_each(rows, np.array([2, 1]), seed=0)
    assert found.train.ts_us.tolist() == [4, 4]
    assert names(found, found.truth) == {"ann": {"b", "c"}, "bob": {"b"}}


def test_a_share_is_at_least_one() -> None:
    rows = Dataset.from_arrays(["ann"] * 10 + ["bob"] * 2, list("abcdefghijab"), range(12), time_kind="order")
    assert split.last_share(rows, 0.2).tolist() == [2, 1]


def test_a_last_basket_is_all_of_one_moment() -> None:
    """bob has only one basket, which stays."""
    history = Dataset.from_arrays(["ann"] * 3 + ["bob"] * 2, list("abcab"), [1, 9, 9, 5, 5])
    assert split.last_moments(history).tolist() == [2, 0]


def test_a_draw_of_events_leaves_repeats_in_the_past() -> None:
    """Everybody took the same two things ten times: drawn as pairs they are new, as events they come again."""
    rows = [(f"u{user:02d}", item, day) for user in range(30) for item in "ab" for day in range(10)]
    users, items, days = zip(*rows, strict=True)
    history = Dataset.from_arrays(users, items, np.array(days) * DAY_US)
    pairs, events = (split.leave_out(history, seed=0, whole=whole) for whole in (True, False))
    assert pairs.new_truth.nnz == pairs.truth.nnz
    assert events.truth.nnz > 50
    assert events.new_truth.nnz == 0


def test_without_time_repeats_are_drawn_as_events_where_there_are_any() -> None:
    rows = [(f"u{user:02d}", item) for user in range(30) for item in "ab" for _ in range(10)]
    again, once = (split.leave_out(Dataset.from_arrays(*zip(*some, strict=True)), seed=0) for some in (rows, set(rows)))
    assert again.truth.nnz > 50
    assert again.new_truth.nnz == 0
    assert once.new_truth.nnz == once.truth.nnz > 0
