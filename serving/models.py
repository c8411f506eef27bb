"""The models of this worker: for each app, the active bundle with the day's catalogue changes over it.

A request brings the state it read. When that names another version than the one held here, the new one is opened (in
a thread: checksums take a moment) and every request of the app waits for it, so an answer never mixes the new
version's events with the old version's table. When it shows later catalogue changes, they are applied first. Other
apps go on meanwhile. The old bundle's memory goes with its last request.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

from portraits.errors import BrokenBundle
from recommender.bundle import Bundle
from recommender.catalogue import Catalogue
from serving.publish import bundle_folder
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.nights import Version
from serving.stores.store import OnlineState

APPLY_AT_ONCE = 500
"""Catalogue rows applied before other requests get a turn: a few milliseconds."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Model:
    """What answers the requests of one app.

    `revision`: the app's when this was opened; `change_seq`: the last catalogue change that it knows; `problem`: why
    there is no bundle although a version is active.
    """

    version: Version | None
    bundle: Bundle | None
    catalogue: Catalogue
    revision: int
    problem: str | None = None
    change_seq: int = 0
    offers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str | None:
        """The version that answers; None before the first night and when its files are broken."""
        return self.version.version if self.version is not None and self.bundle is not None else None

    def is_version_of(self, state: OnlineState) -> bool:
        """This is the version that `state` calls for, or a later one: a slow request must not bring an old one back."""
        return state.revision <= self.revision or state.active.bundle == self.version

    def known_as(self, state: OnlineState) -> str:
        """The id under which the bundle knows the visitor: one who was linked since the night may have an old one."""
        if self.bundle is None or len(state.ids) < 2:
            return state.user_id
        users = self.bundle.users
        return next((one for one in state.ids if users.index(one) >= 0), state.user_id)

    def answers(self, state: OnlineState) -> bool:
        """Nothing that `state` knows of is missing here."""
        return self.is_version_of(state) and self.change_seq >= state.change_seq


class Models:
    """Models by app, opened when first asked for."""

    def __init__(self, settings: ProcessSettings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._models: dict[str, Model] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def model(self, app_id: str, state: OnlineState) -> Model:
        """The model that `state` calls for. Raises StoreUnavailable when changes cannot be read."""
        model = self._models.get(app_id)
        if model is not None and model.answers(state):
            return model
        async with self._locks.setdefault(app_id, asyncio.Lock()):
            model = self._models.get(app_id)
            if model is not None and model.answers(state):
                return model
            if model is not None and model.is_version_of(state):
                current = model
                rows = await asyncio.to_thread(self._store.changes, app_id, "items", model.change_seq)
            else:
                current, rows = await asyncio.to_thread(self._open, app_id, state)
            await self._apply(app_id, current, rows, state.change_seq)
            self._models[app_id] = current
            return current

    def last(self, app_id: str) -> Model | None:
        """The model that answered last, for when the store is away."""
        return self._models.get(app_id)

    def _open(self, app_id: str, state: OnlineState) -> tuple[Model, list[dict[str, Any]]]:
        """The model of a version and the catalogue rows that it does not hold."""
        version, problem = state.active.bundle, None
        if version is not None:
            try:
                bundle = Bundle.open(bundle_folder(self._settings, app_id, version.version))
            except BrokenBundle as broken:
                log.error("app %s answers without its model: %s", app_id, broken.message)
                problem = broken.message
            else:
                rows = self._store.changes(app_id, "items", version.changes_seq, version.as_of_us)
                return Model(version, bundle, Catalogue.from_bundle(bundle), state.revision), rows
        rows = self._store.changes(app_id, "items")
        return Model(version, None, Catalogue.empty(), state.revision, problem), rows

    async def _apply(self, app_id: str, model: Model, rows: list[dict[str, Any]], change_seq: int) -> None:
        for start in range(0, len(rows), APPLY_AT_ONCE):
            model.catalogue.apply(rows[start : start + APPLY_AT_ONCE])
            await asyncio.sleep(0)
        model.offers = await asyncio.to_thread(self._store.changes, app_id, "offers")
        model.change_seq = change_seq
