"""What is PostgreSQL's own: its URL, a server that hangs or is restarted, and what is left of a forgotten visitor."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
import small_shop
from postgres_server import PASSWORD, Server
from serving_process import Service
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from portraits.errors import InvalidValue, MissingExtra, StoreUnavailable
from portraits.settings import AppSettings
from serving.settings import ProcessSettings
from serving.stores import Store, postgres
from serving.stores.dialect import patience
from serving.stores.events import EventRow, insert_events
from tests.conftest import ROOT

pytestmark = pytest.mark.postgres


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    with postgres.database() as made:
        yield made


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store.open(url)
    opened.add_app(AppSettings("shop"))
    yield opened
    opened.close()


def event(event_id: str, user_id: str = "ann") -> EventRow:
    return EventRow(event_id, 1, user_id, 1, "item_view", "tea", "{}", "x")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://eve:geheim@localhost:1/none",
        "postgresql://eve@localhost:1/none?password=geheim",
        "postgresql://eve:geheim@localhost:1",
        "postgresql:/eve:geheim@localhost:1/none",
        "postgresql://eve:geheim@localhost:port/none",
        "oracle://eve:geheim@localhost/none",
        "oracle://eve@localhost/none?password=geheim",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    with pytest.raises((StoreUnavailable, InvalidValue)) as refused:
        Store.open(url)
    assert "geheim" not in refused.value.message


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "serving.stores.postgres")
    with pytest.raises(MissingExtra, match=r"huaxiang\[postgres\]"):
        Store.open("postgresql://localhost/none")


def test_a_database_in_another_encoding_is_refused(postgres: Server) -> None:
    postgres.run("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'")
    with pytest.raises(InvalidValue, match="LATIN1"):
        Store.open(postgres.url("latin"))
    postgres.run("DROP DATABASE latin")


def test_a_commit_waits_for_the_disk_whatever_the_server_says(postgres: Server, url: str) -> None:
    postgres.run(f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = off")
    store = Store.open(url)
    assert store.read(text("SHOW synchronous_commit"))[0][0] == "on"
    store.close()


def test_a_transaction_that_failed_is_never_taken_for_committed(store: Store) -> None:
    """PostgreSQL answers COMMIT of a failed transaction with ROLLBACK and no error."""
    with pytest.raises(RuntimeError, match="went on"), store.write() as connection, pytest.raises(ProgrammingError):
        connection.exec_driver_sql("SELECT nothing")
    assert store.append_events("shop", [event("a")]) == ["accepted"]


@pytest.mark.fault
@pytest.mark.parametrize("before_commit", [True, False])
def test_a_connection_that_is_lost_within_a_transaction_is_an_outage(
    postgres: Server, store: Store, before_commit: bool
) -> None:
    def write() -> None:
        with store.write() as connection:
            insert_events(connection, "shop", [event("lost")])
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            postgres.run(f"SELECT pg_terminate_backend({pid}, 5000)")
            if not before_commit:
                insert_events(connection, "shop", [event("never")])

    with pytest.raises(StoreUnavailable):
        write()
    assert store.append_events("shop", [event("a")]) == ["accepted"]
    assert len(store.events_to_drain("shop").payloads) == 1


@pytest.mark.fault
def test_who_holds_the_turn_for_too_long_is_waited_for_no_longer(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "SESSION", postgres.SESSION.replace("lock_timeout = '5s'", "lock_timeout = '0.2s'"))
    other = Store.open(url)
    with store.write(), pytest.raises(StoreUnavailable, match="lock"):
        other.append_events("shop", [event("a")])
    assert other.append_events("shop", [event("a")]) == ["accepted"]
    other.close()


@pytest.mark.fault
def test_a_restarted_server_is_found_again_by_the_first_who_asks(postgres: Server) -> None:
    with Server() as server, server.database() as url:
        store = Store.open(url)
        store.add_app(AppSettings("shop"))
        held = threading.Barrier(3)

        def keep() -> None:
            with store._dialect.engine.connect():  # several connections lie in the pool, all of them dead soon
                held.wait()

        threads = [threading.Thread(target=keep) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.stop()
        with pytest.raises(StoreUnavailable):
            store.revision("shop")
        with pytest.raises(StoreUnavailable):
            store.append_events("shop", [event("a")])
        server.start()
        assert store.append_events("shop", [event("a")]) == ["accepted"]
        server.stop()
        server.start()
        assert store.revision("shop") == 1
        server.stop()
        server.start()
        assert len(store.apps()) == 1
        store.close()


@pytest.mark.fault
def test_a_server_that_hangs_is_waited_for_as_long_as_one_is_patient(postgres: Server) -> None:
    with Server() as server, server.database() as url:
        store = Store.open(url)
        store.add_app(AppSettings("shop"))
        store.revision("shop")
        server.freeze()
        for _ in range(2):  # the connection that hangs is not asked again
            with patience(0.1), pytest.raises(StoreUnavailable):
                store.revision("shop")
        server.resume()
        assert store.revision("shop") == 1
        store.close()


def test_the_log_is_empty_only_when_nobody_sees_what_was_there(postgres: Server, store: Store, url: str) -> None:
    """As for a forgotten visitor: dead rows are still there for whoever began to read before."""
    import psycopg

    store.append_events("shop", [event(f"e{number}", "zoe-main") for number in range(100)])
    with psycopg.connect(url) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert reader.execute("SELECT count(*) FROM events").fetchone() == (100,)
        assert store.erase_online("shop", ["zoe-main"]) == 100
        assert not store._dialect.empty_log()
        reader.rollback()
        assert store._dialect.empty_log()
    assert postgres.run("SELECT pg_relation_size('events')", url.rpartition("/")[2]) == [(0,)]


def test_the_whole_night_and_the_day_after_it(postgres: Server, tmp_path: Path) -> None:
    """By the commands, as an operator has it: the address of the store is all that differs."""
    with postgres.database() as url:
        process = ProcessSettings(home=tmp_path / "home", store_url=url, secret="only for tests")

        def run(*arguments: object) -> str:
            command = [sys.executable, "-m", "serving.cli", *map(str, arguments)]
            environment = os.environ | process.environment()
            done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert PASSWORD not in done.stdout + done.stderr
            return done.stdout

        events, items = tmp_path / "events.parquet", tmp_path / "items.parquet"
        columns = ["event_id", "user_id", "ts", "type", "item_id", "order_id", "amount"]
        pq.write_table(small_shop.purchases().select(columns).slice(0, 60), events)
        pq.write_table(small_shop.catalogue().select(["item_id", "title", "category", "price"]), items)
        run("app", "add", "shop")
        run("import", "events", "--app", "shop", "--from", events)
        run("import", "items", "--app", "shop", "--from", items)
        key = run("key", "create", "--app", "shop", "--scope", "admin").split()[-1]
        with Service(process) as service, httpx.Client(base_url=f"{service.url}/v1", timeout=30) as http:
            http.headers["authorization"] = f"Bearer {key}"
            sent = [small_shop.today(number) for number in range(20)]
            assert http.post("/events", json={"events": sent}).json()["accepted"] == 20
            run("nightly", "--app", "shop", "--as-of", small_shop.END.isoformat())
            answer = http.post("/recommend", json={"user_id": "u001", "n": 5}).json()
        store = Store.open(url)
        bundle = store.active("shop").bundle
        assert bundle is not None
        assert (answer["degraded"], answer["version"], len(answer["items"])) == (False, bundle.version, 5)
        assert store.events_to_drain("shop").payloads == []
        assert store.runs("shop")[0].status in ("published", "popular")
        store.close()
