"""Law 5 with real processes: a thousand events a second are posted while a worker, the service or the night is killed.

Whoever has no answer sends the same events again. After the drain of the night the lake holds each acknowledged event
once, and nothing that was never sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest
from night_process import Home
from planted_app import open_shop
from posting import Account, Posting
from serving_process import Service

from portraits.engine import connect
from portraits.lake import Lake
from serving.drain import drain
from serving.stores import Store

pytestmark = [pytest.mark.fault, pytest.mark.law]

WORKERS = 2


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings, store = open_shop(tmp_path_factory.mktemp("home"))
    store.close()
    with Service(replace(settings, workers=WORKERS)) as started:
        yield started


@pytest.fixture
def store(service: Service) -> Iterator[Store]:
    opened = Store.open(service.settings.store_url)
    yield opened
    opened.close()


@pytest.fixture
def key(store: Store) -> str:
    return store.add_key("shop", "events")


def held(service: Service, store: Store, account: Account) -> Counter[str]:
    """What the lake holds of these senders' events after the night's drain."""
    lake = Lake(service.settings.lake)
    drain(store, lake, "shop", lambda _: None)
    names = {event_id.partition("-")[0] for event_id in account.sent}
    ids = lake.snapshot("shop").events(connect()).event_id.to_pyarrow().to_pylist()
    return Counter(event_id for event_id in ids if event_id.partition("-")[0] in names)


def assert_each_once(service: Service, store: Store, account: Account) -> None:
    in_lake = held(service, store, account)
    assert max(in_lake.values()) == 1
    assert account.acknowledged <= in_lake.keys() <= account.sent
    assert {answer.status_code for answer in account.refused} <= {503}


def test_a_killed_worker(service: Service, store: Store, key: str) -> None:
    """The other worker goes on, BentoML's supervisor starts a new one."""
    with Posting(service.url, key, "worker") as posting:
        posting.wait_for(1_000)
        before = service.workers()
        before[0].kill()
        posting.wait_for(1_000)
        after = service.new_worker(before)
        posting.wait_for(1_000)
    assert len(service.workers()) == WORKERS
    assert after.is_running()
    assert before[1].is_running()
    assert_each_once(service, store, posting.account)


def test_the_whole_service_killed_and_started_again(service: Service, store: Store, key: str) -> None:
    with Posting(service.url, key, "service") as posting:
        posting.wait_for(1_000)
        service.kill()
        service.start()
        posting.wait_for(1_000)
    assert posting.account.broken > 0
    assert_each_once(service, store, posting.account)


def test_a_drain_killed_midway(service: Service, store: Store, key: str) -> None:
    """Killed before it has begun, and between the lake's commit and telling the store of it."""
    home = Home(service.settings.home)
    with Posting(service.url, key, "drain") as posting:
        for line in ("drain: begins", " events", " events"):
            posting.wait_for(500)
            home.kill_at(line, "--app", "shop")
        posting.wait_for(500)
    assert not posting.account.refused
    assert psutil.pid_exists(service.pid)
    assert_each_once(service, store, posting.account)
