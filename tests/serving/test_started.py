"""A coroutine that is begun at once."""

from __future__ import annotations

import asyncio

import pytest

from serving.started import Started


async def _sum(*parts: asyncio.Future[int]) -> int:
    return sum([await part for part in parts])


async def _fails() -> int:
    raise ValueError("no")


def test_what_need_not_wait_is_done() -> None:
    started = Started(_sum())
    assert (started.done, started.result) == (True, 0)


def test_what_waits_goes_on_where_it_is_awaited() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        first, second = loop.create_future(), loop.create_future()
        started = Started(_sum(first, second))
        assert not started.done
        loop.call_soon(first.set_result, 1)
        loop.call_later(0.001, second.set_result, 2)
        return await started

    assert asyncio.run(main()) == 3


def test_what_it_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="no"):
        Started(_fails())


def test_what_it_waits_for_may_fail() -> None:
    async def main() -> None:
        part = asyncio.get_running_loop().create_future()
        started = Started(_sum(part))
        part.set_exception(ValueError("later"))
        await started

    with pytest.raises(ValueError, match="later"):
        asyncio.run(main())


def test_a_deadline_ends_it() -> None:
    ended: list[str] = []

    async def waits(part: asyncio.Future[int]) -> int:
        try:
            return await part
        finally:
            ended.append("ended")

    async def main() -> None:
        started = Started(waits(asyncio.get_running_loop().create_future()))
        async with asyncio.timeout(0.01):
            await started

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert ended == ["ended"]
