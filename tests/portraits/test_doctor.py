"""The doctor says what a history supports; each check is shown a history that has a thing and one that lacks it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from portraits.doctor import CHECKS, ENOUGH_USERS, FEWEST_USERS, Finding, diagnose
from portraits.history import EVENTS
from portraits.lake import Lake
from portraits.settings import AppSettings
from recommender.backtest import FEWEST_JUDGED

START = datetime(2026, 1, 1, tzinfo=UTC)
RICH: dict[str, Any] = {
    "amount": 100,
    "list_amount": 120,
    "order_id": "o",
    "scene": "1001",
    "session_id": "s",
    "platform": "wechat",
    "decision_id": "d",
    "query": "tea",
    "referrer_user_id": "f",
    "store_id": "shop 1",
    "content_id": "film",
    "offer_id": "coupon",
    "group_id": "g",
}


def findings(folder: Path, rows: list[dict[str, Any]], catalogues: dict[str, pa.Table]) -> dict[str, Finding]:
    lake = Lake(folder)
    full = [{"event_id": str(i)} | row for i, row in enumerate(rows)]
    lake.append_events("shop", pa.Table.from_pylist(full, schema=EVENTS.arrow_schema()))
    for name, table in catalogues.items():
        lake.upsert("shop", name, table)
    return {found.subject: found for found in diagnose(lake.snapshot("shop"), AppSettings("shop"))}


def test_a_rich_history_supports_everything(tmp_path: Path) -> None:
    events = [
        {"user_id": f"u{user}", "ts": START + timedelta(days=day), "type": kind, "item_id": f"i{day % 2}", **RICH}
        for user in range(ENOUGH_USERS)
        for day, kind in ((0, "purchase"), (45, "exposure"), (46, "click"), (99, "purchase"))
    ]
    catalogues = {
        "items": pa.table(
            {
                "item_id": ["i0", "i1"],
                "title": ["a", "b"],
                "category": [["x"], ["y"]],
                "brand": ["b", "b"],
                "price": [1, 2],
                "cost": [1, 1],
                "stock": [5, 5],
            }
        ),
        "users": pa.table({"user_id": ["u0", "u1"], "consent": [True, False]}),
        "identities": pa.table({"link_id": ["l"], "user_id": ["u0"]}),
    }
    found = findings(tmp_path, events, catalogues)
    told = {subject: finding.ok for subject, finding in found.items()}
    quiet = 100 - 4
    assert told.pop("time") is None
    assert f"{quiet} of 100 days have no event" in found["time"].sentence
    assert set(told.values()) == {True}
    assert "100% of buyers bought on two days or more" in found["repeat purchases"].sentence
    assert "1 refuse personalisation" in found["users catalogue"].sentence
    assert "200 exposures and 200 clicks" in found["exposures"].sentence


def test_a_poor_history_is_told_what_it_lacks(tmp_path: Path) -> None:
    found = findings(tmp_path, [{"user_id": "u", "ts": START, "type": "purchase"}], {})
    told = {subject for subject, finding in found.items() if finding.ok is False}
    assert told == {
        *("visitors", "repeat purchases", "prices", "discounts", "orders", "items catalogue", "taste", "entrances"),
        *("sessions", "platforms", "decisions", "searches", "sharing", "exposures", "stores", "content", "offers"),
        "group buys",
    }
    assert "under 28 days" in found["time"].sentence
    assert "popularity is published" in found["visitors"].sentence


@pytest.mark.parametrize(
    ("users", "items", "ok", "says"),
    [
        (FEWEST_USERS - 1, 2, False, "popularity is published"),
        (FEWEST_USERS, 1, None, "0 of whom met two items or more: few to learn"),
        (ENOUGH_USERS - 1, 2, None, "few to learn"),
        (ENOUGH_USERS, 2, True, "enough to learn"),
    ],
)
def test_popularity_is_announced_only_where_no_model_can_be_judged(
    tmp_path: Path, users: int, items: int, ok: bool | None, says: str
) -> None:
    rows = [
        {"user_id": f"u{user}", "ts": START + timedelta(days=day), "type": "purchase", "item_id": f"i{day % items}"}
        for user in range(users)
        for day in range(2)
    ]
    found = findings(tmp_path, rows, {})["visitors"]
    assert (found.ok, says in found.sentence) == (ok, True)
    assert ("popularity" in found.sentence) is (ok is False)
    assert FEWEST_USERS == FEWEST_JUDGED


@pytest.mark.parametrize(("buyers", "viewers", "visits"), [(1, 30, True), (1, 29, False), (30, 40, False)])
def test_a_test_order_is_not_the_aim(tmp_path: Path, buyers: int, viewers: int, visits: bool) -> None:
    rows = [{"user_id": f"u{n}", "ts": START, "type": "item_view", "item_id": "i"} for n in range(viewers)]
    rows += [{"user_id": f"u{n}", "ts": START, "type": "purchase", "item_id": "i"} for n in range(buyers)]
    found = findings(tmp_path, rows, {})["purchases"]
    assert (found.ok is None, "visits and clicks are the aim" in found.sentence) == (visits, visits)


@pytest.mark.parametrize(
    ("second", "sentence"), [(0, "carry no time"), (5, "carry only an order")], ids=["none", "row order"]
)
def test_events_without_time_turn_time_off(tmp_path: Path, second: int, sentence: str) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    found = findings(tmp_path, [{"user_id": "u", "ts": moment, "type": "purchase"}], {})
    assert found["time"].ok is False
    assert sentence in found["time"].sentence
    assert "repeat purchases" not in found


def test_conflicts_are_told_with_their_reason(tmp_path: Path) -> None:
    rows = [{"event_id": "same", "user_id": user, "ts": START, "type": "view"} for user in "ab"]
    found = findings(tmp_path, rows, {})
    assert found["quarantine"].sentence.startswith("1 rows of events could not be taken: conflict")
    assert found["purchases"].ok is None


@pytest.mark.fault
def test_an_empty_app_is_told_what_to_do(tmp_path: Path) -> None:
    first, second = diagnose(Lake(tmp_path).snapshot("shop"), AppSettings("shop"))
    assert (first.subject, first.ok) == ("events", False)
    assert "huaxiang import events" in first.sentence
    assert second == Finding("quarantine", True, "No row was refused.")


def test_shared_ids_are_named(tmp_path: Path) -> None:
    """A tablet of 25 visitors: it links nobody, the openids of two of them do."""
    users = [f"u{n:02}" for n in range(25)]
    links = {"link_id": [f"l{n}" for n in range(25)], "user_id": users, "unionid": ["tablet"] * 25}
    links["openid"] = ["o00", "o01", *[None] * 23]
    rows = [{"user_id": "u", "ts": START, "type": "view"}]
    found = findings(tmp_path, rows, {"identities": pa.table(links)})
    assert found["identities"].sentence == "25 links; 2 people are known under several ids."
    assert found["shared ids"].ok is None
    assert (
        "1 ids would link too many people and are ignored: unionid 'tablet' (25 users)." in found["shared ids"].sentence
    )


def test_every_check_says_something_in_whole_sentences(tmp_path: Path) -> None:
    found = findings(tmp_path, [{"user_id": "u", "ts": START, "type": "view"}], {})
    assert len(found) >= len(CHECKS)
    assert all(finding.sentence[0].isupper() or finding.sentence[0].isdigit() for finding in found.values())
    assert all(finding.sentence.endswith(".") for finding in found.values())
