"""The writing thread: group commit, its bounds, and an app's fair share of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection

from portraits.errors import StoreUnavailable
from portraits.settings import AppSettings
from serving import writer as writer_module
from serving.events import store_batch
from serving.sent_events import Batch, prepare
from serving.stores import Store
from serving.stores.events import DecisionRow, insert_events
from serving.writer import Writer

NOW = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store.open(store_url)
    opened.add_app(AppSettings("shop"))
    opened.add_app(AppSettings("cafe"))
    yield opened
    opened.close()


@pytest.fixture
def writer(store: Store) -> Iterator[Writer]:
    started = Writer(store)
    started.start()
    yield started
    started.close()


def sent(event_id: str) -> dict[str, Any]:
    return {"event_id": event_id, "user_id": "ann", "ts": NOW.isoformat(), "type": "item_view"}


def stored(store: Store) -> list[dict[str, Any]]:
    return [json.loads(text) for text in store.events_to_drain("shop", 0).payloads]


def test_requests_that_wait_together_share_a_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "GROUP_S", 60.0)
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
    return await writer.write("shop", lambda connection: store_batch(connection, "shop", batch))


def test_one_bad_write_fails_nobody_else_s(store: Store) -> None:
    def bad(connection: Connection) -> None:
        insert_events(connection, "shop", prepare([sent("half")], NOW).rows)
        raise ZeroDivisionError

    writer = Writer(store)

    async def both() -> list[Any]:
        waiting = [
            asyncio.create_task(writer.write("shop", bad)),
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
    monkeypatch.setattr("serving.stores.sqlite.WRITE_WAIT_S", 0.05)
    with store.write(), pytest.raises(StoreUnavailable):
        asyncio.run(_send(writer, prepare([sent("a")], NOW)))
    assert stored(store) == []
    assert asyncio.run(_send(writer, prepare([sent("a")], NOW))) == (["accepted"], [])


@pytest.mark.fault
def test_a_queue_that_is_full_refuses(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "WAITING", 1)
    monkeypatch.setattr(writer_module, "WAITING_ALWAYS", 1)
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
    monkeypatch.setattr("serving.stores.sqlite.WRITE_WAIT_S", 0.05)
    monkeypatch.setattr(writer_module, "BEHIND_BYTES", 6)
    writer = Writer(store)
    for number in range(5):
        writer.behind("shop", DecisionRow(f"d{number}", "ann", 5, "{}"))
    assert writer.lost_decisions == 2
    with store.write():
        writer.start()
        with pytest.raises(StoreUnavailable):
            asyncio.run(_send(writer, prepare([sent("a")], NOW)))
    monkeypatch.setattr("serving.stores.sqlite.WRITE_WAIT_S", 5.0)
    asyncio.run(_send(writer, prepare([sent("b")], NOW)))  # the thread may be at a try that began before
    writer.close()
    assert len(store.decisions_to_drain("shop").payloads) == 3


@pytest.mark.fault
def test_answers_that_cannot_be_written_keep_no_event_out(
    store: Store, writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    writer.behind("shop", DecisionRow("bad", "ann", None, "{}"))  # type: ignore[arg-type]
    assert asyncio.run(_send(writer, prepare([sent("a")], NOW))) == (["accepted"], [])
    while not writer.lost_decisions:
        assert asyncio.run(_send(writer, prepare([sent("a")], NOW))) == (["duplicate"], [])
    writer.behind("shop", DecisionRow("good", "ann", 5, "{}"))
    writer.close()
    assert writer.lost_decisions == 1
    assert len(store.decisions_to_drain("shop").payloads) == 1
    assert [record.message for record in caplog.records] == ["1 answers cannot be written down"]


@pytest.mark.fault
def test_closing_does_not_wait_for_a_store_that_is_away(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One try, however much waits, and one line."""
    monkeypatch.setattr("serving.stores.sqlite.WRITE_WAIT_S", 0.05)
    monkeypatch.setattr(writer_module, "BEHIND_AT_ONCE", 2)
    monkeypatch.setattr(writer_module, "BEHIND_EVERY_S", 60.0)
    tries = []
    write = store.write
    writer = Writer(store)
    for number in range(9):
        writer.behind("shop", DecisionRow(f"d{number}", "ann", 5, "{}"))
    with store.write():
        monkeypatch.setattr(store, "write", lambda: tries.append(1) or write())
        writer.start()
        writer.close()
    assert (writer.lost_decisions, len(tries)) == (9, 1)
    assert len(caplog.records) == 1


@pytest.mark.fault
def test_an_outage_is_told_when_it_begins_and_when_it_ends(
    store: Store, writer: Writer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("serving.stores.sqlite.WRITE_WAIT_S", 0.05)
    with store.write():
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                asyncio.run(_send(writer, prepare([sent("a")], NOW)))
    asyncio.run(_send(writer, prepare([sent("a")], NOW)))
    assert [record.message.partition(":")[0] for record in caplog.records] == ["nothing was written", "writing again"]


def test_an_app_that_floods_keeps_nobody_else_waiting(store: Store) -> None:
    """Thirty large writes wait; small ones of another app come last and go second."""
    writer = Writer(store)
    order: list[str] = []

    def note(app_id: str) -> Callable[[Connection], None]:
        return lambda _connection: order.append(app_id)

    async def crowd() -> None:
        waiting = [asyncio.create_task(writer.write("shop", note("shop"), rows=500)) for _ in range(30)]
        waiting += [asyncio.create_task(writer.write("cafe", note("cafe"), rows=20)) for _ in range(25)]
        await asyncio.sleep(0)
        writer.start()
        await asyncio.gather(*waiting)

    asyncio.run(crowd())
    writer.close()
    assert order[:27] == ["shop", *["cafe"] * 25, "shop"]
    assert len(order) == 55


def test_an_app_that_comes_late_has_no_debt_of_turns_to_collect(store: Store) -> None:
    writer = Writer(store)
    order: list[str] = []

    async def write(app_id: str, rows: int) -> None:
        await writer.write(app_id, lambda _connection: order.append(app_id), rows=rows)

    async def crowd() -> None:
        early = [asyncio.create_task(write("shop", 10)) for _ in range(50)]
        await asyncio.sleep(0)
        writer.start()
        await early[-1]
        late = [asyncio.create_task(write(app_id, 10)) for app_id in ("shop", "cafe") for _ in range(50)]
        await asyncio.gather(*early, *late)

    asyncio.run(crowd())
    writer.close()
    assert order[50:].count("cafe") == 50
    assert order[-2:] in (["shop", "cafe"], ["cafe", "shop"])


@pytest.mark.fault
def test_one_app_s_waiting_writes_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "WAITING_EACH", 40)
    writer = Writer(store)

    async def crowd() -> list[Any]:
        apps = ["shop"] * 3 + ["cafe"]
        waiting = [asyncio.create_task(writer.write(app_id, lambda _connection: None, rows=20)) for app_id in apps]
        await asyncio.sleep(0)
        writer.start()
        return await asyncio.gather(*waiting, return_exceptions=True)

    outcomes = asyncio.run(crowd())
    writer.close()
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), StoreUnavailable, type(None)]


def test_a_transaction_takes_on_writes_for_a_bounded_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no time at all each write has a transaction of its own, and none is left out."""
    monkeypatch.setattr(writer_module, "GROUP_S", 0.0)
    commits = []
    write = store.write
    monkeypatch.setattr(store, "write", lambda: commits.append(1) or write())
    writer = Writer(store)

    async def crowd() -> list[Any]:
        waiting = [asyncio.create_task(_send(writer, prepare([sent(f"e{n}")], NOW))) for n in range(5)]
        await asyncio.sleep(0)
        writer.start()
        return await asyncio.gather(*waiting)

    assert [one for (one,), _ in asyncio.run(crowd())] == ["accepted"] * 5
    writer.close()
    assert len(commits) == 5
