"""What a worker holds of each app: its published portraits, or the fields that there can be, and its segments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from portraits.errors import BrokenBundle
from portraits.field import Field
from portraits.portrait_set import PortraitSet
from serving.publish import portraits_folder
from serving.reads import Reads
from serving.segments.analyst import Analyst
from serving.segments.definitions import Definitions
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.nights import Version
from serving.stores.store import OnlineState

T = TypeVar("T")


class Published:
    """Sets by app. Files are read on a thread of their own: other requests go on, and no two readers share a file."""

    def __init__(self, process: ProcessSettings, analyst: Analyst) -> None:
        self._process = process
        self._analyst = analyst
        self._thread = ThreadPoolExecutor(1, "portraits")
        self._open: dict[str, tuple[str, PortraitSet | BrokenBundle | None]] = {}
        self._segments: dict[str, tuple[int, Definitions]] = {}
        self._registry: Mapping[str, Field] | None = None

    async def people(self, app_id: str, version: Version | None) -> PortraitSet | None:
        """The portraits of a version, whose checksums are compared once; None before the first night.

        Raises BrokenBundle.
        """
        if version is None:
            return None
        name, people = self._open.get(app_id, ("", None))
        if name != version.version:
            people = await self.read(partial(_whole, portraits_folder(self._process, app_id, version.version)))
            self._open[app_id] = (version.version, people)
        if isinstance(people, BrokenBundle):
            raise people.with_traceback(None)
        return people

    async def fields(self, app_id: str, version: Version | None) -> Mapping[str, Field]:
        """Fields of the published portraits; before the first night and when their files are broken, all that
        portraits can have.

        The latter are asked of the counting process, which knows the registry: a worker never imports an engine.
        """
        with suppress(BrokenBundle):
            people = await self.people(app_id, version)
            if people is not None:
                return people.fields
        if self._registry is None:
            told = (await self._analyst.ask({"ask": "fields", "app_id": app_id}))["fields"]
            self._registry = {field["name"]: Field.from_dict(field) for field in told}
        return self._registry

    async def segments(self, store: Store, reads: Reads, app_id: str, state: OnlineState) -> Definitions:
        """The app's segments as of `state`: read again when its revision has moved, which every definition moves.

        Raises StoreUnavailable.
        """
        fields = await self.fields(app_id, state.active.portraits)
        revision, known = self._segments.get(app_id, (-1, None))
        if known is None or revision != state.revision or known.fields is not fields:
            known = await reads.slow(Definitions.of, store, app_id, fields)
            self._segments[app_id] = (state.revision, known)
        return known

    async def read(self, question: Callable[[], T]) -> T:
        """What `question` reads from a set's files."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown()


def _whole(folder: Path) -> PortraitSet | BrokenBundle:
    """The set, or why it cannot be used: a broken one is not looked through again for every request."""
    try:
        people = PortraitSet(folder)
        people.verify()
    except BrokenBundle as broken:
        return broken
    return people
