"""One request of `/v1` as its handler sees it: who asks, and the body, already checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from serving.context import Context
from serving.stores.store import OnlineState
from serving.tenants import Grant


@dataclass(slots=True)
class Call:
    """`body` holds every field of the route's form; `grant` is provisional until `confirm` or `state`."""

    context: Context
    grant: Grant
    authorization: str
    body: dict[str, Any]

    @property
    def app_id(self) -> str:
        return self.grant.app_id

    def confirm(self) -> None:
        """Holds the key against the store. Raises NotKnown when it was revoked, StoreUnavailable."""
        self._confirm(self.context.store.revision(self.app_id))

    def state(self, user_id: str = "") -> OnlineState:
        """What the store knows of the app and the visitor now; confirms the key by the way. Raises as `confirm`."""
        state = self.context.store.state(self.app_id, user_id)
        self._confirm(state.revision)
        return state

    def _confirm(self, revision: int) -> None:
        self.grant = self.context.tenants.confirm(self.grant, self.authorization, revision)


Handler = Callable[[Call], Awaitable[dict[str, Any]]]
"""Answers a call with the response's JSON object; an error of ours becomes the error's status."""
