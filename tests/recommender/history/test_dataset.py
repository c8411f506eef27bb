"""Datasets from arrays: what counts, what is known when, and how strong a tie is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraits.errors import InvalidValue
from recommender.history.dataset import DAY_US, Dataset, as_ids
from recommender.history.kinds import STRENGTH

DAYS = np.array([1, 1, 2, 5]) * DAY_US


def small() -> Dataset:
    """ann buys tea twice on day 1 (one order, two lines) and again on day 2; bob looks at it on day 5."""
    return Dataset.from_arrays(
        ["ann", "ann", "ann", "bob"], ["tea"] * 4, DAYS, ["purchase", "purchase", "purchase", "item_view"]
    )


def test_the_same_line_twice_in_an_order_counts_once() -> None:
    assert small().orders.toarray().tolist() == [[2.0], [0.0]]
    assert small().bought.toarray().tolist() == [[1.0], [0.0]]


def test_a_tie_is_as_strong_as_its_strongest_event_of_that_age() -> None:
    """Half-life 1 day, now = day 5 and a microsecond: ann's last purchase is 3 days old, bob's view is new."""
    ties = small().matrix(half_life_us=DAY_US).toarray()
    np.testing.assert_allclose(ties, [[0.5**3], [STRENGTH["item_view"]]], rtol=1e-6)


def test_before_drops_the_future_and_keeps_row_numbers() -> None:
    past = small().before(2 * DAY_US)
    assert past.until_us == 2 * DAY_US
    assert len(past.user) == 1
    assert past.users.tolist() == small().users.tolist()
    assert past.popularity.tolist() == [1.0]


def test_before_forgets_what_a_catalogue_says_today() -> None:
    dataset = small()
    dataset.facts.hidden[:] = True
    assert not dataset.rankable.any()
    assert dataset.before(3 * DAY_US).rankable.all()


def test_without_time_nothing_is_old() -> None:
    dataset = Dataset.from_arrays(["ann", "bob"], ["tea", "pot"])
    assert dataset.time_kind == "none"
    assert dataset.age(1.0).tolist() == [1.0, 1.0]


def test_without_time_what_was_taken_again_is_counted() -> None:
    dataset = Dataset.from_arrays(["ann", "bob", "ann", "ann"], ["tea", "tea", "pot", "tea"])
    assert dataset.items.tolist() == [b"pot", b"tea"]
    assert dataset.orders.toarray().tolist() == [[1.0, 2.0], [0.0, 1.0]]
    assert dataset.bought.toarray().tolist() == [[1.0, 1.0], [0.0, 1.0]]
    assert dataset.recent_popularity.tolist() == dataset.popularity.tolist() == [1.0, 2.0]


def test_recently_is_thirty_days_or_a_quarter_of_a_short_history() -> None:
    long = Dataset.from_arrays(["ann", "ann"], ["a", "b"], np.array([0, 200]) * DAY_US, until_us=200 * DAY_US)
    short = Dataset.from_arrays(["ann", "ann"], ["a", "b"], np.array([0, 7]) * DAY_US, until_us=8 * DAY_US)
    assert long.recent_us == 30 * DAY_US
    assert short.recent_us == 2 * DAY_US


def test_events_nobody_learns_from_are_left_out() -> None:
    assert len(Dataset.from_arrays(["ann", "ann"], ["a", "b"], [1, 2], ["purchase", "refund"]).user) == 1


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1), min_size=1))
def test_ids_come_back_as_they_went_in(ids: list[str]) -> None:
    dataset = Dataset.from_arrays(ids, ids, range(len(ids)))
    assert {one.decode() for one in dataset.users[dataset.user]} == set(ids)
    assert dataset.users.tolist() == sorted(dataset.users.tolist())
    assert [one.decode() for one in as_ids(ids)] == ids


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(InvalidValue, match="items"):
        Dataset.from_arrays(["ann"], ["a", "b"])


def test_an_unknown_kind_of_time_is_refused() -> None:
    with pytest.raises(InvalidValue, match="time_kind"):
        Dataset.from_arrays(["ann"], ["a"], [1], time_kind="dream")


def test_recently_is_half_of_a_usual_sequence() -> None:
    """Eight moments of ann, four of bob: six on average."""
    dataset = Dataset.from_arrays(["ann"] * 8 + ["bob"] * 4, list("abcdefghabcd"), range(12), time_kind="order")
    assert dataset.recent_us == 3
    assert dataset.recent_popularity.tolist() == [0, 1, 1, 1, 0, 1, 1, 1]
