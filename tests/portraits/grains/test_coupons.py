from __future__ import annotations

from datetime import timedelta
from typing import Any

import planted_history as planted
import pytest

Row = dict[str, Any]


def coupon(*kinds: str, offer: str | None = "o2") -> list[Row]:
    """What a visitor made of an offer, one event a minute; a '+' before a type keeps it to the minute before."""
    rows, ts = [], planted.START
    for kind in kinds:
        ts += timedelta(minutes=0 if kind.startswith("+") else 1)
        rows.append({"user_id": "a", "ts": ts, "type": f"offer_{kind.lstrip('+')}", "offer_id": offer})
    found: list[Row] = planted.past(planted.numbered(rows, "e"), user_rows=[]).coupons.to_pyarrow().to_pylist()
    return found


@pytest.mark.parametrize(
    ("kinds", "chances", "taken", "redeemed"),
    [
        (["exposure", "exposure"], 2, 0, 0),
        (["exposure", "exposure", "claim", "exposure", "redeem"], 2, 1, 1),
        (["claim", "+exposure"], 1, 1, 0),
        (["claim", "exposure", "claim"], 1, 1, 0),
        (["redeem", "redeem"], 0, 0, 2),
    ],
)
def test_showings_are_chances_until_the_claim(kinds: list[str], chances: int, taken: int, redeemed: int) -> None:
    row = coupon(*kinds)[0]
    assert (row["chances"], row["taken"], row["redeemed"], row["kind"]) == (chances, taken, redeemed, "member")


def test_an_offer_of_no_catalogue() -> None:
    assert coupon("claim", offer="o9")[0]["kind"] is None
    assert coupon("claim", offer=None) == []
