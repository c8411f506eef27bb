from __future__ import annotations

from datetime import timedelta
from typing import Any

import planted_history as planted
import pytest

from portraits.build import fields
from portraits.features import REGISTRY

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Rows = list[dict[str, Any]]


def opens(content: str, at: timedelta) -> dict[str, Any]:
    return {"type": "content_view", "content_id": content, "ts": planted.START + at}


def buys(item: str, at: timedelta, **more: Any) -> dict[str, Any]:
    return {"type": "purchase", "item_id": item, "ts": planted.START + at, "amount": 700, **more}


def led(found: dict[str, Any]) -> dict[str, int]:
    """content -> spend it led to."""
    return {entry["content_id"]: entry["spend"] for entry in found["contents"] or () if entry["purchases"]}


ATTRIBUTED: dict[str, tuple[Rows, dict[str, int]]] = {
    "shown, then bought": ([opens("c0", HOUR), buys("i00", 2 * HOUR)], {"c0": 700}),
    "at one moment": ([opens("c0", HOUR), buys("i00", HOUR)], {"c0": 700}),
    "a day later": ([opens("c0", HOUR), buys("i00", HOUR + DAY)], {}),
    "bought before": ([opens("c0", 3 * HOUR), buys("i00", 2 * HOUR)], {}),
    "another item": ([opens("c0", HOUR), buys("i03", 2 * HOUR)], {}),
    "the last of two": ([opens("c0", HOUR), opens("c2", 2 * HOUR), buys("i00", 3 * HOUR)], {"c2": 700}),
    "equal: the first by name": ([opens("c2", HOUR), opens("c0", HOUR), buys("i00", 3 * HOUR)], {"c0": 700}),
    "two lines": ([opens("c0", HOUR), buys("i00", 2 * HOUR), buys("i00", 2 * HOUR)], {"c0": 1_400}),
    "the line names another": ([opens("c0", HOUR), buys("i00", 2 * HOUR, content_id="c1")], {"c1": 700}),
    "the line names one nobody knows": ([buys("i09", 9 * DAY, content_id="unheard of")], {"unheard of": 700}),
    "the item was opened from a content": (
        [{"type": "item_view", "item_id": "i09", "content_id": "c4", "ts": planted.START}, buys("i09", HOUR)],
        {"c4": 700},
    ),
}
READ: dict[str, Rows] = {
    "kinds": [opens("c1", HOUR), opens("c1", DAY), opens("c2", DAY), buys("i00", DAY + HOUR), opens("c3", DAY)],
    "items of three depths": [opens("c0", HOUR)],
    "nothing shown": [opens("c4", HOUR), opens("c5", HOUR), opens("unheard of", HOUR)],
}


@pytest.fixture(scope="module")
def portraits() -> dict[str, dict[str, Any]]:
    """The content family, a visitor for each case; the planted contents c0 and c2 show i00, c1 shows i03."""
    cases = {name: rows for name, (rows, _) in ATTRIBUTED.items()} | READ
    rows = [{"user_id": name, **row} for name, of in cases.items() for row in of]
    wanted = [field for field in REGISTRY.values() if field.family in ("content", "visits") or field.name == "spend"]
    wanted = [field for field in wanted if field.name not in ("days_since_seen", "funnel_depth")]
    found = fields(planted.past(planted.numbered(rows, "e"), user_rows=[]), wanted).to_pyarrow().to_pylist()
    return {row["user_id"]: row for row in found}


@pytest.mark.parametrize("name", ATTRIBUTED)
def test_which_content_led_to_the_purchase(portraits: dict[str, dict[str, Any]], name: str) -> None:
    found, (_, expected) = portraits[name], ATTRIBUTED[name]
    assert {entry["content_id"]: entry["spend"] for entry in found["contents"] if entry["purchases"]} == expected
    assert found["content_spend"] == sum(expected.values())


def test_kinds(portraits: dict[str, dict[str, Any]]) -> None:
    found = portraits["kinds"]
    assert found["favourite_content_kind"] == "video"
    assert found["contents_opened"] == 3
    assert found["content_kinds"] == [
        {"kind": "video", "views": 2, "purchases": 0, "spend": 0},
        {"kind": "live", "views": 1, "purchases": 1, "spend": 700},
    ]


def test_categories_shown_are_shared_out_over_the_items(portraits: dict[str, dict[str, Any]]) -> None:
    """c0 shows i00 (food > tea > green) and i01 (food > tea)."""
    found = portraits["items of three depths"]["content_categories"]
    assert [(entry["tag"], entry["weight"], entry["events"]) for entry in found] == [
        ("food", 1, 1),
        ("food > tea", 1, 1),
        ("food > tea > green", pytest.approx(0.5, abs=1e-6), 1),
    ]


def test_a_content_that_shows_nothing_says_nothing(portraits: dict[str, dict[str, Any]]) -> None:
    found = portraits["nothing shown"]
    assert found["contents_opened"] == 3
    assert found["content_categories"] is None
