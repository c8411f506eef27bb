"""One request of `/v1` as its handler sees it: who asks, and the body, already checked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from serving.context import Context
from serving.stores.store import OnlineState
from serving.tenants import Grant

T = TypeVar("T")


@dataclass(slots=True)
class Call:
    """`body` holds every field of the route's form; `grant` is provisional until `confirm` or `state`.

    `receive`: of ASGI, after the body was read.
    """

    context: Context
    grant: Grant
    body: dict[str, Any]
    receive: Receive

    @property
    def app_id(self) -> str:
        return self.grant.app_id

    def person(self, user_id: str) -> str:
        """Whom the answer names: the person, by the person's own id. A token hears of no id but its own: it may be that
        of a guest on a shared device."""
        return self.grant.user_id or user_id

    async def confirm(self) -> None:
        """Holds the key against the store. Raises NotKnown when it was revoked, StoreUnavailable."""
        await self._confirm(await self.context.reads.quick(self.context.store.revision, self.app_id))

    async def state(self, user_id: str = "") -> OnlineState:
        """What the store knows of the app and the visitor now; confirms the key by the way. Raises as `confirm`."""
        state = await self.context.reads.quick(self.context.store.state, self.app_id, user_id)
        await self._confirm(state.revision)
        return state

    async def unless_gone(self, answer: Coroutine[Any, Any, T]) -> T:
        """What `answer` gives; it is cancelled as soon as whoever asked closes the connection, for what takes seconds
        and changes nothing. Raises ClientDisconnect."""
        answering = asyncio.ensure_future(answer)
        leaving = asyncio.ensure_future(self.receive())  # after the body nothing else is received
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                raise ClientDisconnect
            return answering.result()
        finally:
            answering.cancel()
            leaving.cancel()

    async def _confirm(self, revision: int) -> None:
        self.grant = await self.context.tenants.confirm(self.grant, revision)


Handler = Callable[[Call], Awaitable[dict[str, Any]]]
"""Answers a call with the response's JSON object; an error of ours becomes the error's status."""
