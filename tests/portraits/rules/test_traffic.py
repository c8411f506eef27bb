from __future__ import annotations

from typing import Any

import planted_history as planted
import pytest

from portraits.local import to_us
from portraits.rules.match import Act
from portraits.rules.traffic import Happened, session_starts, without_test_traffic
from portraits.sessions import SILENCE_US


def launch(us: int, scene: str | None = None) -> Happened:
    return Happened(Act(us, "launch"), "wechat", scene)


def view(us: int) -> Happened:
    return Happened(Act(us, "item_view"))


@pytest.mark.parametrize(
    ("events", "starts"),
    [
        ([], []),
        ([view(0), view(SILENCE_US), view(2 * SILENCE_US + 1)], [0, 2 * SILENCE_US + 1]),
        ([launch(0, "1047"), launch(5, "1047"), launch(6), launch(7, "1089")], [0]),
        ([launch(0, "1047"), launch(5, "1089")], [0, 5]),
    ],
)
def test_sessions(events: list[Happened], starts: list[int]) -> None:
    assert session_starts(events) == starts


def test_one_event_tells_of_its_session() -> None:
    events = [view(9), launch(5, "1129"), view(SILENCE_US + 10), view(2)]
    assert [act.us for act in without_test_traffic(events)] == [SILENCE_US + 10]


def test_as_the_night() -> None:
    """Everyone of the planted history, visitors with nothing but test traffic included."""
    by_user: dict[str, list[Any]] = {}
    refused = {row["user_id"] for row in planted.users() if row.get("consent") is False}
    for row in planted.events():
        if row["user_id"] not in refused:
            by_user.setdefault(row["user_id"], []).append(Happened.of(to_us(row["ts"]), row))
    night = planted.past(planted.events()).events.select("user_id", "ts_us", "type").to_pyarrow().to_pylist()
    kept = sorted((row["user_id"], row["ts_us"], row["type"]) for row in night)
    day = [(user, act.us, act.type) for user, events in by_user.items() for act in without_test_traffic(events)]
    assert sorted(day) == kept
    assert len(kept) < sum(map(len, by_user.values()))
