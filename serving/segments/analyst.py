"""The parent of the process that counts (`counter`): starts it when first asked, stops it when it takes too long.

One question at a time and a short queue. A question that passes its deadline has its process killed, since DuckDB
cannot be hurried; the next question starts another. Starting one has a deadline of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from portraits.errors import Busy, HuaxiangError, Interrupted, TookTooLong
from serving.settings import ProcessSettings

ANSWER_S = 10.0
STARTING_S = 60.0
MOST_WAITING = 8
"""Questions that may wait for the one that is being answered."""
COUNTING = "counting"
READY: Mapping[str, Any] = {"ready": True}
"""The first line of the counting process."""

Question = Mapping[str, Any]


class Told(HuaxiangError):
    """An error that the counting process met; it keeps its code and status."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        super().__init__(told["message"], told["field"])
        self.code, self.status = told["code"], told["status"]


class Analyst:
    """Asks the counting process from a running event loop, which goes on with other requests meanwhile."""

    def __init__(self, process: ProcessSettings, answer_s: float = ANSWER_S) -> None:
        self._child = Child(process, answer_s)
        self._thread = ThreadPoolExecutor(1, "analyst")
        self._waiting = 0

    async def ask(self, question: Question) -> dict[str, Any]:
        """The answer (see `counter.QUESTIONS`).

        Raises Busy (too many wait), TookTooLong, Interrupted, and what the counting process says.
        """
        if self._waiting > MOST_WAITING:
            raise Busy(COUNTING, f"{MOST_WAITING} questions already wait")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._child.ask, question)
        finally:
            self._waiting -= 1

    @property
    def pid(self) -> int | None:
        """The counting process, None while there is none."""
        return self._child.pid

    def answer_within(self, seconds: float) -> None:
        """The deadline of the questions from now on."""
        self._child.answer_s = seconds

    def close(self) -> None:
        """Ends the counting process, after the question it is at."""
        self._thread.shutdown(cancel_futures=True)
        self._child.stop()


class Child:
    """The counting process and the pipes to it; for one thread."""

    def __init__(self, process: ProcessSettings, answer_s: float) -> None:
        self._process = process
        self.answer_s = answer_s
        self._running: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._read = b""

    @property
    def pid(self) -> int | None:
        return None if self._running is None or self._running.poll() is not None else self._running.pid

    def ask(self, question: Question) -> dict[str, Any]:
        """See `Analyst.ask`."""
        seconds = STARTING_S
        try:
            if self.pid is None:
                self._start(time.monotonic() + seconds)
            seconds = self.answer_s
            return self._exchange(question, time.monotonic() + seconds)
        except TimeoutError:
            self.stop()
            raise TookTooLong(COUNTING, seconds) from None

    def stop(self) -> None:
        """Kills the process; what it spilled goes with it."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            for pipe in (self._running.stdin, self._running.stdout):
                pipe.close()  # type: ignore[union-attr]
            self._running = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _start(self, until: float) -> None:
        self.stop()
        self._folder = tempfile.TemporaryDirectory(prefix="huaxiang-counting-", ignore_cleanup_errors=True)
        self._read = b""
        self._running = subprocess.Popen(
            [sys.executable, "-m", "serving.segments.counter", self._folder.name],
            env={**os.environ, **self._process.environment()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        for pipe in (self._running.stdin, self._running.stdout):
            os.set_blocking(pipe.fileno(), False)  # type: ignore[union-attr]
        self._receive(until)

    def _exchange(self, question: Question, until: float) -> dict[str, Any]:
        self._send(question, until)
        answer = self._receive(until)
        if "error" in answer:
            raise Told(answer["error"])
        return dict(answer["answer"])

    def _send(self, question: Question, until: float) -> None:
        left = json.dumps(question).encode() + b"\n"
        while left:
            descriptor = self._pipe("stdin", selectors.EVENT_WRITE, until)
            try:
                left = left[os.write(descriptor, left) :]
            except BrokenPipeError:
                self._interrupted()

    def _receive(self, until: float) -> dict[str, Any]:
        while b"\n" not in self._read:
            descriptor = self._pipe("stdout", selectors.EVENT_READ, until)
            some = os.read(descriptor, 1 << 20)
            if not some:
                self._interrupted()
            self._read += some
        line, _, self._read = self._read.partition(b"\n")
        return dict(json.loads(line))

    def _pipe(self, name: str, event: int, until: float) -> int:
        """A pipe of the process, as soon as it can be read or written. Raises TimeoutError."""
        pipe = getattr(self._running, name)
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, event)
            if not selector.select(max(until - time.monotonic(), 0)):
                raise TimeoutError
        return int(pipe.fileno())

    def _interrupted(self) -> None:
        running = self._running
        code = running.wait() if running is not None else None
        self.stop()
        raise Interrupted(COUNTING, f"its process ended with {code}")
