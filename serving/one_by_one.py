"""Long work of requests on a thread of its own: one at a time, the apps in turn, so that nobody else waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from portraits.errors import Busy
from serving.segments.turns import Turns

T = TypeVar("T")

WAIT_S = 10.0
"""Seconds that work waits for its turn."""
MOST_WAITING = 4
"""Pieces of work of one app that may wait at a time."""


class OneByOne:
    """A thread that does one piece of work at a time, asked from one event loop; ends with `close`.

    `what` names the work in errors.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._thread = ThreadPoolExecutor(1, what)
        self._turns = Turns(what, MOST_WAITING)

    async def run(self, app_id: str, work: Callable[[], T]) -> T:
        """What `work` returns. Once begun it is finished, whoever waits. Raises Busy, and what `work` raises."""
        try:
            await self._turns.take(app_id, WAIT_S)
        except TimeoutError:
            raise Busy(self._what, f"{WAIT_S:g} s were not enough for those before it") from None
        running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        running.add_done_callback(lambda _: self._turns.give_back())
        return await asyncio.shield(running)

    def close(self) -> None:
        """Ends the thread, after the work it is at."""
        self._thread.shutdown(cancel_futures=True)
