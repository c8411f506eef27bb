from __future__ import annotations

from datetime import timedelta
from typing import Any

import planted_history as planted
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraits.build import fields
from portraits.features import REGISTRY
from portraits.grains.places import ALPHABET, decode

WANTED = [field for field in REGISTRY.values() if field.family == "place"]


def portrait(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The place family of the visitor `one`."""
    whole = planted.numbered([{"user_id": "one", "type": "store_enter", **row} for row in rows], "e")
    found: dict[str, Any] = fields(planted.past(whole, user_rows=[]), WANTED).to_pyarrow().to_pylist()[0]
    return found


@pytest.mark.parametrize(
    ("geohash", "latitude", "longitude"),
    [
        ("ezs42", 42.605, -5.603),  # the example of the article that describes geohashes
        ("u33db", 52.537, 13.381),  # Berlin
        ("wtw3", 31.201, 121.465),  # Shanghai
        ("s", 22.5, 22.5),
        ("WTW3", 31.201, 121.465),
    ],
)
def test_known_cells(geohash: str, latitude: float, longitude: float) -> None:
    assert decode(geohash) == pytest.approx((latitude, longitude), abs=0.001)


@pytest.mark.parametrize("text", [None, "", "a", "wt w", "上海", "wtw3!"])
def test_no_geohash(text: str | None) -> None:
    assert decode(text) is None


@given(st.text(ALPHABET, min_size=1, max_size=11), st.sampled_from(ALPHABET))
def test_a_finer_cell_lies_within(cell: str, digit: str) -> None:
    """The middle of a cell one digit longer is no farther from the middle than half of the cell's sides."""
    whole, part = decode(cell), decode(cell + digit)
    assert whole is not None
    assert part is not None
    bits = 5 * len(cell)
    assert abs(part[0] - whole[0]) <= 90 / 2 ** (bits // 2)
    assert abs(part[1] - whole[1]) <= 180 / 2 ** (bits - bits // 2)


def test_the_home_store_has_most_days_not_most_events() -> None:
    day, minute = timedelta(days=1), timedelta(minutes=1)
    often = [{"ts": planted.START + n * day, "store_id": "s3"} for n in range(3)]
    busy = [{"ts": planted.START + n * minute, "store_id": "s0"} for n in range(20)]
    found = portrait(often + busy)
    assert (found["home_store"], found["store_visits"], found["stores_visited"]) == ("s3", 3 + 1, 2)
    assert found["home_store_share"] == 3 / 4


def test_distances_are_great_circles() -> None:
    """Berlin and Zurich are 670 km apart; one visit of four is made away from home."""
    rows = [{"ts": planted.START + timedelta(days=n), "store_id": "s0" if n else "s3"} for n in range(4)]
    found = portrait(rows)
    assert found["store_reach_km"] == pytest.approx(502, abs=1)
    assert found["store_radius_km"] == pytest.approx(found["store_reach_km"] / 4)


def test_an_unknown_place_is_not_guessed() -> None:
    """A geohash that cannot be read, none at all, and a store that is not in the catalogue."""
    home = [{"ts": planted.START + timedelta(days=n), "store_id": "s0"} for n in range(2)]
    away = [{"ts": planted.START, "store_id": store} for store in ("s4", "s5", "unheard of")]
    assert portrait([*home, *away])["store_radius_km"] == 0
    assert portrait(away)["store_radius_km"] is None
    assert portrait(away)["home_store"] == "s4"


def test_stores_are_listed_with_their_evidence() -> None:
    ts = planted.START + timedelta(hours=9)
    rows = [{"ts": ts, "store_id": "s1"}, {"ts": ts, "store_id": "s1", "type": "purchase", "amount": 700}]
    assert portrait(rows)["stores"] == [
        {"store_id": "s1", "visits": 1, "share": 1, "purchases": 1, "spend": 700, "usual_hour": 10, "last_ts": ts}
    ]
