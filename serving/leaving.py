"""How a worker ends: first it says so, then it takes no more requests, then it writes what waits.

Asked to end (SIGTERM), uvicorn closes its socket at once, so that a load balancer that was not told yet meets a closed
door, and nobody ever sees a 503 of `/readyz`. Here the signal first turns `/readyz`, and reaches uvicorn `LEAVE_S`
later. uvicorn then answers what it has begun, and the application's lifespan ends, which writes what waits. Further
signals change nothing: where a whole group of processes is asked, the supervisor asks its workers once more. Ctrl-C
(SIGINT) is uvicorn's alone.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

LEAVE_S = 1.0
"""How long a worker that was asked to end still takes requests."""


@contextmanager
def leaving(begin: Callable[[], None]) -> Iterator[None]:
    """Inside the block, in the thread of the event loop: `begin` is called at the first SIGTERM, whoever had the signal
    before hears of it later."""
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGTERM)
    begun = False

    def ask(number: int, _: FrameType | None) -> None:
        nonlocal begun
        if begun:
            return
        begun = True
        loop.call_soon_threadsafe(begin)
        loop.call_soon_threadsafe(loop.call_later, LEAVE_S, pass_on, number)

    def pass_on(number: int) -> None:
        if callable(before):
            before(number, None)
        else:
            signal.signal(number, before)
            signal.raise_signal(number)

    signal.signal(signal.SIGTERM, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
