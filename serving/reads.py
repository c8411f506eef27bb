"""What a request reads of the store, without the worker ever waiting for a database that does not answer.

A database in the worker's own process (SQLite) answers in microseconds: it is asked on the event loop. One behind a
network is asked in threads, within a deadline. After a deadline has passed, or when the database cannot be reached,
reads are refused at once for a moment, then one of them tries again: the others neither wait nor pile up (a circuit
breaker; Nygard, Release It!, 2007).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from portraits.errors import StoreUnavailable
from serving.stores import Store
from serving.stores.dialect import patience

T = TypeVar("T")

QUICK_S = 0.25
"""How long an answer waits for what it must know of the app and the visitor, before it does without."""
SILENT_S = 10.0
"""How long a read of many rows (what came new into a catalogue) may go without any of them arriving."""
REFUSED_S = 1.0
"""How long reads are refused after one has failed."""
THREADS = 8
"""Reads at the same time of one worker."""


class Reads:
    """Reads of one worker's requests; ends with `close`."""

    def __init__(self, store: Store) -> None:
        self._remote = store.remote
        self._threads = ThreadPoolExecutor(THREADS, "store-reader") if store.remote else None
        self._refused_until = 0.0

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def quick(self, read: Callable[..., T], *arguments: Any) -> T:
        """The result of a read that the request cannot go on without. Raises StoreUnavailable, what `read` raises."""
        if not self._remote:
            return read(*arguments)
        self._let_in()
        asked = asyncio.get_running_loop().run_in_executor(self._threads, _patient, QUICK_S, partial(read, *arguments))
        return await self._answer(asyncio.wait_for(asked, QUICK_S))

    async def slow(self, read: Callable[..., T], *arguments: Any) -> T:
        """The result of a read of many rows, however long they take to come. Never on the event loop; raises as
        `quick`."""
        if not self._remote:
            return await asyncio.to_thread(read, *arguments)
        self._let_in()
        return await self._answer(asyncio.to_thread(_patient, SILENT_S, partial(read, *arguments)))

    async def _answer(self, answer: Awaitable[T]) -> T:
        try:
            result = await answer
        except TimeoutError:
            self._refused_until = time.monotonic() + REFUSED_S
            raise StoreUnavailable(f"no answer within {QUICK_S:g} s") from None
        except StoreUnavailable:
            self._refused_until = time.monotonic() + REFUSED_S
            raise
        self._refused_until = 0.0
        return result

    def _let_in(self) -> None:
        """Raises StoreUnavailable while reads are refused. The first one after that tries for all."""
        if not self._refused_until:
            return
        now = time.monotonic()
        if now < self._refused_until:
            raise StoreUnavailable("it did not answer a moment ago")
        self._refused_until = now + REFUSED_S


def _patient(seconds: float, read: Callable[[], T]) -> T:
    with patience(seconds):
        return read()
