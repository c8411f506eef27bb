"""The running service: a real `bentoml serve` with two workers, asked over HTTP, killed, started again."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
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
NOTICED_S = 10.0
"""Long enough for a busy machine; a quiet one notices within two seconds."""


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


def test_the_visitors_switch_holds_from_the_next_answer_on_every_worker(http: httpx.Client) -> None:
    """Under every linked id, against imports, with a full shelf; and it can be turned back."""
    ask(http, "/identities", identities=[{"link_id": "sue", "user_id": "sue", "anonymous_id": "sue-phone"}])
    ask(http, "/offers/catalogue", offers=[{"offer_id": "gold", "kind": "member", "value": 500, "title": "gold"}])
    ask(http, "/events", events=[{**purchase("sue-1", "sue-phone", "mug"), "type": "cart"}])
    stranger, before = (shown(ask(http, "/recommend", user_id=one, n=4)) for one in ("nobody", "sue"))
    assert before != stranger
    for times in range(3):
        assert ask(http, "/personalization", user_id="sue-phone", on=False) == {"user_id": "sue", "on": False}
        said = {"consent": True, "points": times, "member_tier": "gold"}
        ask(http, "/users", users=[{"user_id": one, **said} for one in ("sue", "sue-phone")])
        assert ask(http, "/offers", user_id="sue")["offers"] == []
        for _ in range(6):  # each on a connection of its own: both workers answer some
            for one in ("sue", "sue-phone"):
                assert shown(ask(http, "/recommend", user_id=one, n=4)) == stranger
                assert not any(ask(http, "/segments/match", user_id=one)["segments"].values())
                assert ask(http, "/portrait", user_id=one)["portrait"] is None
        assert ask(http, "/personalization", user_id="sue", on=True)["on"] is True
        assert shown(ask(http, "/recommend", user_id="sue", n=4)) == before
        assert [offer["offer_id"] for offer in ask(http, "/offers", user_id="sue-phone")["offers"]] == ["gold"]
    assert ask(http, "/portrait", user_id="sue-phone")["ids"] == ["sue", "sue-phone"]


def test_bentoml_s_own_routes_and_the_way_to_the_console(http: httpx.Client) -> None:
    assert [http.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 200]
    assert "huaxiang_request_seconds" in http.get("/metrics").text
    assert http.get("/v1/openapi.json").json()["openapi"].startswith("3.1")
    led = http.get("/")
    assert led.is_redirect
    assert led.headers["location"].startswith("/console")
    assert http.post("/v1/nothing").json()["error"]["code"] == "not_found"


@pytest.mark.law
def test_no_worker_takes_a_key_that_was_revoked_nor_its_tokens(service: Service, store: Store) -> None:
    key = store.add_key("shop", "admin")
    found = store.find_key(key)
    assert found is not None
    client = httpx.Client(base_url=service.url, headers={"connection": "close"}, timeout=30)
    with client, ThreadPoolExecutor(4) as pool:

        def asked(credential: str) -> int:
            headers = {"authorization": f"Bearer {credential}"}
            return client.post("/v1/recommend", json={"user_id": "ann", "n": 1}, headers=headers).status_code

        made = client.post("/v1/token", json={"user_id": "ann"}, headers={"authorization": f"Bearer {key}"})
        credentials = [key, made.json()["token"]] * 8
        assert set(pool.map(asked, credentials)) == {200}
        store.revoke_key("shop", found.key_id)
        assert set(pool.map(asked, credentials)) == {401}


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
@pytest.mark.parametrize("what", ["gone", "locked"])
def test_readyz_follows_the_store(http: httpx.Client, service: Service, what: str) -> None:
    file = service.settings.home / "store.sqlite"

    def wait_for(status: int) -> None:
        until = time.monotonic() + NOTICED_S
        while {http.get("/readyz").status_code for _ in range(6)} != {status}:
            assert time.monotonic() < until
        assert http.get("/healthz").status_code == 200

    wait_for(200)
    if what == "gone":
        away = file.rename(file.with_name("away"))
        wait_for(503)
        away.rename(file)
    else:
        with closing(sqlite3.connect(file)) as other:
            other.execute("BEGIN IMMEDIATE")
            wait_for(503)
    wait_for(200)


def test_its_workers_log_one_json_object_a_line(http: httpx.Client, service: Service) -> None:
    asked = http.post("/v1/recommend", json={"n": 0}, headers={"x-request-id": "asked-for-nothing"})
    assert asked.headers["x-request-id"] == "asked-for-nothing"
    until = time.monotonic() + NOTICED_S
    while "asked-for-nothing" not in service.log():  # an answer is logged when it has been sent
        assert time.monotonic() < until
    lines = [line for line in service.log().splitlines() if "[cli]" not in line]  # BentoML's supervisor
    told = [json.loads(line) for line in lines]
    (line,) = [one for one in told if one.get("request_id") == "asked-for-nothing"]
    assert (line["route"], line["app_id"], line["status"]) == ("/v1/recommend", "shop", 422)


@pytest.mark.fault
def test_stopped_it_loses_no_decision(http: httpx.Client, service: Service, store: Store) -> None:
    given = {ask(http, "/recommend", user_id="ann")["decision_id"] for _ in range(20)}
    began = datetime.now(UTC)
    service.stop()
    assert (datetime.now(UTC) - began).total_seconds() < 20
    kept = {json.loads(text)["decision_id"] for text in store.decisions_to_drain("shop").payloads}
    assert given <= kept
