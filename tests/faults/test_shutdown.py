"""Asked to end while events are posted and shelves are asked for, a service loses nothing of what it answered."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
from planted_app import open_shop
from posting import Posting
from serving_process import Service

from serving.server import LOCALHOST, Server
from serving.stores import Store

pytestmark = pytest.mark.fault

GRACE_S = 20.0


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    settings, store = open_shop(tmp_path)
    store.close()
    with Service(replace(settings, workers=2)) as started:
        yield started


def test_asked_to_end_under_load_it_answers_says_so_and_writes(service: Service) -> None:
    store = Store.open(service.settings.store_url)
    key, given, said = store.add_key("shop", "admin"), set[str](), set[int]()
    over = threading.Event()

    def ask() -> None:
        headers = {"authorization": f"Bearer {key}"}
        with httpx.Client(base_url=service.url, headers=headers) as http:
            while not over.is_set():
                try:
                    answer = http.post("/v1/recommend", json={"user_id": "ann"})
                except httpx.TransportError:
                    return
                assert answer.status_code == 200
                given.add(answer.json()["decision_id"])

    def probe() -> None:
        while not over.is_set():
            try:
                said.add(httpx.get(f"{service.url}/readyz").status_code)
            except httpx.TransportError:
                return

    with ThreadPoolExecutor(3) as pool, Posting(service.url, key, "stop") as posting:
        asked = [pool.submit(ask), pool.submit(ask), pool.submit(probe)]
        posting.wait_for(1_000)
        began = time.monotonic()
        service.stop()
        took = time.monotonic() - began
        over.set()
        for one in asked:
            one.result()
        acknowledged = set(posting.account.acknowledged)
        kept = {json.loads(text)["event_id"] for text in store.events_to_drain("shop", limit=1_000_000).payloads}
        assert acknowledged <= kept
        service.start()  # those who post are seen through
    assert took < GRACE_S
    assert said == {200, 503}
    decided = {json.loads(text)["decision_id"] for text in store.decisions_to_drain("shop", limit=1_000_000).payloads}
    store.close()
    assert given
    assert given <= decided
    assert not [answer for answer in posting.account.refused if answer.status_code != 503]


def test_a_connection_that_is_kept_is_not_cut(service: Service) -> None:
    """Every answer that ends a connection says so before."""
    store = Store.open(service.settings.store_url)
    headers = {"authorization": f"Bearer {store.add_key('shop', 'admin')}", "content-type": "application/json"}
    store.close()
    begun = threading.Barrier(9)

    def ask() -> str:
        """Keeps one connection as long as it may."""
        connection = HTTPConnection("127.0.0.1", service.port, timeout=GRACE_S)
        count = 0
        while True:
            connection.request("POST", "/v1/recommend", b'{"user_id":"ann"}', headers)
            answer = connection.getresponse()
            answer.read()
            count += 1
            if count == 20:
                begun.wait()
            if answer.getheader("connection") == "close":
                connection.close()
                return f"{answer.status} after many" if count > 20 else "too early"

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask) for _ in range(8)]
        begun.wait()
        service.stop()
        assert {one.result() for one in asked} == {"200 after many"}


def test_a_client_that_never_ends_its_request_does_not_hold_it_up(service: Service) -> None:
    store = Store.open(service.settings.store_url)
    key = store.add_key("shop", "events")
    store.close()
    address = ("127.0.0.1", service.port)
    with socket.create_connection(address) as slow:
        head = f"POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: 100\r\n\r\n{{"
        slow.sendall(head.encode())
        began = time.monotonic()
        service.stop()
        assert time.monotonic() - began < GRACE_S


def test_the_command_ends_as_it_is_asked_to(tmp_path: Path) -> None:
    """`huaxiang serve` is replaced by BentoML's process, so a signal to it is a signal to the service."""
    settings, store = open_shop(tmp_path)
    store.close()
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "serving.cli", "serve", "--port", str(port)]
    environment = os.environ | settings.environment() | {"HUAXIANG_PORT": str(port)}
    log = tmp_path / "serve.log"
    with log.open("wb") as output:
        child = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    server = Server(child, port, log)
    try:
        server.wait_ready()
        child.send_signal(signal.SIGTERM)
        child.wait(GRACE_S)
    finally:
        server.stop()
    assert "Traceback" not in log.read_text()
