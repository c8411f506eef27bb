"""The models of this worker: for each app, the active bundle with the day's catalogue changes over it.

A request brings the state it read. When that names another version than the one held here, the new one is opened (in
a thread: checksums take a moment) and every request of the app waits for it, so an answer never mixes the new
version's events with the old version's table. When it shows later catalogue changes, they are applied first. Other
apps go on meanwhile. The old bundle's memory goes with its last request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from portraits.errors import BrokenBundle
from recommender.answers.catalogue import Catalogue
from recommender.answers.promotions import NO_PROMOTIONS, Promotions
from recommender.bundles.bundle import Bundle
from serving.promotions import promotions
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

    `revision`: the app's up to which its rules are known; `change_seq`: the last catalogue change that it knows;
    `problem`: why there is no bundle although a version is active.
    """

    version: Version | None
    bundle: Bundle | None
    catalogue: Catalogue
    revision: int = 0
    problem: str | None = None
    change_seq: int = 0
    offers: list[dict[str, Any]] = field(default_factory=list)
    promotions: Promotions = NO_PROMOTIONS

    @property
    def name(self) -> str | None:
        """The version that answers; None before the first night and when its files are broken."""
        return self.version.version if self.version is not None and self.bundle is not None else None

    def is_version_of(self, state: OnlineState) -> bool:
        """This is the version that `state` calls for, or a later one: a slow request must not bring an old one back."""
        return state.revision <= self.revision or state.active.bundle == self.version

    def known_as(self, state: OnlineState) -> str:
        """The id under which the bundle knows the visitor: one who was linked since the night may have an old one."""
        return state.user_id if len(state.ids) < 2 else self.known_among(state.ids)

    def known_among(self, ids: Sequence[str]) -> str:
        """The same from all ids of a person, the person's own first."""
        if self.bundle is None:
            return ids[0]
        users = self.bundle.users
        return next((one for one in ids if users.index(one) >= 0), ids[0])

    def answers(self, state: OnlineState) -> bool:
        """Nothing that `state` knows of is missing here."""
        current = self.revision >= state.revision and self.change_seq >= state.change_seq
        return current and self.is_version_of(state)


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
            await self._apply(app_id, current, rows, state)
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
                return Model(version, bundle, Catalogue.from_bundle(bundle)), rows
        rows = self._store.changes(app_id, "items")
        return Model(version, None, Catalogue.empty(), problem=problem), rows

    async def _apply(self, app_id: str, model: Model, rows: list[dict[str, Any]], state: OnlineState) -> None:
        for start in range(0, len(rows), APPLY_AT_ONCE):
            model.catalogue.apply(rows[start : start + APPLY_AT_ONCE])
            await asyncio.sleep(0)
        model.offers = await asyncio.to_thread(self._store.changes, app_id, "offers")
        model.promotions = promotions(await asyncio.to_thread(self._store.rules, app_id))
        model.change_seq = max(model.change_seq, state.change_seq)
        model.revision = max(model.revision, state.revision)
