"""Replayed days, where what was known and what came next are planted."""

from __future__ import annotations

import numpy as np

from recommender.history.dataset import DAY_US, Dataset
from recommender.history.split import Split, by_time, leave_out
from recommender.sessions.days import MOST_KNOWN, MOST_STRANGERS, Cases, cases_of

HOUR_US = DAY_US // 24
CUT = 10 * DAY_US
Row = tuple[str, str, str, int]


def days(rows: list[Row], time_kind: str = "real") -> tuple[Split, Cases]:
    users, items, kinds, ts = zip(*rows, strict=True)
    dataset = Dataset.from_arrays(users, items, np.array(ts), kinds, until_us=20 * DAY_US, time_kind=time_kind)
    split = by_time(dataset, CUT)
    return split, cases_of(split, 0)


def told(split: Split, cases: Cases) -> list[tuple[str, list[str], list[str], bool]]:
    """Who, what is recent, what was taken, known; in the order of visitors and then of what is recent."""
    found = []
    for (query, state), truth, known in zip(cases.asked, cases.truth, cases.known, strict=True):
        recent = [f"{event.type} {event.item_id}" for event in state.recent]
        taken = [one.decode() for one in split.train.items[truth.indices]]
        found.append((query.user_id, recent, taken, bool(known)))
    return sorted(found)


PAST = [("ann", "tea", "purchase", DAY_US), ("bob", "tea", "purchase", DAY_US)]
VISIT = [("pot", "item_view"), ("pot", "cart"), ("cup", "item_view"), ("pot", "purchase"), ("cup", "purchase")]


def visit(user: str, start: int) -> list[Row]:
    return [(user, one, kind, start + place * HOUR_US) for place, (one, kind) in enumerate(VISIT)]


def test_what_is_taken_next_and_was_not_touched_yet_is_the_truth() -> None:
    """When the pot was looked at and lies in the cart, the cup is what can still be found."""
    split, cases = days(PAST + visit("ann", CUT))
    assert [case for case in told(split, cases) if case[3]] == [
        ("ann", ["item_view pot"], ["cup"], True),
        ("ann", ["item_view pot", "cart pot"], ["cup"], True),
    ]


def test_a_known_visitor_also_plays_a_stranger() -> None:
    split, cases = days(PAST + visit("ann", CUT))
    strangers = [case for case in told(split, cases) if not case[3]]
    assert [case[:3] for case in strangers] == [
        ("", ["item_view pot"], ["cup"]),
        ("", ["item_view pot", "cart pot"], ["cup"]),
    ]


def test_a_stranger_is_not_asked_for_what_the_player_bought_before() -> None:
    rows = [("ann", "pot", "item_view", CUT), ("ann", "cup", "purchase", CUT + 5), ("ann", "tea", "purchase", CUT + 9)]
    split, cases = days(PAST + rows)
    assert {(known, *taken) for _, recent, taken, known in told(split, cases) if len(recent) == 1} == {
        (True, "cup", "tea"),
        (False, "cup"),
    }


def test_who_came_after_the_cut_is_a_stranger() -> None:
    split, cases = days(PAST + visit("eve", CUT))
    assert [(user, known) for user, _, _, known in told(split, cases)] == [("eve", False)] * 2


def test_a_day_is_enough_where_it_gives_cases_and_else_a_week() -> None:
    """What was done three days before counts only where nobody comes back within a day."""
    rare = [("ann", "pot", "purchase", CUT), ("ann", "cup", "purchase", CUT + 3 * DAY_US)]
    _, cases = days(PAST + rare)
    assert len(cases.asked) == 2
    often = [row for number in range(500) for row in visit(f"u{number:03}", CUT)]
    past = [(f"u{number:03}", "tea", "purchase", DAY_US) for number in range(500)]
    split, cases = days(PAST + rare + past + often)
    assert "ann" not in {query.user_id for query, _ in cases.asked}
    assert (cases.known.sum(), (~cases.known).sum()) == (MOST_KNOWN, MOST_STRANGERS)
    assert cases.kinds == ("cart", "item_view")
    assert all(split.train.ts_us < CUT)


def test_an_order_without_times_is_replayed_from_the_cut_on() -> None:
    rows = [("ann", "tea", "purchase", 1), ("ann", "pot", "purchase", CUT), ("ann", "cup", "purchase", CUT + 1)]
    split, cases = days(rows, time_kind="order")
    assert ("ann", ["purchase pot"], ["cup"], True) in told(split, cases)


def test_the_same_seed_draws_the_same_cases() -> None:
    rows = PAST + [row for number in range(30) for row in visit(f"u{number:02}", CUT + number)]
    first, second = days(rows)[1], days(rows)[1]
    assert first.asked == second.asked
    assert (first.truth != second.truth).nnz == 0


def test_without_a_cut_in_time_there_are_none() -> None:
    dataset = Dataset.from_arrays(list("aabbcc"), list("xyxyxy"))
    assert cases_of(leave_out(dataset, 0), 0).asked == []
    assert days(PAST)[1].asked == []
