"""Small groups are not told, and cannot be had by subtraction."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portraits.segments.suppression import LEAST, Count, may_be_told, told


def count(value: str, inside: int, outside: int) -> Count:
    return Count(value, inside, inside + outside, outside)


def test_small_values_are_pooled() -> None:
    counts = [count("a", 50, 100), count("b", 30, 40), count("c", 6, 30), count("d", 7, 12)]
    assert [one.value for one in told(counts)] == ["a", "b"]


def test_a_single_small_value_takes_the_smallest_told_one_along() -> None:
    counts = [count("a", 50, 100), count("b", 30, 40), count("c", 6, 30)]
    assert [one.value for one in told(counts)] == ["a"]


def test_values_that_all_visitors_outside_miss_may_be_told() -> None:
    assert [one.value for one in told([count("asleep", 40, 0), count("new", 0, 60)])] == ["asleep"]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8))
def test_nothing_small_is_told_or_left_over(groups: list[tuple[int, int]]) -> None:
    counts = [count(str(place), inside, outside) for place, (inside, outside) in enumerate(groups)]
    shown = told(counts)
    assert all(may_be_told(one) for one in shown)
    for group in ("inside", "outside", "base"):
        left = sum(getattr(one, group) for one in counts) - sum(getattr(one, group) for one in shown)
        assert not shown or left == 0 or left >= LEAST
