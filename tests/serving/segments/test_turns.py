"""Turns: fair among apps, bounded within one, nobody's place kept for who has left."""

from __future__ import annotations

import asyncio

import pytest

from portraits.errors import Busy
from serving.segments.turns import Turns

LONG_S = 60.0


def test_apps_take_turns_and_one_app_s_come_in_order() -> None:
    async def asked() -> list[str]:
        turns, order = Turns("work", 3), []

        async def work(app_id: str, name: str) -> None:
            await turns.take(app_id, LONG_S)
            order.append(name)
            await asyncio.sleep(0)
            turns.give_back()

        names = ("a1", "a2", "a3", "a4", "b1", "c1", "b2")
        await asyncio.gather(*(work(name[0], name) for name in names))
        return order

    assert asyncio.run(asked()) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


def test_so_many_of_one_app_wait_and_others_still_may() -> None:
    async def asked() -> None:
        turns = Turns("work", 1)
        await turns.take("a", LONG_S)
        waiting = [asyncio.create_task(turns.take(app_id, LONG_S)) for app_id in ("a", "b")]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await turns.take("a", LONG_S)
        turns.give_back()
        await waiting[1]
        turns.give_back()
        await waiting[0]

    asyncio.run(asked())


def test_what_another_line_does_takes_no_place_away() -> None:
    """As many of one line get through beside another's endless turns as by themselves."""

    async def asked() -> None:
        turns = Turns("work", 2)
        await turns.take("a exports", LONG_S)
        waiting = [asyncio.create_task(turns.take("a", LONG_S)) for _ in range(3)]
        more = [asyncio.create_task(turns.take("a exports", LONG_S)) for _ in range(2)]
        await asyncio.sleep(0)
        for full in ("a", "a exports"):
            with pytest.raises(Busy):
                await turns.take(full, LONG_S)
        for _ in range(5):
            turns.give_back()
        await asyncio.gather(*waiting, *more)

    asyncio.run(asked())


def test_who_leaves_gives_up_the_place_and_the_turn() -> None:
    """Also one whose turn has come at that very moment."""

    async def asked() -> None:
        turns = Turns("work", 2)
        await turns.take("a", LONG_S)
        with pytest.raises(TimeoutError):
            await turns.take("a", 0)
        leaving = [asyncio.create_task(turns.take("a", LONG_S)) for _ in range(2)]
        await asyncio.sleep(0)
        leaving[0].cancel()
        turns.give_back()
        leaving[1].cancel()
        await all_cancelled(leaving)
        await turns.take("b", 0)

    asyncio.run(asked())


async def all_cancelled(tasks: list[asyncio.Task[None]]) -> None:
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in ended)
