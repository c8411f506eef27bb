"""Whether requests should come to this worker: `/readyz`.

Ready means that an answer could be given and an event kept: the store can be read, its tables are known, its disk has
room, and a transaction goes through the thread that writes. After one has failed, the next must write a page, not only
begin: a full disk lets a transaction begin. An app whose bundle is broken does not make a worker unready: it answers
from its catalogue, and another worker could not do better. Nor does a database that all replicas share and none
reaches, once this worker holds models: it can still answer without anything personal, and were every replica taken out,
nobody would. A worker that starts while that database is away waits for it: it knows no key yet, so it can answer
nobody.
"""

from __future__ import annotations

import asyncio
import logging
import time

from sqlalchemy import Connection

from portraits.errors import StoreUnavailable
from serving.context import Context
from serving.stores.database import touch_disk

WITHIN_S = 1.0
"""How long the store may take."""
AGAIN_S = 0.5
"""How long a finding holds: however often it is asked, two checks a second are made."""
PREPARE_EVERY_S = 1.0

log = logging.getLogger(__name__)


class Readiness:
    """One for each worker."""

    def __init__(self, context: Context) -> None:
        self._leaving = False
        self._context = context
        self._lock = asyncio.Lock()
        self._problem: str | None = None
        self._checked = -AGAIN_S

    def leave(self) -> None:
        """From here on the worker is not ready: it was asked to end."""
        self._leaving = True

    def leaving(self) -> bool:
        """The worker was asked to end."""
        return self._leaving

    async def problem(self) -> str | None:
        """Why the worker is not ready, in words; None: it is."""
        async with self._lock:
            if time.monotonic() - self._checked >= AGAIN_S:
                before, self._problem = self._problem, await self._find()
                self._checked = time.monotonic()
                if self._problem is not None and before is None:
                    log.warning("not ready: %s", self._problem)
                elif self._problem is None and before is not None:
                    log.warning("ready again")
        return "it is shutting down" if self._leaving else self._problem

    async def _find(self) -> str | None:
        if not self._context.writer.alive:
            return "the thread that writes has ended"
        wrong = await self._of_the_store()
        return None if self._context.store.remote and self._context.models.held else wrong

    async def _of_the_store(self) -> str | None:
        try:
            async with asyncio.timeout(WITHIN_S):
                wrong = await self._context.reads.slow(self._context.store.problem)
                if wrong is None:
                    write = touch_disk if self._context.writer.failing else _begin
                    await self._context.writer.write("", write)
        except TimeoutError:
            return f"the store did not answer within {WITHIN_S:g} s"
        except StoreUnavailable as error:
            if self._problem is None:
                log.warning("%s", error.message)
            return StoreUnavailable.OUTWARD
        return wrong


async def keep_preparing(context: Context) -> None:
    """Looks for a store that was away when the worker started, until it is there and its tables are."""
    told = False
    while not context.store.prepared:
        try:
            await asyncio.to_thread(context.store.prepare)
            log.warning("the online store is there")
        except StoreUnavailable as error:
            if not told:
                log.warning("waiting for the online store: %s", error.message)
            told = True
            await asyncio.sleep(PREPARE_EVERY_S)
        except Exception:  # its tables may be mended from outside
            log.exception("the store's tables cannot be made or migrated")
            await asyncio.sleep(PREPARE_EVERY_S)


def _begin(_: Connection) -> None:
    """A transaction that writes nothing."""
