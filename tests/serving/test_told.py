"""A file that tells again of claims that the store knows of: the lake has each step once."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from portraits.engine import connect
from portraits.importing import ImportReport
from portraits.lake import Lake
from portraits.mapping import Mapping
from portraits.settings import AppSettings
from serving.drain import drain
from serving.imports import take_file
from serving.stores import Store, claim_steps

NOON = datetime(2026, 3, 4, 4, tzinfo=UTC)


class Shop:
    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.lake, self.folder, self.requests = store, Lake(folder / "lake"), folder, 0
        store.add_app(AppSettings("shop"))
        store.upsert("shop", "offers", [{"offer_id": "o", "kind": "cash", "value": 500}])
        store.upsert("shop", "identities", [{"link_id": "l", "user_id": "ann", "anonymous_id": "openid-ann"}])

    def do(self, step: Callable[..., dict[str, Any]], **body: Any) -> str:
        self.requests += 1
        with self.store.write() as connection:
            told = step(connection, "shop", {"request_id": f"r{self.requests}"} | body, int(NOON.timestamp() * 1e6))
        return str(told["claim_id"])

    def claim(self, user_id: str) -> str:
        return self.do(claim_steps.claim, user_id=user_id, offer_id="o")

    def take(self, rows: list[dict[str, Any]], mapping: Mapping | None = None) -> ImportReport:
        path = self.folder / "coupons.csv"
        names = dict.fromkeys(name for row in rows for name in row)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
        return take_file(self.store, self.lake, "shop", "events", path, mapping=mapping)

    def lake_has(self) -> Counter[str]:
        drain(self.store, self.lake, "shop", lambda _: None)
        return Counter(self.lake.snapshot("shop").events(connect()).type.to_pyarrow().to_pylist())


@pytest.fixture
def shop(empty_store: Callable[[Path], AbstractContextManager[str]], tmp_path: Path) -> Iterator[Shop]:
    with empty_store(tmp_path) as url:
        store = Store.open(url)
        yield Shop(store, tmp_path)
        store.close()


def row(kind: str, user_id: str = "ann", **more: Any) -> dict[str, Any]:
    return {"type": f"offer_{kind}", "user_id": user_id, "offer_id": "o", "ts": NOON.isoformat()} | more


def test_what_the_claims_say_already_is_a_duplicate(shop: Shop) -> None:
    used, plain, back = shop.claim("ann"), shop.claim("ann"), shop.claim("bob")
    shop.do(claim_steps.redeem, claim_id=used, order_id="x")
    shop.do(claim_steps.redeem, claim_id=plain)
    shop.do(claim_steps.redeem, claim_id=back, order_id="y")
    shop.do(claim_steps.give_back, claim_id=back)
    known = [
        row("redeem", order_id="x", discount=500),
        row("redeem", "bob", order_id="y"),
        row("return", "bob", order_id="y"),
        row("claim", properties=json.dumps({"claim_id": used})),
        row("redeem", "openid-ann", properties=json.dumps({"claim_id": plain})),
    ]
    new = [
        row("redeem", order_id="x", discount=400),  # the second coupon of that order
        row("redeem", "bob", order_id="x"),
        row("redeem", order_id="z"),
        row("return", order_id="x"),
        row("redeem"),  # nothing tells
        row("claim"),
        row("claim", "bob", properties=json.dumps({"claim_id": used})),
        row("claim", "bob", properties=json.dumps({"claim_id": "\x00"})),
        {"type": "launch", "user_id": "ann", "ts": NOON.isoformat()},
    ]
    report = shop.take([known[0], *new, *known[1:]])
    assert (report.rows, report.accepted, report.duplicates, report.events) == (14, 9, 5, 9)
    assert shop.lake_has() == {
        "offer_claim": 3 + 3,
        "offer_redeem": 3 + 4,
        "offer_return": 1 + 1,
        "launch": 1,
    }
    again = shop.take([known[0], *new, *known[1:]])
    assert (again.accepted, again.duplicates) == (0, 14)


@pytest.mark.parametrize("others", [{}, {"properties": json.dumps({"claim_id": "a platform's"})}])
@pytest.mark.parametrize("ours_first", [True, False])
def test_a_row_that_names_its_claim_leaves_the_order_to_another_coupon(
    shop: Shop, others: dict[str, str], *, ours_first: bool
) -> None:
    used = shop.claim("ann")
    shop.do(claim_steps.redeem, claim_id=used, order_id="x")
    ours = row("redeem", properties=json.dumps({"claim_id": used}))
    other = row("redeem", order_id="x", discount=400, **others)
    report = shop.take([ours, other] if ours_first else [other, ours])
    assert (report.accepted, report.duplicates) == (1, 1)
    assert shop.lake_has() == {"offer_claim": 1, "offer_redeem": 2}


def test_a_line_of_which_something_is_new_is_no_duplicate(shop: Shop) -> None:
    """One line makes a purchase and its redemption, which the claims know."""
    shop.do(claim_steps.redeem, claim_id=shop.claim("ann"), order_id="x")
    path = shop.folder / "orders.toml"
    path.write_text(MAP)
    rows = [{"who": who, "order": order, "at": NOON.isoformat()} for who, order in (("openid-ann", "x"), ("bob", "y"))]
    report = shop.take(rows, Mapping.load(path))
    assert (report.rows, report.accepted, report.duplicates, report.events) == (2, 2, 0, 3)
    assert shop.lake_has() == {"offer_claim": 1, "offer_redeem": 2, "purchase": 2}


MAP = """
table = "events"

[columns]
user_id = "who"
order_id = "order"
ts = "at"

[[event]]
columns = { type = { constant = "purchase" }, item_id = { constant = "tea" }, amount = { constant = "900" } }

[[event]]
columns = { type = { constant = "offer_redeem" }, offer_id = { constant = "o" } }
"""
