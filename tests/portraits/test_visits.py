from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import plain_portraits
import planted_history as planted

from portraits.local import from_us
from portraits.visits import visits_of, without_test_traffic

COLUMNS = ("user_id", "ts_us", "type", "platform", "scene", "ts")


def by_user(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["user_id"]].append(row)
    return found


def test_visits_are_the_sessions_of_the_contract() -> None:
    rows = planted.events()
    events = planted.past(rows, user_rows=[]).before
    found = {user: sorted(r["start_us"] for r in group) for user, group in by_user(_rows(visits_of(events))).items()}
    expected = {user: plain_portraits.sessions(group) for user, group in by_user(rows).items()}
    assert {u: [from_us(us) for us in starts] for u, starts in found.items()} == {
        user: [session[0]["ts"] for session in sessions] for user, sessions in expected.items()
    }
    assert sum(row["events"] for row in _rows(visits_of(events))) == len(rows)


def test_a_visit_knows_its_end_its_events_and_its_entrance() -> None:
    start = planted.START
    rows = [_event(start, "page_view"), _event(start, "launch", "1047"), _event(_after(start, 29), "item_view")]
    rows += [_event(_after(start, 30), "launch", "1089"), _event(_after(start, 99), "page_view")]
    visits = sorted(_rows(visits_of(planted.past(planted.numbered(rows, "e")).before)), key=lambda v: v["start_us"])
    assert [(v["scene"], v["events"], from_us(v["end_us"])) for v in visits] == [
        ("1047", 3, _after(start, 29)),
        ("1089", 1, _after(start, 30)),
        ("", 1, _after(start, 99)),
    ]


def test_test_traffic_takes_its_whole_visit_along() -> None:
    start = planted.START
    kept = [_event(start, "launch", "1047"), _event(_after(start, 1), "item_view")]
    test = [_event(_after(start, 2), "launch", "1129"), _event(_after(start, 3), "item_view")]
    later = [_event(_after(start, 60), "page_view")]
    before = planted.past(planted.numbered(kept + test + later, "e")).before
    left = without_test_traffic(before).ts.to_pyarrow().to_pylist()
    assert sorted(left) == [row["ts"] for row in kept + later]


def _rows(table: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_pyarrow().to_pylist()
    return rows


def _event(ts: datetime, kind: str, scene: str | None = None) -> dict[str, Any]:
    return {"user_id": "u", "ts": ts, "type": kind, "scene": scene}


def _after(start: datetime, minutes: int) -> datetime:
    return start + timedelta(minutes=minutes)
