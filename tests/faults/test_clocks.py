"""The server's clock jumps, and phones have clocks of their own: events are taken once, answers go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from planted_app import open_shop, purchase
from serving_process import Service

from serving.stores import Store

pytestmark = pytest.mark.fault

JUMPS = {"+86400": 1.0, "-86400": -1.0, "+3600": 1 / 24, "-3600": -1 / 24, "+0": 0.0}
"""What libfaketime is told, in seconds, and the same in days."""
PHONES = {
    "three days ahead": timedelta(days=3),
    "a year ahead": timedelta(days=365),
    "a minute ahead": timedelta(minutes=1),
    "two days behind": -timedelta(days=2),
    "a month behind": -timedelta(days=30),
}
SUMMER = "2026-03-29T02:30:00+01:00"
"""A local time that the clocks of central Europe skip."""


@dataclass(frozen=True)
class Moved:
    """A running service and the file that says how far its clock is off."""

    http: httpx.Client
    store: Store
    file: Path

    def jump(self, seconds: str) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(seconds)
        fresh.rename(self.file)

    def post(self, path: str, **body: Any) -> Any:
        answer = self.http.post(f"/v1{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, *events: dict[str, Any]) -> tuple[int, int]:
        answer = self.post("/events", events=list(events))
        assert answer["rejected"] == []
        return answer["accepted"], answer["duplicates"]

    def stored(self) -> dict[str, dict[str, Any]]:
        rows = map(json.loads, self.store.events_to_drain("shop", 0, limit=10**6).payloads)
        return {row["event_id"]: row for row in rows}


def library() -> str:
    """The library that stands between a process and its clock."""
    found = pytest.importorskip("libfaketime", reason="no libfaketime: pip install libfaketime to run this test")
    folder = Path(found.__file__).parent / "vendor" / "libfaketime" / "src"
    built = sorted(folder.glob("libfaketime*.so*")) or sorted(folder.glob("libfaketime*.dylib*"))
    return str(built[0]) if built else pytest.skip("libfaketime was installed without its library")


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moved]:
    settings, store = open_shop(tmp_path_factory.mktemp("home"))
    file = settings.home / "clock"
    file.write_text("+0")
    environment = {
        "LD_PRELOAD": library(),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    headers = {"authorization": f"Bearer {store.add_key('shop', 'admin')}", "connection": "close"}
    with (
        Service(replace(settings, workers=2), **environment) as service,
        httpx.Client(base_url=service.url, headers=headers, timeout=30) as http,
    ):
        yield Moved(http, store, file)
    store.close()


@pytest.mark.parametrize("jump", JUMPS)
def test_the_server_s_clock_jumps(moved: Moved, jump: str) -> None:
    """What was sent before and after is known again, and each answer reflects it, whatever the clock says."""
    before = purchase(f"before {jump}", f"visitor {jump}", "cup")
    assert moved.send(before) == (1, 0)
    moved.jump(jump)
    after = purchase(f"after {jump}", f"visitor {jump}", "mug")
    assert moved.send(after) == (1, 0)
    assert moved.send(before, after) == (0, 2)
    answer = moved.post("/recommend", user_id=f"visitor {jump}", n=5)
    assert {one["item_id"] for one in answer["items"]} == {"black", "green", "white"}
    assert not answer["degraded"]
    row = moved.stored()[f"after {jump}"]
    off = datetime.fromisoformat(row["received_at"]) - datetime.now(UTC)
    assert abs(off - timedelta(days=JUMPS[jump])) < timedelta(minutes=5)
    assert datetime.fromisoformat(row["ts"]) <= datetime.fromisoformat(row["received_at"])


@pytest.mark.parametrize("phone", PHONES)
def test_a_phone_s_clock_is_off(moved: Moved, phone: str) -> None:
    """Ahead: it counts as now, and what was sent is kept beside; behind: it counts as it was sent."""
    moved.jump("+0")
    sent = datetime.now(UTC) + PHONES[phone]
    event = purchase(f"phone {phone}", f"phone {phone}", "cup", sent)
    assert moved.send(event) == (1, 0)
    assert moved.send(event) == (0, 1)
    answer = moved.post("/recommend", user_id=f"phone {phone}", n=5)
    shown = {one["item_id"] for one in answer["items"]}
    assert len(shown) == 4 + ("cup" in shown)
    row = moved.stored()[f"phone {phone}"]
    received = datetime.fromisoformat(row["received_at"])
    assert datetime.fromisoformat(row["ts"]) == min(sent, received)
    if PHONES[phone] > timedelta():
        assert "cup" not in shown
        assert sent.isoformat()[:19] in json.dumps(row["properties"])


def test_an_hour_that_there_is_not_is_taken_as_its_offset_says(moved: Moved) -> None:
    moved.jump("+0")
    skipped = purchase("summer", "summer", "cup") | {"ts": SUMMER}
    assert moved.send(skipped) == (1, 0)
    assert moved.send(skipped | {"ts": "2026-03-29T01:30:00Z"}) == (0, 1)
    assert datetime.fromisoformat(moved.stored()["summer"]["ts"]) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
