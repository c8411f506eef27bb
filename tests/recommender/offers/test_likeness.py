"""Which tried offer tells of a new one."""

from __future__ import annotations

from math import inf, log
from typing import Any

import pytest

from recommender.offers.likeness import distance, likest

TEN: dict[str, Any] = {"offer_id": "ten", "kind": "cash", "value": 1000, "minimum": 5000}


def like(**said: object) -> dict[str, Any]:
    return TEN | {"offer_id": "new"} | said


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (like(), 0.0),
        (like(value=1200), log(1.2)),
        (like(value=1200, minimum=6000), 2 * log(1.2)),
        (like(value=1600), inf),
        (like(minimum=None), inf),
        (like(kind="discount"), inf),
        (like(categories=["tea"]), inf),
    ],
    ids=["equal", "value", "both", "too deep", "no minimum", "kind", "scope"],
)
def test_how_far_two_rules_are_apart(other: dict[str, Any], expected: float) -> None:
    assert distance(TEN, other) == pytest.approx(expected)
    assert distance(other, TEN) == pytest.approx(expected)


def test_of_equal_scope_the_same_goods_are_nearer() -> None:
    tea, pots = like(offer_id="tea", categories=["tea"]), like(offer_id="pots", categories=["pots"])
    assert likest(like(categories=["tea"]), [pots, tea], {"tea", "pots"}) == "tea"


def test_only_what_was_tried_tells_and_never_itself() -> None:
    assert likest(TEN, [TEN, like()], {"ten"}) is None
    assert likest(TEN, [TEN, like()], {"ten", "new"}) == "new"
    assert likest(TEN, [like(value=9000)], {"new"}) is None
