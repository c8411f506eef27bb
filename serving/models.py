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
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from portraits.errors import BrokenBundle
from recommender.answers.catalogue import Catalogue
from recommender.answers.promotions import NO_PROMOTIONS, Promotions
from recommender.bundles.bundle import Bundle
from recommender.offers.plan_files import FOLDER, OfferPlan
from serving.offering import NO_OFFERING, Offering
from serving.promotions import promotions
from serving.publish import bundle_folder, portraits_folder, versions_on_disk
from serving.reads import Reads
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.nights import Version
from serving.stores.store import OnlineState

APPLY_AT_ONCE = 500
"""Catalogue rows applied before other requests get a turn: a few milliseconds."""
MOST_MODELS = 500
"""Apps whose models a worker holds at a time."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Model:
    """What answers the requests of one app.

    `revision`: the app's up to which its rules are known; `change_seq`: the last catalogue change that it knows;
    `problem`: why there is no bundle although a version is active; `events_seq`: without a bundle and without a
    catalogue the items of the app's events are shown, and these are known up to here.
    `offering`: its offers.
    """

    version: Version | None
    bundle: Bundle | None
    catalogue: Catalogue
    revision: int = 0
    problem: str | None = None
    change_seq: int = 0
    events_seq: int | None = None
    promotions: Promotions = NO_PROMOTIONS
    offering: Offering = NO_OFFERING

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

    def __init__(self, settings: ProcessSettings, store: Store, reads: Reads) -> None:
        self._settings = settings
        self._store = store
        self._reads = reads
        self._models: dict[str, Model] = {}
        self._spare: dict[str, Model | None] = {}
        self._opening = asyncio.Lock()
        self._locks: dict[str, asyncio.Lock] = {}

    async def model(self, app_id: str, state: OnlineState) -> Model:
        """The model that `state` calls for. Raises StoreUnavailable when changes cannot be read."""
        model = self._models.get(app_id)
        if model is not None and model.events_seq is None and model.answers(state):
            return model
        async with self._locks.setdefault(app_id, asyncio.Lock()):
            model = self._models.get(app_id)
            if model is None or not model.answers(state):
                model, rows = await self._renewed(app_id, model, state)
                await self._apply(app_id, model, rows, state)
                self._keep(app_id, model)
            if model.events_seq is not None:
                await self._follow(app_id, model, model.events_seq)
            return model

    def _keep(self, app_id: str, model: Model) -> None:
        """Drops what was opened or changed longest ago, when there are too many: it is opened again when asked for."""
        self._models.pop(app_id, None)
        if len(self._models) >= MOST_MODELS:
            oldest = next(iter(self._models))
            del self._models[oldest]
            if not self._locks[oldest].locked():
                del self._locks[oldest]
        self._models[app_id] = model
        self._spare.pop(app_id, None)

    @property
    def broken(self) -> int:
        """How many apps have an active version, or a plan of offers, that could not be opened."""
        return sum(
            model.problem is not None or model.offering.problem is not None for model in list(self._models.values())
        )

    @property
    def held(self) -> int:
        """How many apps can be answered without the store."""
        return len(self._models) + sum(model is not None for model in self._spare.values())

    async def last(self, app_id: str) -> Model | None:
        """The model for when the store is away: the one that answered last; where none did yet, the version that was
        last made active, as its files say, without what became known since. None: no version's files are whole."""
        if app_id in self._models:
            return self._models[app_id]
        async with self._opening:
            if app_id not in self._spare:
                if len(self._spare) >= MOST_MODELS:
                    del self._spare[next(iter(self._spare))]
                self._spare[app_id] = await asyncio.to_thread(self._from_disk, app_id)
            return self._spare[app_id]

    def _from_disk(self, app_id: str) -> Model | None:
        for version in versions_on_disk(self._settings, app_id):
            with suppress(BrokenBundle):
                bundle = Bundle.open(bundle_folder(self._settings, app_id, version))
                return Model(Version(version, 0, 0, 0), bundle, Catalogue.from_bundle(bundle))
        return None

    async def _renewed(
        self, app_id: str, model: Model | None, state: OnlineState
    ) -> tuple[Model, list[dict[str, Any]]]:
        """The model that `state` calls for, and the catalogue rows that it must learn yet."""
        if model is not None and model.is_version_of(state):
            rows = await self._reads.slow(self._store.changes, app_id, "items", model.change_seq)
            if model.events_seq is None or not rows:
                return model, rows
        return await self._reads.slow(self._open, app_id, state)  # also where the first row of a catalogue has come

    async def _follow(self, app_id: str, model: Model, known: int) -> None:
        """Adds the items of the events that came since."""
        last, items = await self._reads.slow(self._store.items_of_events, app_id, known)
        model.catalogue.apply([{"item_id": item_id} for item_id in items])
        model.events_seq = last

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
        model = Model(version, None, Catalogue.empty(), problem=problem)
        rows = self._store.changes(app_id, "items")
        if not rows:
            model.events_seq = 0
            rows = [{"item_id": item_id} for item_id in self._last_known(app_id)] if problem else []
        return model, rows

    async def _offering(self, app_id: str, model: Model, state: OnlineState) -> Offering:
        """The offers as `state` knows them; a plan that is open already is not opened again."""
        offers = await self._reads.slow(self._store.changes, app_id, "offers")
        before, version = self._models.get(app_id, model).offering, state.active.portraits
        if state.revision < model.revision or version == before.version:  # a slow request brings no old one back
            return before.renewed(offers, before.version, before.plan, before.problem)
        return before.renewed(offers, version, *await asyncio.to_thread(self._plan, app_id, version))

    def _plan(self, app_id: str, version: Version | None) -> tuple[OfferPlan | None, str | None]:
        """The plan of offers beside the portraits of a version, and why there is none although it should be there."""
        folder = None if version is None else portraits_folder(self._settings, app_id, version.version) / FOLDER
        if folder is None or not folder.is_dir():
            return None, None
        try:
            return OfferPlan.open(folder), None
        except BrokenBundle as broken:
            log.error("app %s decides on its offers without a plan: %s", app_id, broken.message)
            return None, broken.message

    def _last_known(self, app_id: str) -> list[str]:
        """The items of the last version whose files are whole, the most popular last."""
        for version in dict.fromkeys(old.version for old in self._store.activations(app_id, "bundle")):
            with suppress(BrokenBundle):
                bundle = Bundle.open(bundle_folder(self._settings, app_id, version))
                return [bundle.items.id(item) for item in reversed(bundle.shelf_items.tolist())]
        return []

    async def _apply(self, app_id: str, model: Model, rows: list[dict[str, Any]], state: OnlineState) -> None:
        for start in range(0, len(rows), APPLY_AT_ONCE):
            model.catalogue.apply(rows[start : start + APPLY_AT_ONCE])
            await asyncio.sleep(0)
        model.offering = await self._offering(app_id, model, state)
        model.promotions = promotions(await self._reads.slow(self._store.rules, app_id))
        model.change_seq = max(model.change_seq, state.change_seq)
        model.revision = max(model.revision, state.revision)
