"""What an app offers, as its requests see it: rules and the plan's columns belong together."""

from __future__ import annotations

from typing import Any

from planted_plan import plan

from serving.offering import NO_OFFERING

ROWS: list[dict[str, Any]] = [{"offer_id": name, "kind": "cash", "value": 10} for name in ("new", "b", "a")]


def test_each_offer_finds_its_column() -> None:
    offering = NO_OFFERING.renewed(ROWS, None, plan([[1, 1, 1]], [[1, 1, 1]], offers=["b", "gone", "a"]), None)
    assert offering.rulebook.ids == ("a", "b", "new")
    assert offering.columns.tolist() == [2, 0, -1]


def test_rules_that_are_the_same_are_not_read_again() -> None:
    first = NO_OFFERING.renewed(ROWS, None, None, None)
    assert first.renewed([*ROWS], None, None, None).rulebook is first.rulebook
    assert first.renewed(ROWS[1:], None, None, None).rulebook is not first.rulebook


def test_a_person_is_known_under_the_id_that_the_night_knew() -> None:
    known = NO_OFFERING.renewed(ROWS, None, plan([[1]] * 3, [[1]] * 3, users=("ann", "phone")), None)
    assert [known.row_of(ids) for ids in (("ann",), ("new", "phone"), ("new",))] == [0, 1, 2]
    assert NO_OFFERING.row_of(("ann",)) == 0
