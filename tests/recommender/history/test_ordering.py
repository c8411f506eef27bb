"""Orders: what the rows of a file say of when, where nothing else does."""

from __future__ import annotations

from recommender.history.dataset import Dataset


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
