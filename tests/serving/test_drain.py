"""The day's rows in the lake: all of them, once, whatever is repeated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from portraits.engine import connect
from portraits.history import EVENTS, ITEMS
from portraits.lake import Lake
from portraits.settings import AppSettings
from serving import drain as drain_module
from serving.drain import as_table, drain
from serving.events import store_batch
from serving.sent_events import prepare
from serving.stores import Store

NOW = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store.open(store_url)
    opened.add_app(AppSettings("shop"))
    yield opened
    opened.close()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def send(store: Store, *events: dict[str, object], now: datetime = NOW) -> None:
    batch = prepare(events, now)
    with store.write() as connection:
        store_batch(connection, "shop", batch)


def event(number: int, **columns: object) -> dict[str, object]:
    ts = (NOW - timedelta(minutes=number)).isoformat()
    return {"event_id": f"e{number}", "user_id": "ann", "ts": ts, "type": "item_view", "item_id": "tea"} | columns


def quiet(_: str) -> None:
    """Hears nothing."""


def test_every_event_arrives_once_with_its_values(store: Store, lake: Lake) -> None:
    send(store, event(1, quantity=1.25, amount=990, properties={"note": "中文 😀\n"}), event(2), event(2))
    assert drain(store, lake, "shop", quiet).events == 2
    rows = lake.snapshot("shop").events(connect()).order_by("event_id").to_pyarrow().to_pylist()
    assert [row["event_id"] for row in rows] == ["e1", "e2"]
    assert (rows[0]["quantity"], rows[0]["amount"], rows[0]["received_at"]) == (Decimal("1.25"), 990, NOW)
    assert json.loads(rows[0]["properties"]) == {"note": "中文 😀\n"}


def test_a_second_drain_finds_nothing_and_a_repeated_one_finds_duplicates(store: Store, lake: Lake) -> None:
    send(store, *(event(number) for number in range(5)))
    page = store.events_to_drain("shop")
    lake.append("shop", "events", as_table(EVENTS, page.payloads), "before the crash")
    drained = drain(store, lake, "shop", quiet)
    assert (drained.events, drained.duplicates) == (0, 5)
    assert drain(store, lake, "shop", quiet).duplicates == 0
    assert lake.snapshot("shop").events(connect()).count().execute() == 5


def test_it_ends_although_events_keep_coming(store: Store, lake: Lake) -> None:
    """What comes while it copies is the next night's: under steady traffic there would else always be one page more."""
    heard: list[str] = []

    def send_another(what: str) -> None:
        heard.append(what)
        if len(heard) > 3:
            raise RuntimeError("it goes on for as long as events come")
        send(store, event(100 + len(heard)))

    send(store, event(1))
    assert drain(store, lake, "shop", send_another).events == 1
    assert drain(store, lake, "shop", quiet).events == 1


@pytest.mark.parametrize("ahead", [timedelta(seconds=90), timedelta(hours=30)])
@pytest.mark.parametrize("properties", [{}, {"properties": {"shelf": 3}}, {"properties": "[1]"}])
def test_an_event_from_the_future_is_known_again_after_its_night(
    store: Store, lake: Lake, ahead: timedelta, properties: dict[str, object]
) -> None:
    """Law 5: the store has forgotten it by then, the lake must know what was sent and not what it made of it."""
    early = event(1, ts=(NOW + ahead).isoformat(), type="purchase", amount=5, **properties)
    send(store, early)
    assert drain(store, lake, "shop", quiet).events == 1
    store.activate("shop", as_of=NOW + timedelta(hours=1), bundle="v1", portraits="v1")
    assert store.delete_drained("shop", round((NOW + timedelta(hours=1)).timestamp() * 1e6)) == 1
    send(store, early, event(2), now=NOW + timedelta(hours=40))
    drained = drain(store, lake, "shop", quiet)
    assert (drained.events, drained.duplicates, drained.conflicts) == (1, 1, 0)


def test_a_property_of_that_name_makes_no_event_one_from_the_future(store: Store, lake: Lake) -> None:
    send(store, event(1, properties={"sent_ts": "2026-03-02T05:00:00Z", "shelf": 3}))
    assert drain(store, lake, "shop", quiet).events == 1
    (kept,) = lake.snapshot("shop").events(connect()).to_pyarrow().to_pylist()
    assert json.loads(kept["properties"])["sent_ts"] == "2026-03-02T05:00:00Z"


def test_many_pages_are_one_history(store: Store, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain_module, "PAGE_ROWS", 7)
    send(store, *(event(number) for number in range(20)))
    assert drain(store, lake, "shop", quiet).events == 20


def test_a_catalogue_row_keeps_the_moments_at_which_it_was_true(store: Store, lake: Lake) -> None:
    store.upsert("shop", "items", [{"item_id": "tea", "price": 100}])
    between = datetime.now(UTC)
    store.upsert("shop", "items", [{"item_id": "tea", "price": 120}])
    assert drain(store, lake, "shop", quiet).changes == 2
    snapshot = lake.snapshot("shop")
    for as_of, price in ((between, 100), (None, 120)):
        assert snapshot.catalogue(connect(), "items", as_of).to_pyarrow().to_pylist()[0]["price"] == price
    assert drain(store, lake, "shop", quiet).changes == 0


def test_json_becomes_the_types_of_the_contract() -> None:
    rows = as_table(ITEMS, ['{"item_id": "a", "category": ["x", "y"], "hidden": true, "price": 9007199254740993}'])
    assert rows.schema == ITEMS.arrow_schema()
    assert rows.to_pylist()[0]["price"] == 2**53 + 1
    assert rows.to_pylist()[0]["category"] == ["x", "y"]


def test_what_requests_were_refused_is_in_the_quarantine_once(store: Store, lake: Lake) -> None:
    send(store, event(1), {"event_id": "bad", "user_id": "ann", "type": "launch"}, event(2, amount=-5))
    assert drain(store, lake, "shop", quiet).rejected == 2
    assert drain(store, lake, "shop", quiet).rejected == 0
    rows = lake.snapshot("shop").quarantine(connect()).order_by("line").to_pyarrow().to_pylist()
    assert [(row["table"], row["source"], row["column"], row["reason"]) for row in rows] == [
        ("events", "/v1/events", "ts", "missing"),
        ("events", "/v1/events", "amount", "less than 0"),
    ]
    assert lake.snapshot("shop").events(connect()).count().execute() == 1
