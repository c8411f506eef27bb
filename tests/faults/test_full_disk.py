"""A disk that is full, by day and by night: nothing is lost that was acknowledged, and with space all goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from planted_app import open_shop
from posting import Posting
from serving_process import Service
from small_disk import SmallDisk, small_disk

from serving.settings import ProcessSettings
from serving.stores import Store

pytestmark = pytest.mark.fault

LEFT = 500_000
"""Bytes with which a night can begin and not end."""


@dataclass(frozen=True)
class Shop:
    """The planted shop with its home on a small disk, and a key."""

    disk: SmallDisk
    settings: ProcessSettings
    key: str

    def store(self, folder: Path) -> Store:
        """A copy of its store: SQLite would not find the disk's file from outside."""
        folder.mkdir()
        for file in self.disk.outside.glob("home/store.sqlite*"):
            shutil.copy(file, folder)
        return Store.open(f"sqlite:///{folder}/store.sqlite")

    def night(self) -> tuple[int, str]:
        """`huaxiang nightly`: its exit code and what it said."""
        command = [*self.disk.prefix, sys.executable, "-m", "serving.cli", "nightly", "--app", "shop"]
        environment = {**os.environ, **self.settings.environment()}
        ended = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=300)
        return ended.returncode, ended.stderr


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made, store = open_shop(tmp_path / "made")
    key = store.add_key("shop", "admin")
    store.upsert("shop", "offers", [{"offer_id": "o", "kind": "cash", "value": 500, "budget": 500}])
    store.close()
    with small_disk(tmp_path / "disk", "48m") as disk:
        shutil.copytree(made.home, disk.outside / "home")
        yield Shop(disk, ProcessSettings(home=disk.folder / "home", secret="only for tests", workers=2), key)


def test_by_day_events_and_claims_are_refused_and_answers_go_on(shop: Shop, tmp_path: Path) -> None:
    with Service(shop.settings, prefix=shop.disk.prefix) as service:
        headers = {"authorization": f"Bearer {shop.key}", "connection": "close"}
        with (
            httpx.Client(base_url=service.url, headers=headers, timeout=30) as http,
            Posting(service.url, shop.key, "full") as posting,
        ):
            posting.wait_for(500)
            shop.disk.fill()
            posting.wait_for_refusals(20)
            answers = [http.post("/v1/recommend", json={"user_id": "ann", "n": 3}) for _ in range(20)]
            assert {(answer.status_code, len(answer.json()["items"])) for answer in answers} == {(200, 3)}
            wish = {"request_id": "r", "user_id": "ann", "offer_id": "o"}
            refused = http.post("/v1/offers/claim", json=wish)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
            shop.disk.make_space()
            posting.wait_for(500)
            assert http.post("/v1/offers/claim", json=wish).json()["reserved"] == 500, "nothing was held before"
        assert "Traceback" not in service.log()
    account = posting.account
    assert {(one.status_code, one.json()["error"]["code"]) for one in account.refused} == {(503, "store_unavailable")}
    assert all(int(one.headers["retry-after"]) >= 1 for one in account.refused)
    store = shop.store(tmp_path / "copy")
    told = [json.loads(text) for text in store.events_to_drain("shop", 0, limit=10**6).payloads]
    assert [one["type"] for one in told if one["type"].startswith("offer")] == ["offer_claim"]
    kept = [one["event_id"] for one in told if one["type"] != "offer_claim"]
    store.close()
    assert len(kept) == len(set(kept))
    assert account.acknowledged <= set(kept) <= account.sent


def test_a_night_without_space_fails_clearly_and_leaves_what_is_served(shop: Shop, tmp_path: Path) -> None:
    store = shop.store(tmp_path / "before")
    served = store.active("shop")
    store.close()
    shop.disk.fill(leaving=LEFT)
    code, said = shop.night()
    assert (code, "Traceback" in said) == (1, False), said
    assert "huaxiang: " in said
    assert "space" in said or "full" in said, said
    shop.disk.make_space()
    store = shop.store(tmp_path / "after")
    assert store.active("shop") == served
    store.close()
    code, said = shop.night()
    assert code in (0, 3), said
    store = shop.store(tmp_path / "mended")
    assert store.active("shop").portraits is not None
    store.close()
