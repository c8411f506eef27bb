"""What happened to permissions for messages since the night, told of persons."""

from __future__ import annotations

from datetime import UTC, datetime

from portraits.settings import AppSettings
from serving.stores import Store
from serving.stores.events import EventRow
from serving.stores.messages import Spoken

NOON_US = int(datetime(2026, 3, 4, 12, tzinfo=UTC).timestamp()) * 1_000_000


def event(name: str, user_id: str, kind: str, at_us: int) -> EventRow:
    return EventRow(name, at_us // 86_400_000_000, user_id, at_us, kind, None, "{}", name)


def test_it_is_told_in_order_and_of_the_person(store_url: str) -> None:
    store = Store.open(store_url)
    for app_id in ("shop", "other"):
        store.add_app(AppSettings(app_id))
    store.upsert("shop", "identities", [{"link_id": "l1", "user_id": "ann", "openid": "wx-ann"}])
    rows = [
        event("e3", "ann", "unsubscribe", NOON_US + 3),
        event("e1", "wx-ann", "subscribe", NOON_US + 1),
        event("e2", "bob", "message_sent", NOON_US + 2),
        event("e0", "bob", "subscribe", NOON_US - 1),
        event("e4", "bob", "item_view", NOON_US + 4),
    ]
    store.append_events("shop", rows)
    store.append_events("other", [event("o1", "eve", "subscribe", NOON_US + 1)])
    assert store.spoken("shop", NOON_US) == [
        Spoken("ann", NOON_US + 1, "subscribe"),
        Spoken("bob", NOON_US + 2, "message_sent"),
        Spoken("ann", NOON_US + 3, "unsubscribe"),
    ]
    store.close()
