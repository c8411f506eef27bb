"""A worker that is asked to end says so before whoever had the signal hears of it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType

import pytest

from serving.leaving import LEAVE_S, leaving


@pytest.fixture
def heard() -> Iterator[list[float]]:
    """When the handler that was there before was called; it is there again afterwards."""
    moments: list[float] = []

    def hear(_: int, __: FrameType | None) -> None:
        moments.append(time.monotonic())

    before = signal.signal(signal.SIGTERM, hear)
    yield moments
    assert signal.getsignal(signal.SIGTERM) is hear
    signal.signal(signal.SIGTERM, before)


def test_the_first_signal_begins_and_reaches_the_server_later(heard: list[float]) -> None:
    begun: list[float] = []

    async def live() -> None:
        with leaving(lambda: begun.append(time.monotonic())):
            for _ in range(3):  # a supervisor and a group may both ask
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(0)
            while not heard:
                await asyncio.sleep(0.01)

    asyncio.run(live())
    assert (len(begun), len(heard)) == (1, 1)
    assert heard[0] - begun[0] >= LEAVE_S * 0.9
