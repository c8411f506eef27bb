"""The parent of the process that counts (`counter`): starts it when first asked, stops it when it takes too long.

One question at a time, the apps in turn (`turns`), and an app's marketers in turn with the exports of its visitors.
A question that passes its deadline has its process killed, since DuckDB cannot be hurried; the next question starts
another. Waiting has a deadline, too, and both together are shorter than that of a request; a question that has waited
too long, or that nobody waits for any more, is never begun.
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
from serving.segments.turns import Turns
from serving.settings import ProcessSettings

ANSWER_S = 10.0
"""Of one question from its turn on."""
WAIT_S = 14.0
"""For its turn."""
STARTING_S = 60.0
"""After which a process that is not ready is given up. A question does not wait so long; the one after it may find it
ready."""
MOST_WAITING = 2
"""Questions of one app that may wait for its own that is being answered; so many exports of its visitors, too."""
COUNTING = "counting"
EXPORT = "an export"
READY: Mapping[str, Any] = {"ready": True}
"""The first line of the counting process."""

Question = Mapping[str, Any]


class Told(HuaxiangError):
    """An error that the counting process met; it keeps its own code and status."""

    code = "counting"
    status = 503

    def __init__(self, told: Mapping[str, Any]) -> None:
        super().__init__(told["message"], told["field"])
        self.code, self.status = told["code"], told["status"]


class Analyst:
    """Asks the counting process from a running event loop, which goes on with other requests meanwhile."""

    def __init__(self, process: ProcessSettings, answer_s: float = ANSWER_S, wait_s: float = WAIT_S) -> None:
        self._child = Child(process, answer_s)
        self._wait_s = wait_s
        self._thread = ThreadPoolExecutor(1, "analyst")
        self._turns = Turns(COUNTING, MOST_WAITING)
        self._exporting: set[tuple[str, str]] = set()

    async def ask(self, question: Question) -> dict[str, Any]:
        """The answer (see `counter.QUESTIONS`). Who is cancelled waits no more, and is not asked for.

        Raises Busy (too many of the app wait, or its turn does not come), TookTooLong, Interrupted, and what the
        counting process says.
        """
        return await self._ask(question, question["app_id"])

    async def export(self, question: Question) -> dict[str, Any]:
        """As `ask`, for a visitor (`user_id`): in a line beside the app's, whose marketers lose no place to it, and one
        of each visitor at a time. Raises Busy for a second one."""
        who = app_id, _ = question["app_id"], question["user_id"]
        if who in self._exporting:
            raise Busy(EXPORT, "one of the same visitor is being made")
        self._exporting.add(who)
        try:
            return await self._ask(question, f"{app_id} {EXPORT}")
        finally:
            self._exporting.discard(who)

    async def _ask(self, question: Question, line: str) -> dict[str, Any]:
        try:
            await self._turns.take(line, self._wait_s)
        except TimeoutError:
            raise Busy(COUNTING, f"{self._wait_s:g} s were not enough for those before it") from None
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._child.ask, question)
        running.add_done_callback(lambda _: self._turns.give_back())
        return await asyncio.shield(running)  # the process is at it until it is done, whoever waits

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
        self._ready = False
        self._started = 0.0

    @property
    def pid(self) -> int | None:
        return None if self._running is None or self._running.poll() is not None else self._running.pid

    def ask(self, question: Question) -> dict[str, Any]:
        """See `Analyst.ask`."""
        seconds = self.answer_s
        until = time.monotonic() + seconds
        try:
            if self.pid is None:
                self._start()
            if not self._ready:
                self._receive(until)
                self._ready = True
            return self._exchange(question, until)
        except TimeoutError:
            if self._ready or time.monotonic() > self._started + STARTING_S:
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

    def _start(self) -> None:
        self.stop()
        self._ready, self._started = False, time.monotonic()
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
