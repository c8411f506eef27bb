"""The running service: a real `bentoml serve` with two workers, asked over HTTP, killed, started again."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from planted_app import night, open_shop, publish_night, purchase
from planted_shelf import Candidate
from serving_process import Service

from serving.stores import Store

WORKERS = 2


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings, store = open_shop(tmp_path_factory.mktemp("home"))
    store.close()
    with Service(replace(settings, workers=WORKERS)) as started:
        yield started


@pytest.fixture(scope="module")
def store(service: Service) -> Iterator[Store]:
    opened = Store.open(service.settings.store_url)
    yield opened
    opened.close()


@pytest.fixture
def http(service: Service, store: Store) -> Iterator[httpx.Client]:
    """Each request on a connection of its own, so that both workers are asked."""
    headers = {"authorization": f"Bearer {store.add_key('shop', 'admin')}", "connection": "close"}
    with httpx.Client(base_url=service.url, headers=headers, timeout=30) as client:
        yield client


def ask(http: httpx.Client, path: str, **body: Any) -> Any:
    answer = http.post(f"/v1{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def shown(answer: Any) -> list[str]:
    return [one["item_id"] for one in answer["items"]]


def test_events_in_recommendations_out(http: httpx.Client) -> None:
    assert shown(ask(http, "/recommend", user_id="ann", n=3)) == ["green", "black", "white"]
    sent = [purchase("one", "ann", "green"), {"event_id": "two"}]
    answer = ask(http, "/events", events=sent)
    assert (answer["accepted"], [row["index"] for row in answer["rejected"]]) == (1, [1])
    assert shown(ask(http, "/recommend", user_id="ann", n=3))[:2] == ["black", "white"]
    assert shown(ask(http, "/similar", item_id="green", n=1)) == ["black"]


def test_bentoml_s_own_routes_and_the_way_to_the_console(http: httpx.Client) -> None:
    assert [http.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 200]
    assert 'endpoint="/v1/recommend"' in http.get("/metrics").text
    assert http.get("/v1/openapi.json").json()["openapi"].startswith("3.1")
    led = http.get("/")
    assert led.is_redirect
    assert led.headers["location"].startswith("/console")
    assert http.post("/v1/nothing").json()["error"]["code"] == "not_found"


@pytest.mark.law
def test_any_worker_reflects_an_acknowledged_event_at_once(http: httpx.Client) -> None:
    """Law 6, under load: several visitors at a time, each reading its own write on whichever worker answers."""

    def visit(number: int) -> bool:
        user = f"reader {number}"
        ask(http, "/events", events=[purchase(f"read-{number}", user, "mug")])
        return all("mug" not in shown(ask(http, "/recommend", user_id=user)) for _ in range(4))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(visit, range(40)))


def test_a_published_version_is_picked_up_without_a_restart(http: httpx.Client, service: Service, store: Store) -> None:
    seen: list[tuple[int, str, str]] = []
    over = threading.Event()

    def load() -> None:
        while not over.is_set():
            answer = http.post("/v1/recommend", json={"user_id": "eve", "n": 1})
            body = answer.json()
            seen.append((answer.status_code, body["version"], body["items"][0]["item_id"]))

    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(load) for _ in range(4)]
        versions = {}
        for item_id in ("white", "mug", "black"):
            made = night(table={"eve": (Candidate(item_id, 0.9),)})
            versions[publish_night(service.settings, store, made)] = item_id
            for _ in range(4):
                assert shown(ask(http, "/recommend", user_id="eve", n=1)) == [item_id]
        over.set()
        for one in loads:
            one.result()
    assert {status for status, _, _ in seen} == {200}
    assert all(versions.get(version, item_id) == item_id for _, version, item_id in seen), "never a mixed answer"


@pytest.mark.fault
def test_killed_right_after_an_acknowledged_batch(http: httpx.Client, service: Service, store: Store) -> None:
    """Law 5: every acknowledged event is there, exactly once, whatever kills the service."""
    acknowledged: list[dict[str, Any]] = []
    enough = threading.Event()

    def send(sender: int) -> None:
        for number in itertools.count():
            events = [purchase(f"{sender}-{number}-{n}", f"kill {sender}", "cup") for n in range(20)]
            try:
                answer = http.post("/v1/events", json={"events": events})
            except httpx.TransportError:
                return
            assert answer.json()["accepted"] == 20
            acknowledged.extend(events)
            if len(acknowledged) > 1_000:
                enough.set()

    with ThreadPoolExecutor(4) as pool:
        senders = [pool.submit(send, sender) for sender in range(4)]
        assert enough.wait(60)
        service.kill()
        for sender in senders:
            sender.result()
    kept = [json.loads(text)["event_id"] for text in store.events_to_drain("shop", 0, limit=1_000_000).payloads]
    assert len(kept) == len(set(kept))
    assert {event["event_id"] for event in acknowledged} <= set(kept)
    service.start()
    again = ask(http, "/events", events=acknowledged[-20:])
    assert (again["accepted"], again["duplicates"], again["rejected"]) == (0, 20, [])


@pytest.mark.fault
def test_stopped_it_loses_no_decision(http: httpx.Client, service: Service, store: Store) -> None:
    given = {ask(http, "/recommend", user_id="ann")["decision_id"] for _ in range(20)}
    began = datetime.now(UTC)
    service.stop()
    assert (datetime.now(UTC) - began).total_seconds() < 20
    kept = {json.loads(text)["decision_id"] for text in store.decisions_to_drain("shop").payloads}
    assert given <= kept
