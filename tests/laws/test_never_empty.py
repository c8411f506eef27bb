"""Law 7: while n eligible items exist, n come back, on every rung that an answer may have to stand on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from planted_app import ITEMS, Client, night, open_shop, publish_night, purchase
from starlette.applications import Starlette

from portraits.errors import StoreUnavailable
from portraits.settings import AppSettings
from serving.app import v1
from serving.context import Context
from serving.publish import bundle_folder

pytestmark = pytest.mark.law

ALL = [item["item_id"] for item in ITEMS]
N = len(ALL)


class Shop:
    """An app, what its mini program asks, and what a fault does to it."""

    def __init__(self, context: Context, client: Client, app_id: str = "shop") -> None:
        self.context = context
        self.app_id = app_id
        self.client = client
        self._key = context.store.add_key(app_id, "admin")

    def post(self, path: str, **body: Any) -> Any:
        answer = self.client.post(f"/v1{path}", json=body, headers={"authorization": f"Bearer {self._key}"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def shelf(self, user_id: str = "ann", n: int = N, **more: Any) -> list[str]:
        return [one["item_id"] for one in self.post("/recommend", user_id=user_id, n=n, **more)["items"]]

    def break_bundle(self) -> None:
        """Every version's files, in place, before a worker has opened them."""
        for array in bundle_folder(self.context.settings, self.app_id, "x").parent.glob("*/items.npy"):
            array.write_bytes(b"broken")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    process, store = open_shop(tmp_path)
    store.add_app(AppSettings("kiosk", exploration_share=0.0, control_share=0.0))
    store.close()
    context = Context.open(process)
    with Client(Starlette(routes=[v1(context)])) as client:
        yield Shop(context, client)
    context.close()


def kiosk(shop: Shop) -> Shop:
    """An app that never had a catalogue or a night."""
    return Shop(shop.context, shop.client, "kiosk")


def nothing(_: Shop) -> None: ...


def sold_out(shop: Shop) -> None:
    """All that is popular is out of stock; as many new items come."""
    shop.post("/items", items=[{"item_id": item, "stock": 0} for item in ALL])
    shop.post("/items", items=[{"item_id": f"new {n}", "price": 500} for n in range(N)])


def hidden(shop: Shop) -> None:
    shop.post("/items", items=[{"item_id": item, "hidden": True} for item in ALL])
    shop.post("/items", items=[{"item_id": f"new {n}"} for n in range(N)])


def bought(shop: Shop) -> None:
    """Ann has bought all of it; what the app does not repeat is replaced."""
    shop.post("/events", events=[purchase(f"b-{item}", "ann", item) for item in ALL])
    shop.post("/items", items=[{"item_id": f"new {n}"} for n in range(N)])


def broken(shop: Shop) -> None:
    shop.break_bundle()


def broken_and_sold_out(shop: Shop) -> None:
    shop.break_bundle()
    sold_out(shop)


def store_away(shop: Shop) -> None:
    """After a first answer the store cannot be read."""
    shop.shelf()

    def away(*_: Any) -> None:
        raise StoreUnavailable("unplugged")

    for name in ("state", "revision"):
        object.__setattr__(shop.context.store, name, away)


RUNGS: dict[str, Callable[[Shop], None]] = {
    one.__name__: one for one in (nothing, sold_out, hidden, bought, broken, broken_and_sold_out, store_away)
}
ASKED: dict[str, dict[str, Any]] = {
    "someone known": {},
    "a stranger": {"user_id": "nobody knows"},
    "nothing personal": {"personalized": False},
    "on an unknown item's page": {"item_id": "never heard of"},
    "with a cart": {"context": {"cart": ["green", "never heard of"]}},
    "from an unknown scene and store-less": {"scene": "9999", "platform": "other"},
}


@pytest.mark.fault
@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("rung", RUNGS)
def test_n_come_back_while_n_are_eligible(shop: Shop, rung: str, asked: str) -> None:
    RUNGS[rung](shop)
    found = shop.shelf(**ASKED[asked])
    in_cart = len({"green"} & set(ASKED[asked].get("context", {}).get("cart", ()))) if "out" not in rung else 0
    assert len(set(found)) == len(found) >= N - in_cart


def test_with_filters_as_many_come_back_as_fit(shop: Shop) -> None:
    excluded = shop.shelf(user_id="zoe", n=2)
    assert set(shop.shelf(exclude=excluded)) == set(ALL) - set(excluded)
    assert set(shop.shelf(filters={"category": ["ware"]})) == {"cup", "mug"}
    assert set(shop.shelf(filters={"price_max": 900})) == {"green", "black"}
    shop.post("/items", items=[{"item_id": f"late {n}", "category": ["ware"], "price": 1} for n in range(3)])
    assert set(shop.shelf(filters={"category": ["ware"], "price_max": 1}, n=3)) == {f"late {n}" for n in range(3)}


def test_an_app_with_events_alone_shows_their_items_at_once(shop: Shop) -> None:
    app = kiosk(shop)
    assert app.shelf() == []
    app.post("/events", events=[purchase(f"k{n}", f"u{n}", f"k {n % 4}") for n in range(9)])
    answer = app.post("/recommend", user_id="guest", n=4)
    assert answer["degraded"]
    assert {one["item_id"] for one in answer["items"]} == {f"k {n}" for n in range(4)}
    app.post("/events", events=[purchase("k-late", "u1", "k late")])
    assert "k late" in app.shelf(user_id="u2", n=5)


def test_from_the_first_row_of_a_catalogue_on_the_catalogue_counts(shop: Shop) -> None:
    """A row as it stands in the catalogue is what may be sold; before, every item of an event is."""
    app = kiosk(shop)
    app.post("/events", events=[purchase(f"k{n}", "u", f"k {n}") for n in range(3)])
    assert len(app.shelf(user_id="other")) == 3
    app.post("/items", items=[{"item_id": "tea"}, {"item_id": "k 1", "stock": 0}])
    assert app.shelf(user_id="other") == ["tea"]


@pytest.mark.fault
def test_an_app_without_a_catalogue_outlives_its_broken_bundle(shop: Shop) -> None:
    """Its items are those of the last version that is whole and those of the events since."""
    app = kiosk(shop)
    context = shop.context
    publish_night(context.settings, context.store, night(items=ITEMS), app_id="kiosk")
    last = publish_night(context.settings, context.store, night(items=ITEMS), app_id="kiosk")
    (bundle_folder(context.settings, "kiosk", last) / "items.npy").write_bytes(b"broken")
    app.post("/events", events=[purchase("since", "u", "since")])
    assert set(app.shelf(user_id="other", n=N + 1)) == {*ALL, "since"}
