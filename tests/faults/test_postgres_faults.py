"""A service on PostgreSQL whose server hangs, is killed and comes back; and two replicas on one database."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from planted_app import ANN, night, open_shop, publish_night, purchase
from planted_shelf import Candidate
from postgres_server import Server
from posting import Posting
from serving_process import Service

from portraits.engine import connect
from portraits.lake import Lake
from serving.drain import drain
from serving.settings import ProcessSettings
from serving.stores import Store

pytestmark = [pytest.mark.fault, pytest.mark.postgres]
PATIENT_S = 60.0
"""How long anything may take on a busy machine."""
WAIT_S = 10.0
"""Nobody waits longer for an answer: a request that the database held up would."""


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that a test may break."""
    request.getfixturevalue("postgres")  # skips where there is none
    with Server() as own:
        yield own


@pytest.fixture
def shop(server: Server, tmp_path: Path) -> Iterator[tuple[ProcessSettings, Store]]:
    with server.database() as url:
        process, store = open_shop(tmp_path, url)
        yield process, store
        store.close()


class Client:
    """Requests with one key; each on a connection of its own."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._headers = {"authorization": f"Bearer {key}", "connection": "close"}

    def post(self, path: str, **body: Any) -> httpx.Response:
        return httpx.post(f"{self._url}/v1{path}", json=body, headers=self._headers, timeout=WAIT_S)

    def recommend(self, user_id: str = "ann") -> dict[str, Any]:
        answer = self.post("/recommend", user_id=user_id, n=3)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def send(self, *events: dict[str, Any]) -> httpx.Response:
        return self.post("/events", events=events)


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENT_S
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.1)


def test_a_server_that_hangs_costs_personal_answers_and_nothing_else(
    server: Server, shop: tuple[ProcessSettings, Store]
) -> None:
    process, store = shop
    with Service(process) as service:
        client = Client(service.url, store.add_key("shop", "admin"))
        assert client.send(purchase("before", "zoe", "mug")).json()["accepted"] == 1
        assert not client.recommend()["degraded"]
        server.freeze()
        for _ in range(3):
            assert "huaxiang_request_seconds" in httpx.get(f"{service.url}/metrics", timeout=WAIT_S).text
        for _ in range(20):
            answer = client.recommend()
            assert answer["degraded"]
            assert len(answer["items"]) == 3
        refused = client.send(purchase("while", "zoe", "cup"))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert httpx.get(f"{service.url}/readyz", timeout=WAIT_S).status_code == 200, "no replica could do better"
        server.resume()
        eventually(lambda: not client.recommend()["degraded"])
        eventually(lambda: client.send(purchase("after", "zoe", "cup")).status_code == 200)
        assert "cup" not in [item["item_id"] for item in client.recommend("zoe")["items"]]
    assert {"before", "after"} <= set(stored(store)) <= {"before", "while", "after"}


@pytest.mark.law
def test_a_worker_that_never_answered_an_app_still_has_a_shelf_for_it(
    server: Server, shop: tuple[ProcessSettings, Store]
) -> None:
    """Law 7: it knows the key from an event, and the model from its files."""
    process, store = shop
    active = store.active("shop").bundle
    assert active is not None
    with Service(process) as service:
        client = Client(service.url, store.add_key("shop", "admin"))
        assert client.send(purchase("before", "zoe", "mug")).json()["accepted"] == 1
        server.freeze()
        answers = [client.recommend("zoe") for _ in range(3)]
        server.resume()
    assert {(answer["degraded"], answer["version"], len(answer["items"])) for answer in answers} == {
        (True, active.version, 3)
    }


@pytest.mark.parametrize("first_day", [False, True])
def test_a_worker_that_starts_while_the_server_is_away_waits_for_it(
    server: Server, shop: tuple[ProcessSettings, Store], *, first_day: bool
) -> None:
    process, store = shop
    key = store.add_key("shop", "admin")
    with server.database() as bare:
        process = replace(process, store_url=bare) if first_day else process
        server.stop()
        _starts_without(server, process, key, first_day=first_day)


def _starts_without(server: Server, process: ProcessSettings, key: str, *, first_day: bool) -> None:
    with Service(process, waits=False) as service:
        eventually(lambda: _status(f"{service.url}/healthz") == 200)
        assert _status(f"{service.url}/readyz") == 503
        assert httpx.get(f"{service.url}/metrics", timeout=WAIT_S).status_code == 200
        client = Client(service.url, key)
        refused = client.post("/recommend", user_id="ann", n=3)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["error"]["code"] == "store_unavailable"
        server.start()
        eventually(lambda: _status(f"{service.url}/readyz") == 200)
        if first_day:
            assert client.post("/recommend", user_id="ann", n=3).status_code == 401, "it has tables, and no key"
        else:
            assert not client.recommend()["degraded"]
            assert client.send(purchase("after", "zoe", "cup")).json()["accepted"] == 1


def _status(url: str) -> int:
    try:
        return httpx.get(url, timeout=WAIT_S).status_code
    except httpx.TransportError:  # it does not listen yet
        return 0


def stored(store: Store) -> list[str]:
    return [json.loads(text)["event_id"] for text in store.events_to_drain("shop", 0).payloads]


def test_what_was_acknowledged_while_the_server_was_killed_is_in_the_lake_once(
    server: Server, shop: tuple[ProcessSettings, Store]
) -> None:
    """Law 5. Whoever gets no answer sends the same events again, as clients do."""
    process, store = shop
    key = store.add_key("shop", "events")
    with Service(process) as service, Posting(service.url, key, "posted") as posting:
        for end in (server.kill, lambda: server.stop("immediate"), server.kill):
            posting.wait_for(300)
            end()
            server.start()
        posting.wait_for(300)
    lake = Lake(process.lake)
    drain(store, lake, "shop", lambda _: None)
    in_lake = Counter(lake.snapshot("shop").events(connect()).event_id.to_pyarrow().to_pylist())
    assert max(in_lake.values()) == 1
    assert posting.account.acknowledged <= in_lake.keys() <= posting.account.sent
    assert {answer.status_code for answer in posting.account.refused} == {503}
    assert all("retry-after" in answer.headers for answer in posting.account.refused)


class RoundRobin:
    """A load balancer: each connection goes to the next of the ports."""

    def __init__(self, *ports: int) -> None:
        self._ports = itertools.cycle(ports)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.url = ""

    def __enter__(self) -> RoundRobin:
        self._thread.start()
        starting = asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        async def end() -> None:
            self._server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", next(self._ports))

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                target.write(data)
                await target.drain()

        asking = asyncio.ensure_future(copy(reader, ours))
        try:
            await copy(theirs, writer)
        finally:
            asking.cancel()
            writer.close()
            ours.close()


@pytest.mark.law
def test_replicas_behind_a_load_balancer_are_one_service(shop: tuple[ProcessSettings, Store]) -> None:
    """Laws 4 and 6 over replicas: whoever answers knows what another was told, serves what is active, and refuses a
    key that was revoked."""
    process, store = shop
    with (
        Service(process) as one,
        Service(process) as other,
        RoundRobin(one.port, other.port) as balancer,
    ):
        key = store.add_key("shop", "admin")
        client = Client(balancer.url, key)
        for number in range(6):
            user = f"visitor-{number}"
            assert client.send(purchase(f"e{number}", user, "mug")).json()["accepted"] == 1
            assert "mug" not in [item["item_id"] for item in client.recommend(user)["items"]]
        versions = {client.recommend()["version"] for _ in range(4)}
        assert len(versions) == 1
        newer = publish_night(process, store, night(table={"ann": (Candidate("mug", 0.99), *ANN)}))
        answers = [client.recommend() for _ in range(4)]
        assert {answer["version"] for answer in answers} == {newer} != versions
        assert {answer["items"][0]["item_id"] for answer in answers} == {"mug"}
        client.post("/items", items=[{"item_id": "mug", "hidden": True}]).raise_for_status()
        shown = [item["item_id"] for _ in range(4) for item in client.recommend()["items"]]
        assert "mug" not in shown
        store.revoke_key("shop", next(known.key_id for known in store.keys("shop")))
        assert [client.post("/recommend", user_id="ann").status_code for _ in range(4)] == [401] * 4
