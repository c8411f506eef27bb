"""Events from outside: checked one by one, clamped, known again, in one commit with whoever else waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from portraits.errors import StoreUnavailable
from portraits.history import EVENTS, Rejection, check
from portraits.settings import AppSettings
from serving import writer as writer_module
from serving.events import Batch, prepare, store_batch
from serving.stores import Store
from serving.stores.events import DecisionRow, insert_events
from serving.writer import Writer

NOW = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}")
    opened.add_app(AppSettings("shop"))
    yield opened
    opened.close()


@pytest.fixture
def writer(store: Store) -> Iterator[Writer]:
    started = Writer(store)
    started.start()
    yield started
    started.close()


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


def test_requests_that_wait_together_share_a_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = []
    write = store.write
    monkeypatch.setattr(store, "write", lambda: commits.append(1) or write())
    writer = Writer(store)

    async def many() -> list[Any]:
        waiting = [asyncio.create_task(_send(writer, prepare([sent(f"e{n}")], NOW))) for n in range(50)]
        await asyncio.sleep(0)  # all are in the queue before the thread begins
        writer.start()
        return await asyncio.gather(*waiting)

    outcomes = asyncio.run(many())
    writer.close()
    assert [one for (one,), _ in outcomes] == ["accepted"] * 50
    assert len(commits) == 1
    assert len(stored(store)) == 50


async def _send(writer: Writer, batch: Batch) -> Any:
    return await writer.write(lambda connection: store_batch(connection, "shop", batch))


def test_one_bad_write_fails_nobody_else_s(store: Store) -> None:
    def bad(connection: Connection) -> None:
        insert_events(connection, "shop", prepare([sent("half")], NOW).rows)
        raise ZeroDivisionError

    writer = Writer(store)

    async def both() -> list[Any]:
        waiting = [
            asyncio.create_task(writer.write(bad)),
            asyncio.create_task(_send(writer, prepare([sent("a")], NOW))),
        ]
        await asyncio.sleep(0)
        writer.start()
        return await asyncio.gather(*waiting, return_exceptions=True)

    failed, done = asyncio.run(both())
    writer.close()
    assert isinstance(failed, ZeroDivisionError)
    assert done == (["accepted"], [])
    assert [row["event_id"] for row in stored(store)] == ["a"]


@pytest.mark.fault
def test_a_store_that_cannot_be_written_accepts_nothing_and_comes_back(
    store: Store, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.stores.dialect.WRITE_WAIT_S", 0.05)
    with store.write(), pytest.raises(StoreUnavailable):
        asyncio.run(_send(writer, prepare([sent("a")], NOW)))
    assert stored(store) == []
    assert asyncio.run(_send(writer, prepare([sent("a")], NOW))) == (["accepted"], [])


@pytest.mark.fault
def test_a_queue_that_is_full_refuses(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "WAITING", 1)
    writer = Writer(store)

    async def two() -> list[Any]:
        first = asyncio.create_task(_send(writer, prepare([sent("a")], NOW)))
        await asyncio.sleep(0)
        second = asyncio.create_task(_send(writer, prepare([sent("b")], NOW)))
        await asyncio.wait([second])
        writer.start()
        return await asyncio.gather(first, second, return_exceptions=True)

    done, refused = asyncio.run(two())
    writer.close()
    assert done == (["accepted"], [])
    assert isinstance(refused, StoreUnavailable)


def test_what_is_written_behind_is_there_after_closing(store: Store) -> None:
    writer = Writer(store)
    writer.start()
    for number in range(10):
        writer.behind("shop", DecisionRow(f"d{number}", "ann", 5, "{}"))
    writer.close()
    assert len(store.decisions_to_drain("shop").payloads) == 10


@pytest.mark.fault
def test_decisions_wait_for_a_store_that_is_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.stores.dialect.WRITE_WAIT_S", 0.05)
    monkeypatch.setattr(writer_module, "BEHIND", 3)
    writer = Writer(store)
    for number in range(5):
        writer.behind("shop", DecisionRow(f"d{number}", "ann", 5, "{}"))
    assert writer.lost_decisions == 2
    with store.write():
        writer.start()
        with pytest.raises(StoreUnavailable):
            asyncio.run(_send(writer, prepare([sent("a")], NOW)))
    writer.close()
    assert len(store.decisions_to_drain("shop").payloads) == 3
