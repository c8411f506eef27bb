"""A thousand clients that drip, or say nothing, while others are served; and clients that hang up."""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import httpx
import psutil
import pytest
from planted_app import open_shop, purchase
from serving_process import Service

from serving.stores import Store

pytestmark = pytest.mark.fault

EACH = 334
"""Silent, dripping headers, dripping a body: a thousand together."""
DRIP_S = 1.0
OVER_S = 60.0
GROWTH_MB = 100


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings, store = open_shop(tmp_path_factory.mktemp("home"))
    store.close()
    with Service(replace(settings, workers=2)) as started:
        yield started


@pytest.fixture
def store(service: Service) -> Iterator[Store]:
    opened = Store.open(service.settings.store_url)
    yield opened
    opened.close()


@pytest.fixture
def http(service: Service, store: Store) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {store.add_key('shop', 'admin')}"}
    with httpx.Client(base_url=service.url, headers=headers, timeout=30) as client:
        yield client


@dataclass
class Slow:
    """One slow client: what it says at once, what it drips, and what it heard until the server closed."""

    kind: str
    first: bytes
    drip: bytes
    heard: bytes = b""
    closed: bool = False
    connection: socket.socket = field(default_factory=socket.socket)

    def begin(self, port: int) -> None:
        self.connection.connect(("127.0.0.1", port))
        self.connection.sendall(self.first)
        self.connection.setblocking(False)

    def say(self) -> None:
        if self.drip and not self.closed:
            try:
                self.connection.send(self.drip)
            except OSError:
                self.closed = True

    def hear(self) -> None:
        try:
            some = self.connection.recv(65_536)
        except OSError:
            some = b""
        self.heard += some
        self.closed = not some


def crowd(key: str) -> list[Slow]:
    head = f"POST /v1/events HTTP/1.1\r\nhost: shop\r\nauthorization: {key}\r\n".encode()
    kinds = {
        "silent": (b"", b""),
        "headers": (head, b"x"),
        "body": (head + b"content-length: 1000\r\n\r\n", b" "),
    }
    return [Slow(kind, *said) for kind, said in kinds.items() for _ in range(EACH)]


def settled(worker: psutil.Process, most: int = 5) -> bool:
    """Whether the worker has given back all but a few connections: it hears of a closed one a moment later."""
    until = time.monotonic() + OVER_S
    while (held := len(worker.net_connections())) > most and time.monotonic() < until:
        time.sleep(0.05)
    return held <= most


def test_a_thousand_slow_clients_disturb_nobody(service: Service, http: httpx.Client) -> None:
    workers = service.workers()
    before = [worker.memory_info().rss for worker in workers]
    slow = crowd(http.headers["authorization"])
    with selectors.DefaultSelector() as selector:
        for one in slow:
            one.begin(service.port)
            selector.register(one.connection, selectors.EVENT_READ, one)
        began = dripped = time.monotonic()
        served: Counter[int] = Counter()
        while selector.get_map() and time.monotonic() < began + OVER_S:
            for key, _ in selector.select(0.01):
                key.data.hear()
                if key.data.closed:
                    selector.unregister(key.fileobj)
            if time.monotonic() > dripped + DRIP_S:
                dripped = time.monotonic()
                for one in slow:
                    one.say()
            served[http.post("/v1/recommend", json={"user_id": "ann"}).status_code] += 1
    for one in slow:
        one.connection.close()
    assert served.keys() == {200}
    assert served[200] > 20
    assert {(one.kind, one.closed) for one in slow} == {(kind, True) for kind in ("silent", "headers", "body")}
    cut_off = [one.heard for one in slow if one.kind == "body"]
    assert {heard[:12] for heard in cut_off} == {b"HTTP/1.1 408"}
    assert json.loads(cut_off[0].partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"
    assert not any(one.heard for one in slow if one.kind != "body")
    for worker, memory in zip(workers, before, strict=True):
        assert worker.is_running()
        assert settled(worker)
        assert worker.memory_info().rss < memory + GROWTH_MB * 1_000_000


def test_headers_without_end_are_cut_off(service: Service) -> None:
    endless = socket.create_connection(("127.0.0.1", service.port))
    endless.settimeout(30)
    headers = b"".join(f"x-{number}: {'y' * 1000}\r\n".encode() for number in range(20_000))
    with endless, pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
        endless.sendall(b"POST /v1/events HTTP/1.1\r\n" + headers)


@pytest.mark.parametrize("said", [0.5, 1.0], ids=["in the middle of its request", "before its answer"])
def test_clients_that_hang_up_leave_nothing_behind(
    service: Service, http: httpx.Client, store: Store, said: float
) -> None:
    """An event of theirs is stored whole or not at all, and sent again it is a duplicate or new."""
    logged = len(service.log())
    events = [purchase(f"gone-{said}-{number}", f"gone {number}", "mug") for number in range(100)]
    for event in events:
        body = json.dumps({"events": [event]}).encode()
        head = f"POST /v1/events HTTP/1.1\r\nhost: shop\r\nauthorization: {http.headers['authorization']}\r\n"
        request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(request[: int(len(request) * said)])
    answer = http.post("/v1/events", json={"events": events}).json()
    assert (answer["accepted"] + answer["duplicates"], answer["rejected"]) == (100, [])
    kept = [json.loads(text)["event_id"] for text in store.events_to_drain("shop", 0, limit=10**6).payloads]
    assert sorted(kept, key=str).count(events[0]["event_id"]) == 1
    assert {event["event_id"] for event in events} <= set(kept)
    assert len(kept) == len(set(kept))
    assert "Traceback" not in service.log()[logged:]
    assert all(settled(worker) for worker in service.workers())
