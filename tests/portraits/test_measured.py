"""The counts of a history: of events, of catalogues, of what was refused; of nothing there are none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from portraits.engine import connect
from portraits.lake import Lake
from portraits.measured import count_refused, measure
from portraits.settings import AppSettings

SHOP = AppSettings("shop")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def event(number: int, user: str, kind: str, days: int = 0, amount: int | None = None) -> dict[str, object]:
    ts = NOON + timedelta(days=days)
    return {"event_id": f"e{number}", "user_id": user, "ts": ts, "type": kind, "item_id": "tea", "amount": amount}


def test_a_history_without_events_has_no_counts(tmp_path: Path) -> None:
    snapshot, con = Lake(tmp_path).snapshot("shop"), connect()
    assert measure(snapshot, SHOP, con) is None
    assert count_refused(snapshot, con) == {}


def test_what_is_there_is_counted(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    rows = [
        event(1, "ann", "item_view"),
        event(2, "ann", "purchase", 2, 100),
        event(3, "ann", "purchase", 4),
        event(4, "bob", "item_view", 4),
    ]
    lake.append_events("shop", pa.Table.from_pylist(rows))
    lake.append_events("shop", pa.Table.from_pylist([event(1, "eve", "item_view")]))
    lake.upsert("shop", "items", pa.table({"item_id": ["tea", "pot"], "title": ["Tea", None]}))
    facts = measure(lake.snapshot("shop"), SHOP, connect())
    assert facts is not None
    assert (facts.time_kind, facts.days, facts.by_type) == ("real", 5, {"item_view": 2, "purchase": 2})
    names = ("rows", "users", "buyers", "buyers_of_two_days", "purchases", "priced", "users_of_two_events")
    assert [facts.events[name] for name in names] == [4, 2, 1, 1, 2, 1, 1]
    assert facts.share("priced", "purchases") == 1 / 2
    assert facts.share("referred") == 0
    assert [facts.catalogues["items"][name] for name in ("rows", "seen", "with_title")] == [2, 1, 1]
    assert list(facts.refused.values()) == [1]
