"""The one thread of a process that writes to the store while requests are answered.

A commit costs a sync of the disk, whatever it holds, so writes that wait at the same moment share one transaction
(group commit): the more requests, the fewer syncs a request. A transaction takes on writes for `GROUP_S` and no longer,
because nobody else, in this process or another, can write meanwhile. Each app's writes wait in a line of their own, and
the app that was given the least goes next (as in start-time fair queueing: Goyal, Vin and Cheng, 1996), so that one
app's flood costs another app's write a few rows of waiting, not the whole flood.

A write is a function of the transaction's connection; its caller gets the result after the commit, that is, when it is
on disk. What is written behind the answers (decisions) goes along with the next commit.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection

from portraits.errors import StoreUnavailable
from serving.stores import Store
from serving.stores.database import our_errors
from serving.stores.dialect import part
from serving.stores.events import DecisionRow, insert_decisions
from serving.tally import ROWS, Tally

T = TypeVar("T")
Write = Callable[[Connection], T]

GROUP_S = 0.015
"""How long a transaction takes on writes. The largest write takes about as long again, and the commit a sync."""
WAITING = 60_000
WAITING_EACH = 20_000
WAITING_ALWAYS = 1_000
"""Most rows that may wait, and most of one app; beyond it callers are told to come back. So many of each app may wait
whatever waits of others."""
WAIT_S = 4.0
"""How long a write waits: less than clients wait (`sdk.exchange.Patience.try_s`), so that they hear that nothing is
written rather than hang up and send the same again beside it."""
TOLD_EVERY_S = 60.0
"""How often the log says that still nothing can be written."""
BEHIND_BYTES = 32_000_000
"""Most text of decisions that may wait for a store that is away."""
BEHIND_AT_ONCE = 250
BEHIND_EVERY_S = 0.25

log = logging.getLogger(__name__)


class _Job(NamedTuple):
    """`waiting`: the future, of `loop`, that gets what the write returns or raises."""

    write: Callable[[Connection], Any]
    rows: int
    waiting: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    since: float


@dataclass(slots=True)
class _Line:
    """The writes of one app that wait. `had`: rows that it was given, counted on from where the others stood."""

    had: int
    jobs: deque[_Job] = field(default_factory=deque)
    rows: int = 0


class Writer:
    """Starts with `start`, ends with `close`, which writes all that waits."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = threading.Condition()
        self._lines: dict[str, _Line] = {}
        self._had = 0
        self._behind: deque[tuple[str, DecisionRow]] = deque()
        self._behind_bytes = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self.waiting = 0
        """Rows that wait."""
        self.lost_decisions = 0
        self.failing = False
        """The last transaction could not be written."""
        self._told = 0.0
        self.waited, self.committed, self.groups = Tally(), Tally(), Tally(ROWS)
        """Seconds that a write waited for its transaction, seconds that a transaction took, its rows."""

    @property
    def alive(self) -> bool:
        """The thread runs and goes on."""
        return self._thread.is_alive() and not self._closing

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Writes what waits, then ends the thread. While the store is away, what waits is lost and counted."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    async def write(self, app_id: str, write: Write[T], rows: int = 1) -> T:
        """The result of `write`, once it is on disk; `rows` is about how much it writes.

        Raises:
            StoreUnavailable: too many writes wait, the store cannot be written, or it took longer than `WAIT_S`; in
            the last case the write may still happen, which is why events are sent again with the same event_id.
        """
        loop = asyncio.get_running_loop()
        job = _Job(write, max(rows, 1), loop.create_future(), loop, time.perf_counter())
        self._join_line(app_id, job)
        deadline = loop.call_later(WAIT_S, _give_up, job.waiting)
        try:
            return await job.waiting  # type: ignore[no-any-return]
        finally:
            deadline.cancel()

    def behind(self, app_id: str, decision: DecisionRow) -> None:
        """Writes an answer soon, without anyone waiting. When the store is down for long, the newest are lost."""
        with self._changed:
            if self._behind_bytes >= BEHIND_BYTES:
                self.lost_decisions += 1
                return
            self._behind.append((app_id, decision))
            self._behind_bytes += len(decision.payload)

    def _join_line(self, app_id: str, job: _Job) -> None:
        with self._changed:
            line = self._lines.get(app_id)
            held = 0 if line is None else line.rows
            if held >= WAITING_EACH or (self.waiting >= WAITING and held + job.rows > WAITING_ALWAYS):
                raise StoreUnavailable("too many writes are waiting")
            if line is None:
                line = self._lines[app_id] = _Line(self._had)
            line.jobs.append(job)
            line.rows += job.rows
            self.waiting += job.rows
            self._changed.notify()

    def _next(self) -> _Job | None:
        """The oldest write of the app that was given the least."""
        with self._changed:
            while self._lines:
                app_id, line = min(self._lines.items(), key=_had)
                job = line.jobs.popleft()
                self._had = line.had
                line.had += job.rows
                line.rows -= job.rows
                self.waiting -= job.rows
                if not line.jobs:
                    del self._lines[app_id]
                if not job.waiting.done():  # whoever asked may be gone
                    self.waited.add(time.perf_counter() - job.since)
                    return job
        return None

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closing, BEHIND_EVERY_S)
                over = self._closing and not self._lines and not self._behind
            if over:
                return
            decisions = self._take_behind()
            if (self._lines or decisions) and not self._commit(decisions):
                self._put_back(decisions)

    def _commit(self, decisions: list[tuple[str, DecisionRow]]) -> bool:
        """One transaction with the decisions and as many writes as its time allows; False: nothing was written."""
        taken: list[tuple[_Job, Any]] = []
        began = time.perf_counter()
        try:
            with self._store.write() as connection:
                until = time.monotonic() + GROUP_S
                self._write_down(connection, decisions)
                while (not taken or time.monotonic() < until) and (job := self._next()) is not None:
                    taken.append((job, None))
                    taken[-1] = job, _outcome(connection, job.write)
        except StoreUnavailable as error:
            self._complain(error)
            # Without a transaction, whoever waits would wait in vain as long again.
            refused = [job for job, _ in taken] or list(iter(self._next, None))
            _refuse(refused, error)
            return False
        except Exception as error:  # noqa: BLE001 - whoever waits gets it; the thread goes on
            self._complain(error)
            _refuse([job for job, _ in taken], error)
            return False
        if self.failing:
            self.failing = False
            log.warning("writing again")
        self.committed.add(time.perf_counter() - began)
        self.groups.add(len(decisions) + sum(job.rows for job, _ in taken))
        _tell(taken)
        return True

    def _write_down(self, connection: Connection, decisions: list[tuple[str, DecisionRow]]) -> None:
        """Decisions that cannot be written, whatever the store's state, are dropped: all that comes after would wait
        for them in vain."""
        if not decisions:
            return
        problem = _outcome(connection, partial(insert_decisions, rows=decisions))
        if isinstance(problem, Exception):
            log.error("%d answers cannot be written down", len(decisions), exc_info=problem)
            self.lost_decisions += len(decisions)
            decisions.clear()

    def _complain(self, error: Exception) -> None:
        """Says that nothing was written when it begins to be so, then now and then."""
        now = time.monotonic()
        if not self.failing or now - self._told >= TOLD_EVERY_S:
            self._told = now
            if isinstance(error, StoreUnavailable):
                log.warning("nothing was written: %s", error.message)
            else:
                log.error("nothing was written", exc_info=error)
        self.failing = True

    def _take_behind(self) -> list[tuple[str, DecisionRow]]:
        with self._changed:
            taken = [self._behind.popleft() for _ in range(min(len(self._behind), BEHIND_AT_ONCE))]
            self._behind_bytes -= sum(len(decision.payload) for _, decision in taken)
            return taken

    def _put_back(self, decisions: list[tuple[str, DecisionRow]]) -> None:
        with self._changed:
            if self._closing:  # each further try would take as long as this one
                self.lost_decisions += len(decisions) + len(self._behind)
                self._behind.clear()
                return
            self._behind.extendleft(reversed(decisions))
            self._behind_bytes += sum(len(decision.payload) for _, decision in decisions)


def _had(line: tuple[str, _Line]) -> int:
    return line[1].had


def _outcome(connection: Connection, write: Write[Any]) -> Any:
    """What the write returns or raises. One that raises leaves nothing behind and fails nobody else's.

    Raises StoreUnavailable: nothing of the transaction can be written.
    """
    part(connection, "SAVEPOINT")
    try:
        with our_errors():
            outcome = write(connection)
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - the caller gets it, whatever it is; the thread goes on
        part(connection, "ROLLBACK TO SAVEPOINT")
        outcome = error
    part(connection, "RELEASE SAVEPOINT")
    return outcome


def _refuse(jobs: list[_Job], error: Exception) -> None:
    _tell([(job, error) for job in jobs])


def _tell(outcomes: list[tuple[_Job, Any]]) -> None:
    """Wakes each loop once, however many of its requests have waited."""
    for loop in {job.loop for job, _ in outcomes}:
        mine = [(job.waiting, outcome) for job, outcome in outcomes if job.loop is loop]
        with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(_settle, mine)


def _settle(outcomes: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for waiting, outcome in outcomes:
        if waiting.done():
            continue
        if isinstance(outcome, Exception):
            waiting.set_exception(outcome)
        else:
            waiting.set_result(outcome)


def _give_up(waiting: asyncio.Future[Any]) -> None:
    if not waiting.done():
        waiting.set_exception(StoreUnavailable(f"no commit within {WAIT_S:.0f} s"))
