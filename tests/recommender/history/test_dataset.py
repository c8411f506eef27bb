"""Datasets from arrays: what counts, what is known when, and how strong a tie is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraits.errors import InvalidValue
from recommender.history.dataset import DAY_US, FEWEST_LEARNERS, STRENGTH, Dataset, as_ids

DAYS = np.array([1, 1, 2, 5]) * DAY_US


def small() -> Dataset:
    """ann buys tea twice on day 1 (one order, two lines) and again on day 2; bob looks at it on day 5."""
    return Dataset.from_arrays(
        ["ann", "ann", "ann", "bob"], ["tea"] * 4, DAYS, ["purchase", "purchase", "purchase", "item_view"]
    )


def test_the_same_line_twice_in_an_order_counts_once() -> None:
    assert small().orders.toarray().tolist() == [[2.0], [0.0]]
    assert small().bought.toarray().tolist() == [[1.0], [0.0]]


def test_what_sells_has_purchases_for_a_target() -> None:
    assert small().target == ("purchase",)
    assert Dataset.from_arrays(["ann"], ["tea"], [1], ["item_view"]).target == ("click", "item_view", "content_view")
    assert Dataset.from_arrays(["ann"], ["tea"], [1], ["purchase"], objective="clicks").target[0] == "click"
    assert Dataset.from_arrays(["ann"], ["tea"], [1], ["purchase"], objective="margin").target == ("purchase",)
    assert Dataset.from_arrays(["ann"], ["tea"], [1], ["item_view"], objective="revenue").target[0] == "click"


@pytest.mark.parametrize("buyers", [0, 1, FEWEST_LEARNERS - 1, FEWEST_LEARNERS])
def test_a_few_test_orders_do_not_make_a_shop(buyers: int) -> None:
    """Everybody looks at two things, so that their orders can be foretold; some buy. A target takes enough of them."""
    people = [f"u{number:02}" for number in range(FEWEST_LEARNERS + 5)]
    lines = [(user, item, "item_view") for user in people for item in "ab"]
    lines += [(user, "c", "purchase") for user in people[:buyers]]
    users, items, kinds = zip(*lines, strict=True)
    found = Dataset.from_arrays(users, items, kinds=kinds)
    assert ("purchase" in found.target) is (buyers >= FEWEST_LEARNERS)


def test_a_single_order_teaches_nothing() -> None:
    """Many who bought one thing and are not known by anything else, beside many who look around."""
    once = [(f"once{number}", "c", "purchase") for number in range(99)]
    browsing = [(f"u{number}", item, "item_view") for number in range(FEWEST_LEARNERS) for item in "ab"]
    users, items, kinds = zip(*once, *browsing, strict=True)
    assert "item_view" in Dataset.from_arrays(users, items, kinds=kinds).target
    assert Dataset.from_arrays(users[:99], items[:99], kinds=kinds[:99]).target == ("purchase",)


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


def test_a_file_sorted_by_user_is_an_order_within_each_user() -> None:
    """ann's rows are 0 to 2, bob's 3 and 4: everybody's last stands at the end."""
    dataset = Dataset.from_arrays(["ann"] * 3 + ["bob"] * 2, list("abcab"), range(5), time_kind="order")
    assert dataset.time_kind == "turns"
    assert dataset.until_us == 5
    rows = zip(dataset.users[dataset.user], dataset.items[dataset.item], dataset.ts_us, strict=True)
    assert list(rows) == [(b"ann", b"a", 2), (b"ann", b"b", 3), (b"bob", b"a", 3), (b"ann", b"c", 4), (b"bob", b"b", 4)]


def test_rows_of_users_that_alternate_are_an_order_of_all() -> None:
    dataset = Dataset.from_arrays(["ann", "bob", "ann"], list("abc"), range(3), time_kind="order")
    assert dataset.time_kind == "order"
    assert dataset.ts_us.tolist() == [0, 1, 2]


def test_turns_keep_what_was_taken_at_once_together() -> None:
    dataset = Dataset.from_arrays(["ann", "ann", "ann", "bob"], list("abca"), [10, 10, 70, 20]).in_turns()
    assert dataset.ts_us.tolist() == [69, 69, 70, 70]
    assert dataset.until_us == 71
    assert dataset.in_turns().ts_us.tolist() == dataset.ts_us.tolist()


def test_recently_is_half_of_a_usual_sequence() -> None:
    """Eight moments of ann, four of bob: six on average."""
    dataset = Dataset.from_arrays(["ann"] * 8 + ["bob"] * 4, list("abcdefghabcd"), range(12), time_kind="order")
    assert dataset.recent_us == 3
    assert dataset.recent_popularity.tolist() == [0, 1, 1, 1, 0, 1, 1, 1]
