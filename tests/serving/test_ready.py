"""`/readyz` means that an answer could be given and an event kept."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from planted_app import open_shop
from sqlalchemy import text

from portraits.errors import StoreUnavailable
from serving.context import Context
from serving.publish import bundle_folder
from serving.ready import AGAIN_S, Readiness
from serving.stores.schema import REVISION

Ask = Callable[[], str | None]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Context]:
    process, store = open_shop(tmp_path)
    store.close()
    context = Context.open(process)
    yield context
    context.close()


@pytest.fixture
def ask(shop: Context) -> Iterator[Ask]:
    """What is wrong, newly found."""
    with asyncio.Runner() as runner:
        yield lambda: runner.run(Readiness(shop).problem())


def test_a_whole_service_is_ready(ask: Ask) -> None:
    assert ask() is None


def test_the_store_s_file_is_gone_comes_back_and_is_replaced(shop: Context, ask: Ask) -> None:
    file = shop.settings.home / "store.sqlite"
    assert ask() is None
    away = file.rename(file.with_name("away"))
    assert "cannot be found" in (ask() or "")
    away.rename(file)
    assert ask() is None
    away.write_bytes(file.read_bytes())
    away.replace(file)
    assert "replaced" in (ask() or "")


def test_another_writer_that_does_not_let_go(shop: Context, ask: Ask) -> None:
    with closing(sqlite3.connect(shop.settings.home / "store.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "not available" in (ask() or "")
        assert shop.writer.failing
    assert ask() is None
    assert not shop.writer.failing


def test_after_a_failure_a_page_must_be_written(shop: Context, ask: Ask) -> None:
    """A full disk lets a transaction begin; only one that writes shows that there is room again."""

    def fill(connection: object) -> None:
        raise StoreUnavailable("disk full")

    async def write() -> None:
        with pytest.raises(StoreUnavailable):
            await shop.writer.write("shop", fill)

    asyncio.run(write())
    assert shop.writer.failing
    assert ask() is None
    assert not shop.writer.failing


def test_tables_of_an_older_release_are_not_ready_those_of_a_newer_are(shop: Context, ask: Ask) -> None:
    for version, ready in (("0001", False), (REVISION, True), ("9999", True)):
        with shop.store.write() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
        assert (ask() is None) is ready


def test_a_broken_bundle_leaves_it_ready(shop: Context, ask: Ask) -> None:
    """Its catalogue answers, and another worker could not do better."""
    active = shop.store.active("shop").bundle
    assert active is not None
    for path in bundle_folder(shop.settings, "shop", active.version).glob("*.npy"):
        path.write_bytes(b"")
    assert ask() is None


def test_a_thread_that_has_ended(shop: Context, ask: Ask) -> None:
    shop.writer.close()
    assert "thread" in (ask() or "")


def test_it_says_so_when_it_leaves_and_checks_no_more_often_than_it_must(shop: Context) -> None:
    async def ask_often() -> list[str | None]:
        readiness = Readiness(shop)
        found = [await readiness.problem()]
        (shop.settings.home / "store.sqlite").rename(shop.settings.home / "away")
        found.append(await readiness.problem())
        await asyncio.sleep(AGAIN_S)
        found.append(await readiness.problem())
        readiness.leave()
        found.append(await readiness.problem())
        return found

    first, again, later, leaving = asyncio.run(ask_often())
    assert first is again is None
    assert "cannot be found" in (later or "")
    assert "shutting down" in (leaving or "")
