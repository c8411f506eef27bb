"""What a request reads: on the loop where that is quick, within a deadline where it may not be, and no pile-up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from portraits.errors import StoreUnavailable, UnknownApp
from portraits.settings import AppSettings
from serving import reads as reads_module
from serving.reads import Reads
from serving.stores import Store


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store.open(store_url)
    opened.add_app(AppSettings("shop"))
    yield opened
    opened.close()


@pytest.fixture
def reads(store: Store) -> Iterator[Reads]:
    opened = Reads(store)
    yield opened
    opened.close()


def run(asking: Callable[[], Awaitable[Any]]) -> Any:
    async def ask() -> Any:
        return await asking()

    return asyncio.run(ask())


def test_only_a_database_that_may_be_slow_is_asked_in_a_thread(store: Store, reads: Reads) -> None:
    quick = run(lambda: reads.quick(threading.get_ident))
    assert (quick == threading.get_ident()) is not store.remote
    assert run(lambda: reads.slow(threading.get_ident)) != threading.get_ident()


def test_what_a_read_gives_or_raises_is_passed_on(store: Store, reads: Reads) -> None:
    assert run(lambda: reads.quick(store.revision, "shop")) == 1
    for how in (reads.quick, reads.slow):
        for _ in range(2):
            with pytest.raises(UnknownApp):
                run(lambda how=how: how(store.revision, "nobody"))
    assert run(lambda: reads.slow(store.rules, "shop")) == []


@pytest.mark.fault
@pytest.mark.parametrize("database", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
def test_after_a_deadline_nobody_waits_until_one_has_tried(reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads_module, "REFUSED_S", 0.5)
    asked: list[int] = []
    answers = threading.Event()

    def slow() -> str:
        asked.append(1)
        answers.wait()
        return "answer"

    async def refused() -> list[str]:
        found = await asyncio.gather(*(reads.quick(slow) for _ in range(20)), return_exceptions=True)
        return [one.message for one in found if isinstance(one, StoreUnavailable)]

    async def asking() -> None:
        with pytest.raises(StoreUnavailable, match="no answer within"):
            await reads.quick(slow)
        assert len(await refused()) == 20
        assert len(asked) == 1, "all others were refused at once"
        await asyncio.sleep(reads_module.REFUSED_S)
        waited = [message for message in await refused() if "no answer within" in message]
        assert (len(waited), len(asked)) == (1, 2), "one tries for all"
        answers.set()
        await asyncio.sleep(reads_module.REFUSED_S)
        assert await reads.quick(slow) == "answer"
        assert await refused() == []

    try:
        asyncio.run(asking())
    finally:
        answers.set()


@pytest.mark.fault
@pytest.mark.parametrize("database", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
def test_a_database_that_is_away_is_tried_again(
    store: Store, reads: Reads, store_url: str, request: pytest.FixtureRequest
) -> None:
    tried = []

    def revision() -> int:
        tried.append(1)
        return store.revision("shop")

    async def until_it_answers() -> int:
        while True:
            try:
                return await reads.quick(revision)
            except StoreUnavailable:
                await asyncio.sleep(0.01)

    async def around() -> None:
        with request.getfixturevalue("postgres").away(store_url):
            for _ in range(50):
                with pytest.raises(StoreUnavailable):
                    await reads.quick(revision)
            assert len(tried) < 50
        assert await until_it_answers() == 1
        assert await asyncio.gather(*(reads.quick(revision) for _ in range(20))) == [1] * 20

    asyncio.run(around())
