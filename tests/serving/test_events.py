"""Events from outside: checked one by one, clamped, known again, in one commit with whoever else waits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portraits.checking import Rejection, check
from portraits.history import EVENTS
from portraits.settings import AppSettings
from serving.events import store_batch
from serving.sent_events import Batch, prepare
from serving.stores import Store

NOW = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store.open(store_url)
    opened.add_app(AppSettings("shop"))
    yield opened
    opened.close()


def sent(event_id: str, ts: datetime = NOW, **columns: Any) -> dict[str, Any]:
    return {"event_id": event_id, "user_id": "ann", "ts": ts.isoformat(), "type": "item_view"} | columns


def stored(store: Store) -> list[dict[str, Any]]:
    return [json.loads(text) for text in store.events_to_drain("shop", 0).payloads]


def save(store: Store, batch: Batch) -> tuple[list[str], list[tuple[int, str]]]:
    with store.write() as connection:
        outcomes, rejected = store_batch(connection, "shop", batch)
    return list(outcomes), [(row.line, row.column) for row in rejected]


def test_each_event_is_taken_or_refused_by_itself(store: Store) -> None:
    batch = prepare([sent("a"), {"event_id": "b"}, "text", sent("c", amount=-1), sent("d", colour=1), sent("e")], NOW)
    outcomes, rejected = save(store, batch)
    assert outcomes == ["accepted", "accepted"]
    assert rejected == [(1, "user_id"), (2, "events"), (3, "amount"), (4, "colour")]
    kept = [row for _, row in store.rejected_to_drain("shop")]
    assert [(row.line, row.column, row.value) for row in kept][2:] == [(3, "amount", "-1"), (4, "colour", "1")]
    assert json.loads(kept[0].row) == {"event_id": "b"}


def test_a_stored_event_is_the_checked_row(store: Store) -> None:
    """The same schema by day as by night: what is stored passes `check` to the same values."""
    record = sent("a", quantity="1.25", amount=990, item_id="茶", properties={"note": "😀\n"}, city="上海")
    save(store, prepare([record], NOW))
    taken = check(EVENTS, stored(store)[0])
    expected = check(EVENTS, record)
    assert not isinstance(taken, Rejection)
    assert not isinstance(expected, Rejection)
    assert taken == expected | {"received_at": NOW}


def test_the_server_says_when_an_event_was_received(store: Store) -> None:
    save(store, prepare([sent("a", received_at="2020-01-01T00:00:00Z")], NOW))
    assert stored(store)[0]["received_at"] == NOW.isoformat()


@pytest.mark.fault
def test_a_clock_from_the_future(store: Store) -> None:
    future = NOW + timedelta(days=400)
    save(store, prepare([sent("a", future, properties={"shelf": 3}), sent("b", future, properties="[1]")], NOW))
    first, second = stored(store)
    assert (first["ts"], first["received_at"]) == (NOW.isoformat(), NOW.isoformat())
    assert json.loads(first["properties"]) == {"shelf": 3, "sent_ts": future.isoformat()}
    assert json.loads(second["properties"]) == {"sent": [1], "sent_ts": future.isoformat()}


@pytest.mark.fault
def test_an_event_from_the_future_is_known_again_later(store: Store) -> None:
    ahead = NOW + timedelta(minutes=10)
    assert save(store, prepare([sent("a", ahead)], NOW))[0] == ["accepted"]
    assert save(store, prepare([sent("a", ahead)], NOW + timedelta(minutes=3)))[0] == ["duplicate"]
    assert save(store, prepare([sent("a", ahead)], NOW + timedelta(days=2)))[0] == ["duplicate"]
    assert len(stored(store)) == 1


def test_the_same_id_with_other_content_is_a_conflict_and_is_kept_aside(store: Store) -> None:
    save(store, prepare([sent("a", amount=1)], NOW))
    outcomes, rejected = save(store, prepare([sent("b"), sent("a", amount=2)], NOW))
    assert (outcomes, rejected) == (["accepted", "conflict"], [(1, "event_id")])
    (_, kept), *rest = store.rejected_to_drain("shop")
    assert kept.reason.startswith("conflict")
    assert json.loads(kept.row)["amount"] == 2
    assert not rest
    assert stored(store)[0]["amount"] == 1


@pytest.mark.fault
def test_every_event_the_same_microsecond(store: Store) -> None:
    outcomes, _ = save(store, prepare([sent(f"e{n}", item_id=f"i{n}") for n in range(300)], NOW))
    assert outcomes == ["accepted"] * 300
    assert len(store.state("shop", "ann").recent) == 300
