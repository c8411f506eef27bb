"""A shop small enough for a night of seconds, with habits that a model can learn: who buys what comes in two kinds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from portraits.history import EVENTS, ITEMS
from portraits.lake import Lake
from portraits.settings import AppSettings
from serving.events import store_batch
from serving.sent_events import prepare
from serving.settings import ProcessSettings
from serving.stores import Store

END = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
"""The last event of the history lies before it, those of the day that is not drained yet just before it, too."""
USERS, ITEMS_COUNT, DAYS = 80, 24, 60


def open_small_shop(home: Path, app_id: str = "shop") -> tuple[ProcessSettings, Store, Lake]:
    """The app with its history in the lake, and 40 events of the day in the store."""
    process, store, lake = open_empty_shop(home, app_id)
    lake.upsert(app_id, "items", catalogue(), source="test")
    lake.append(app_id, "events", purchases(), "test")
    send(store, app_id, [today(number) for number in range(40)])
    return process, store, lake


def open_empty_shop(home: Path, app_id: str = "shop") -> tuple[ProcessSettings, Store, Lake]:
    """The app and nothing in it."""
    process = ProcessSettings(home=home, secret="only for tests")
    home.mkdir(parents=True, exist_ok=True)
    store = Store.open(process.store_url)
    store.add_app(AppSettings(app_id))
    return process, store, Lake(process.lake)


def catalogue() -> pa.Table:
    """Items of two categories, tea and ware."""
    kinds = (["ware"], ["tea"])
    rows = [
        {"item_id": f"i{item:02}", "title": f"茶 {item}", "category": kinds[item % 2], "price": 100 + item}
        for item in range(ITEMS_COUNT)
    ]
    return pa.Table.from_pylist(rows, schema=ITEMS.arrow_schema())


def purchases() -> pa.Table:
    """Everybody buys every third day or so, nine times of ten of their own category, and has a favourite."""
    rng = np.random.default_rng(7)
    rows = []
    for user in range(USERS):
        for day in range(user % 3, DAYS, 3):
            own = 2 * int(rng.integers(ITEMS_COUNT // 2)) + user % 2
            other = int(rng.integers(ITEMS_COUNT))
            favourite = (5 * user) % ITEMS_COUNT
            item = int(rng.choice([own, favourite, other], p=[0.6, 0.3, 0.1]))
            ts = END - timedelta(days=DAYS - day, minutes=user + 60)
            rows.append(purchase(f"{user}-{day}", f"u{user:03}", f"i{item:02}", ts))
    return pa.Table.from_pylist(rows, schema=EVENTS.arrow_schema())


def purchase(event_id: str, user_id: str, item_id: str, ts: datetime) -> dict[str, object]:
    """One order line."""
    bought = {"type": "purchase", "item_id": item_id, "order_id": f"o-{event_id}", "amount": 100}
    return {"event_id": event_id, "user_id": user_id, "ts": ts, **bought}


def today(number: int, ts: datetime | None = None) -> dict[str, object]:
    """One event of the day, as a client sends it."""
    moment = ts or END - timedelta(minutes=1 + number)
    common = {"event_id": f"today-{number}", "user_id": f"u{number % USERS:03}", "ts": moment.isoformat()}
    return common | {"type": "item_view", "item_id": f"i{number % ITEMS_COUNT:02}"}


def send(store: Store, app_id: str, events: list[dict[str, object]]) -> None:
    """Stores events as a request would."""
    batch = prepare(events, datetime.now(UTC))
    with store.write() as connection:
        store_batch(connection, app_id, batch)
