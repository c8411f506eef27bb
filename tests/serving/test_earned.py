"""From the answer over HTTP to the figures of the night: what names an answer is told apart by what it proves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from planted_app import Client, open_shop
from starlette.applications import Starlette

from portraits.decision_ids import verify
from portraits.engine import connect
from portraits.lake import Lake
from portraits.settings import AppSettings
from recommender.earned import Report, earned
from serving.app import v1
from serving.context import Context
from serving.drain import drain


class Shop:
    """Two apps of one service, asked over HTTP."""

    def __init__(self, context: Context, client: Client) -> None:
        self.context, self.client, self.sent = context, client, 0
        context.store.add_app(AppSettings("other"))
        self.keys = {name: context.store.add_key(name, "admin") for name in ("shop", "other")}

    def post(self, path: str, app: str = "shop", **body: Any) -> Any:
        answer = self.client.post(f"/v1{path}", json=body, headers={"authorization": f"Bearer {self.keys[app]}"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def happened(self, kind: str, user: str, item: str, decision_id: str, **more: Any) -> None:
        """One event, now; an answer that waits to be written down is written with it."""
        self.sent += 1
        told = {"event_id": f"seen-{self.sent}", "user_id": user, "type": kind, "item_id": item}
        told |= {"ts": datetime.now(UTC).isoformat(), "decision_id": decision_id, **more}
        assert self.post("/events", events=[told])["accepted"] == 1

    def told(self) -> Report:
        """The night's drain, and what is found in the history then."""
        store, lake = self.context.store, Lake(self.context.settings.lake)
        drain(store, lake, "shop", lambda _: None)
        now = datetime.now(UTC)
        tenant = store.tenant("shop")
        since, until = now - timedelta(hours=1), now + timedelta(hours=1)
        return earned(lake.snapshot("shop"), tenant.settings, since, until, connect(threads=1), salt=tenant.salt)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    process, store = open_shop(tmp_path / "home")
    store.close()
    context = Context.open(process)
    with Client(Starlette(routes=[v1(context)])) as client:
        yield Shop(context, client)
    context.close()


def test_ids_of_every_answer_are_signed_by_the_app_that_gave_it(shop: Shop) -> None:
    given = [
        shop.post("/recommend", user_id="ann"),
        shop.post("/similar", item_id="green"),
        shop.post("/offers", user_id="ann"),
    ]
    salts = {name: shop.context.store.tenant(name).salt for name in ("shop", "other")}
    assert {verify(salts["shop"], one["decision_id"]) for one in given} == {"signed"}
    assert {verify(salts["other"], one["decision_id"]) for one in given} == {"forged"}


def test_what_follows_an_answer_counts_once_and_nothing_that_names_it_in_vain(shop: Shop) -> None:
    own = shop.post("/recommend", user_id="ann", n=2, placement="home")
    first = own["items"][0]["item_id"]
    of_other = shop.post("/recommend", app="other", user_id="ann", n=2)["decision_id"]
    forged = own["decision_id"][:-4] + ("0000" if own["decision_id"][-4:] != "0000" else "1111")
    shop.happened("exposure", "ann", first, own["decision_id"], position=1)
    shop.happened("click", "ann", first, own["decision_id"])
    shop.happened("purchase", "ann", first, own["decision_id"], amount=700, order_id="o1")
    shop.happened("purchase", "bob", first, own["decision_id"], amount=500)
    shop.happened("purchase", "ann", own["items"][1]["item_id"], forged, amount=300)
    shop.happened("click", "ann", first, of_other)
    found = shop.told()
    home = next(row for row in found.placements if row["placement"] == "home")
    assert (home["answers"], home["shown"], home["clicks"]) == (1, 1, 1)
    assert (home["purchases"], home["revenue"]) == (1, 700)
    assert found.ignored == {
        "another's": {"answers": 1, "exposure": 0, "click": 0, "purchase": 1},
        "forged": {"answers": 2, "exposure": 0, "click": 1, "purchase": 1},
    }


def test_an_answer_that_a_crash_lost_is_told_from_one_that_never_was(shop: Shop) -> None:
    shop.post("/recommend", user_id="zoe")  # some answer stays
    shop.happened("item_view", "zoe", "green", "")
    drain(shop.context.store, Lake(shop.context.settings.lake), "shop", lambda _: None)
    lost = shop.post("/recommend", user_id="ann")["decision_id"]
    shop.happened("item_view", "ann", "green", "")
    page = shop.context.store.decisions_to_drain("shop")
    shop.context.store.delete_decisions("shop", page.last_seq)
    shop.happened("purchase", "ann", "green", lost, amount=700)
    found = shop.told()
    assert found.ignored == {"lost": {"answers": 1, "exposure": 0, "click": 0, "purchase": 1}}
    assert found.counts["answers lost"] == 1


def test_an_answer_for_nobody_in_particular_is_whose_who_acts_on_it(shop: Shop) -> None:
    named = shop.post("/similar", item_id="green", n=1, placement="product")
    item = named["items"][0]["item_id"]
    for user in ("ann", "bob"):
        shop.happened("exposure", user, item, named["decision_id"])
    shop.happened("click", "bob", item, named["decision_id"])
    row = next(row for row in shop.told().placements if row["placement"] == "product")
    assert (row["answers"], row["shown"], row["clicks"], row["arm"]) == (1, 2, 1, None)
