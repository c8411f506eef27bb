"""An app with a small published shop, for the tests of the service.

Three teas and two cups. Ann likes tea: her table is green, black, white. `green` is near `black` and `mug` near
`white`; `cup` is popular and `white` is not.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from planted_shelf import Candidate, Night, item

from portraits.settings import AppSettings
from recommender.bundles.bundle import write_bundle
from serving.publish import publish
from serving.settings import ProcessSettings
from serving.stores import Store

ITEMS = [
    item("black", title="Black tea", category=["tea"], price=900),
    item("cup", title="Cup", category=["ware"], price=1500),
    item("green", title="Green tea", category=["tea"], price=800),
    item("mug", title="Mug", category=["ware"], price=2500),
    item("white", title="White tea", category=["tea"], price=3000),
]
NOTHING_DRAWN = {
    "control_share": 0.0,
    "exploration_share": 0.0,
    "offer_control_share": 0.0,
    "offer_exploration": 0.0,
}
"""Settings of an app without control groups, where nothing is explored."""
POPULAR = (("cup", 1.0), ("mug", 0.9), ("black", 0.5), ("green", 0.4), ("white", 0.1))
ANN = (Candidate("green", 0.9), Candidate("black", 0.8), Candidate("white", 0.7))


def night(**changes: Any) -> Night:
    """The night that made the published bundle."""
    known: dict[str, Any] = {
        "items": ITEMS,
        "table": {"ann": ANN},
        "popular": POPULAR,
        "near": {"green": (("black", 0.9),), "mug": (("white", 0.9),)},
    }
    return Night(**known | changes)


def publish_night(settings: ProcessSettings, store: Store, made: Night, app_id: str = "shop", **more: Any) -> str:
    """Writes the night's bundle and publishes it."""
    folder = settings.home / "made"
    write_bundle(folder, made.arrays(), made.manifest)
    return publish(settings, store, app_id, as_of=datetime.now(UTC), bundle=folder, **more)


def open_shop(home: Path, store_url: str = "", **changes: Any) -> tuple[ProcessSettings, Store]:
    """The apps `shop` (published, no control groups, nothing explored) and `cafe` (empty)."""
    settings = ProcessSettings(home=home, store_url=store_url, secret="only for tests")
    store = Store.open(settings.store_url)
    store.add_app(AppSettings("shop", **NOTHING_DRAWN | changes))
    store.add_app(AppSettings("cafe"))
    store.upsert("shop", "items", ITEMS)
    store.mark_changes_drained("shop", store.changes_to_drain("shop")[-1].seq)
    publish_night(settings, store, night())
    return settings, store


def purchase(event_id: str, user_id: str, item_id: str, ts: datetime | None = None) -> dict[str, Any]:
    """An event as a client sends it."""
    moment = (ts or datetime.now(UTC)).isoformat()
    columns = {"type": "purchase", "item_id": item_id, "amount": 900, "order_id": f"o-{event_id}"}
    return {"event_id": event_id, "user_id": user_id, "ts": moment, **columns}


class Client:
    """Requests to an ASGI application without a network, on one event loop for as long as it is open."""

    def __init__(self, app: Any) -> None:
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://test")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._http.aclose())
        self._runner.close()

    def post(self, path: str, **content: Any) -> httpx.Response:
        return self._runner.run(self._http.post(path, **content))

    def get(self, path: str) -> httpx.Response:
        return self._runner.run(self._http.get(path))
