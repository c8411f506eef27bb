"""The one thread of a process that writes to the store while requests are answered.

A commit costs a sync of the disk, whatever it holds, so all writes that wait at the same moment share one transaction
(group commit): the more requests, the fewer syncs a request. A write is a function of the transaction's connection;
its caller gets the result after the commit, that is, when it is on disk. What is written behind the answers
(decisions) goes along with the next commit.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection

from portraits.errors import StoreUnavailable
from serving.stores import Store
from serving.stores.events import DecisionRow, insert_decisions

T = TypeVar("T")
Write = Callable[[Connection], T]

GROUP = 64
"""Most writes in one transaction: 64 batches of 20 events take about 25 ms."""
WAITING = 2_000
"""Most writes that may wait; beyond it callers are told to come back."""
WAIT_S = 10.0
BEHIND = 20_000
BEHIND_EVERY_S = 0.25

log = logging.getLogger(__name__)


class _Job(NamedTuple):
    write: Callable[[Connection], Any]
    done: Future[Any]


class Writer:
    """Starts with `start`, ends with `close`, which writes all that waits."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._jobs: queue.Queue[_Job | None] = queue.Queue(WAITING)
        self._behind: queue.Queue[tuple[str, DecisionRow]] = queue.Queue(BEHIND)
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self.lost_decisions = 0

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Writes what waits, then ends the thread."""
        self._jobs.put(None)
        self._thread.join()

    async def write(self, write: Write[T]) -> T:
        """The result of `write`, once it is on disk.

        Raises:
            StoreUnavailable: too many writes wait, the store cannot be written, or it took longer than `WAIT_S`; in
            the last case the write may still happen, which is why events are sent again with the same event_id.
        """
        job = _Job(write, Future())
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise StoreUnavailable("too many writes are waiting") from None
        try:
            return await asyncio.wait_for(asyncio.wrap_future(job.done), WAIT_S)
        except TimeoutError:
            raise StoreUnavailable(f"no commit within {WAIT_S:.0f} s") from None

    def behind(self, app_id: str, decision: DecisionRow) -> None:
        """Writes an answer soon, without anyone waiting. When the store is down for long, the newest are lost."""
        try:
            self._behind.put_nowait((app_id, decision))
        except queue.Full:
            self.lost_decisions += 1

    def _run(self) -> None:
        going_on = True
        while going_on:
            jobs, going_on = self._next_group()
            decisions = _take(self._behind)
            if decisions:
                jobs.append(_Job(partial(insert_decisions, rows=decisions), Future()))
            if jobs and not self._commit(jobs) and decisions and going_on:
                self._put_back(decisions, jobs[-1])

    def _next_group(self) -> tuple[list[_Job], bool]:
        """Waits for a first job (or for the time to write decisions), then takes what else is there."""
        jobs: list[_Job] = []
        try:
            job = self._jobs.get(timeout=BEHIND_EVERY_S)
            while job is not None:
                if job.done.set_running_or_notify_cancel():
                    jobs.append(job)
                if len(jobs) == GROUP:
                    return jobs, True
                job = self._jobs.get_nowait()
        except queue.Empty:
            return jobs, True
        return jobs, False

    def _commit(self, jobs: list[_Job]) -> bool:
        """One transaction for all; when it fails, each for itself, so that one bad write fails nobody else's."""
        try:
            with self._store.write() as connection:
                results = [job.write(connection) for job in jobs]
        except StoreUnavailable as error:
            log.warning("nothing was written: %s", error.message)
            for job in jobs:
                job.done.set_exception(error)
            return False
        except Exception as error:  # noqa: BLE001 - the caller gets it, whatever it is; the thread goes on
            if len(jobs) > 1:
                written = [self._commit([job]) for job in jobs]
                return all(written)
            jobs[0].done.set_exception(error)
            return False
        for job, result in zip(jobs, results, strict=True):
            job.done.set_result(result)
        return True

    def _put_back(self, decisions: list[tuple[str, DecisionRow]], job: _Job) -> None:
        if isinstance(job.done.exception(), StoreUnavailable):
            for app_id, decision in decisions:
                self.behind(app_id, decision)


def _take(rows: queue.Queue[tuple[str, DecisionRow]]) -> list[tuple[str, DecisionRow]]:
    taken: list[tuple[str, DecisionRow]] = []
    while not rows.empty():
        taken.append(rows.get_nowait())
    return taken
