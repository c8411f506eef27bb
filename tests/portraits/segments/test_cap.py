"""Segments cut to a size."""

from __future__ import annotations

import ibis
import pyarrow as pa
import pytest

from portraits.errors import InvalidValue, UnknownName
from portraits.segments.cap import by_lot, by_score

USERS = pa.chunked_array([[f"u{number:04}" for number in range(2_000)]])


def test_the_lot_is_the_same_every_time_and_another_with_another_seed() -> None:
    drawn = by_lot(USERS, 200, seed=1).to_pylist()
    assert len(drawn) == len(set(drawn)) == 200
    assert drawn == by_lot(USERS, 200, seed=1).to_pylist()
    assert drawn != by_lot(USERS, 200, seed=2).to_pylist()
    assert by_lot(USERS, 9_999).to_pylist() == USERS.to_pylist()


def test_a_visitor_keeps_the_lot_when_others_go() -> None:
    drawn = set(by_lot(USERS, 200).to_pylist())
    fewer = pa.chunked_array([[user for user in USERS.to_pylist() if user in drawn or user.endswith("7")]])
    assert set(by_lot(fewer, 200).to_pylist()) == drawn


def test_the_lot_prefers_nobody() -> None:
    """Of 2000 visitors 1000 are drawn: of the even ones 500, give or take 5 standard deviations of 11."""
    drawn = by_lot(USERS, 1_000).to_pylist()
    assert abs(sum(int(user[1:]) % 2 == 0 for user in drawn) - 500) < 5 * 11.2


def test_the_best_scores_come_first_and_unknown_ones_last() -> None:
    people = ibis.memtable({"user_id": list("abcde"), "spend": [5, None, 9, 5, 1], "stage": list("vwxyz")})
    assert by_score(people, "spend", 3).user_id.to_pyarrow().to_pylist() == ["c", "a", "d"]
    assert set(by_score(people, "spend", 4).user_id.to_pyarrow().to_pylist()) == set("acde")
    for wrong in ("stage", "nothing"):
        with pytest.raises(UnknownName, match="spend"):
            by_score(people, wrong, 1)
    with pytest.raises(InvalidValue, match="cap"):
        by_score(people, "spend", 0)
