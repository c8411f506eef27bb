"""What the store knows of an order that a claim is used for: its items, by the events of its purchase, and their
categories, by the catalogue."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, text

from serving.stores import schema
from serving.stores.claims import DAY_US, ids_of
from serving.stores.dialect import ask_within

MOST_LINES = 500
"""Lines of the latest purchases under each id of the person that are looked through."""
LOOKED_BACK_US = 30 * DAY_US


class Order(NamedTuple):
    """Items of an order, none where nothing is known of it, and its store where that is said."""

    items: tuple[str, ...] = ()
    store_id: str | None = None


def order_of(connection: Connection, app_id: str, user_id: str, order_id: str, at_us: int) -> Order:
    """An order of a person (under any id) by its purchase events, as far as the store has them: those of the last
    `LOOKED_BACK_US` that no published portrait holds yet."""
    found: list[tuple[str]] = []
    for one in ids_of(connection, app_id, user_id):
        which = {"app_id": app_id, "user_id": one, "since_us": at_us - LOOKED_BACK_US, "most": MOST_LINES}
        found += ask_within(connection, PURCHASES, which)
    told = (json.loads(payload) for (payload,) in found)
    lines = [one for one in told if one.get("order_id") == order_id]
    stores = (one["store_id"] for one in lines if one.get("store_id"))
    return Order(tuple(dict.fromkeys(one["item_id"] for one in lines)), next(stores, None))


def categories_of(connection: Connection, app_id: str, items: Iterable[str]) -> dict[str, tuple[str, ...] | None]:
    """item_id -> its category path; None: the catalogue does not know the item, or not its categories."""
    found: dict[str, tuple[str, ...] | None] = dict.fromkeys(items)
    for key, payload in connection.execute(_ITEMS, {"app_id": app_id, "items": [*found]}):
        found[key] = tuple(json.loads(payload).get("category") or ()) or None
    return found


PURCHASES = text(
    "SELECT payload FROM events WHERE app_id = :app_id AND user_id = :user_id AND ts_us >= :since_us "  # noqa: S608
    f"AND {schema.PURCHASE.text} ORDER BY ts_us DESC LIMIT :most"
)
"""Of one id: for several at once a database reads all of them and sorts."""
_ITEMS = text(
    "SELECT key, payload FROM catalogue WHERE app_id = :app_id AND name = 'items' AND key IN :items"
).bindparams(bindparam("items", expanding=True))
