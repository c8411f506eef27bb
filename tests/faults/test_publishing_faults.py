"""Publishing and rolling back under load, and a publisher killed at any of its steps."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from planted_app import night, open_shop, publish_night
from planted_shelf import Candidate
from serving_process import Service

from recommender.bundles.bundle import Bundle, write_bundle
from serving.publish import bundle_folder, publish, rollback
from serving.settings import ProcessSettings
from serving.stores import Store

pytestmark = pytest.mark.fault

LOADERS, ASKS = 4, 8
WIDE = 100_000_000
SWAPS = 10
PATIENCE = 60.0
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["serving.publish", "bentoml.models"])


@dataclass
class Load:
    """Requests for the same visitor for as long as the block lasts, on new connections: now this, now that worker."""

    url: str
    key: str
    answers: list[tuple[int, str, str]] = field(default_factory=list)

    def ask(self) -> tuple[str, str]:
        """(version, first item) of an answer."""
        headers = {"authorization": f"Bearer {self.key}", "connection": "close"}
        answer = httpx.post(f"{self.url}/v1/recommend", json={"user_id": "eve", "n": 1}, headers=headers, timeout=30)
        body = answer.json()
        self.answers.append((answer.status_code, body["version"], body["items"][0]["item_id"]))
        return self.answers[-1][1:]

    @contextmanager
    def going(self) -> Iterator[None]:
        over = threading.Event()

        def go() -> None:
            while not over.is_set():
                self.ask()

        with ThreadPoolExecutor(LOADERS) as pool:
            loaders = [pool.submit(go) for _ in range(LOADERS)]
            try:
                yield
            finally:
                over.set()
            for loader in loaders:
                loader.result()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings, store = open_shop(tmp_path_factory.mktemp("home"))
    store.close()
    with Service(replace(settings, workers=2)) as started:
        yield started


@pytest.fixture
def store(service: Service) -> Iterator[Store]:
    opened = Store.open(service.settings.store_url)
    yield opened
    opened.close()


def test_published_and_rolled_back_under_load(service: Service, store: Store) -> None:
    """Each answer is of one version, whole; from the moment of the swap every worker gives the new one."""
    load = Load(service.url, store.add_key("shop", "recommend"))
    shown: dict[str, str] = {}
    for item_id in ("white", "mug"):
        made = night(table={"eve": (Candidate(item_id, 0.9),)})
        shown[publish_night(service.settings, store, made)] = item_id
    with load.going():
        for item_id in ("black", "green"):
            made = night(table={"eve": (Candidate(item_id, 0.9),)})
            version = publish_night(service.settings, store, made)
            shown[version] = item_id
            assert {load.ask() for _ in range(ASKS)} == {(version, item_id)}
        for version in reversed(list(shown)[:-1]):
            assert rollback(service.settings, store, "shop") == version
            assert {load.ask() for _ in range(ASKS)} == {(version, shown[version])}
    assert {status for status, _, _ in load.answers} == {200}
    assert all(shown[version] == item_id for _, version, item_id in load.answers if version in shown)


def test_old_versions_are_given_back_and_a_version_is_in_memory_once(service: Service, store: Store) -> None:
    load = Load(service.url, store.add_key("shop", "recommend"))
    wide = night(table={"eve": (Candidate("cup", 0.9),)})
    arrays = wide.arrays() | _padding(wide.arrays())
    folder = service.settings.home / "wide"
    write_bundle(folder, arrays, wide.manifest)
    sizes = []
    for _ in range(SWAPS):
        version = publish(service.settings, store, "shop", as_of=datetime.now(UTC), bundle=folder)
        assert {load.ask()[0] for _ in range(ASKS)} == {version}
        sizes.append({worker.pid: worker.memory_full_info().rss for worker in service.workers()})
    seen_early = sizes[1].keys() & sizes[-1].keys()  # a busy machine may start one of the two later
    assert seen_early
    assert all(sizes[-1][pid] - sizes[1][pid] < WIDE / 2 for pid in seen_early)
    last, begun = {bundle_folder(service.settings, "shop", version)}, time.monotonic()
    while any(_mapped(worker) != last for worker in service.workers()):  # one that was never asked has not looked yet
        load.ask()
        assert time.monotonic() - begun < PATIENCE, [_mapped(worker) for worker in service.workers()]


def _padding(arrays: dict[str, Any]) -> dict[str, Any]:
    """Titles of so many bytes."""
    starts = arrays["titles_offsets"].copy()
    starts[1:] += WIDE
    return {
        "titles_offsets": starts,
        "titles_bytes": np.concatenate([np.full(WIDE, 65, np.uint8), arrays["titles_bytes"]]),
    }


def _mapped(worker: psutil.Process) -> set[Path]:
    """Folders of the bundles that the process has mapped."""
    paths = (Path(mapped.path.removesuffix(" (deleted)")) for mapped in worker.memory_maps())
    return {path.parent for path in paths if path.suffix == ".npy"}


def test_a_publisher_killed_before_any_of_its_steps(tmp_path: Path) -> None:
    """What is served is the old version or, once it was made active, the new one, and always whole; the same
    publication again ends well."""
    settings, store = open_shop(tmp_path / "home")
    before = store.active("shop").bundle
    assert before is not None
    made = night()
    write_bundle(tmp_path / "made", made.arrays(), made.manifest)
    steps = _steps(settings, tmp_path / "made", "counted")
    seen: Counter[str] = Counter()
    for number, step in enumerate(np.unique(np.geomspace(1, steps, 24).astype(int)).tolist()):
        version = f"killed-{number}"
        assert _publish(settings, tmp_path / "made", version, kill_at=step) == -signal.SIGKILL
        active = store.active("shop").bundle
        assert active is not None
        seen["new" if active.version == version else "old"] += 1
        Bundle.open(bundle_folder(settings, "shop", active.version))
        if number % 6 == 0:
            assert _publish(settings, tmp_path / "made", version) == 0
            active = store.active("shop").bundle
            assert active is not None
            assert active.version == version
    assert seen["old"] > 5
    shutil.rmtree(tmp_path / "made")
    store.close()


def _steps(settings: ProcessSettings, made: Path, version: str) -> int:
    """How many file operations a publication takes."""
    ours, theirs = _CONTEXT.Pipe()
    child = _CONTEXT.Process(target=_child, args=(settings, made, version, 0, theirs))
    child.start()
    steps = ours.recv()
    child.join()
    return int(steps)


def _publish(settings: ProcessSettings, made: Path, version: str, kill_at: int = 0) -> int | None:
    ours, theirs = _CONTEXT.Pipe()
    child = _CONTEXT.Process(target=_child, args=(settings, made, version, kill_at, theirs))
    child.start()
    child.join()
    ours.close()
    return child.exitcode


def _child(settings: ProcessSettings, made: Path, version: str, kill_at: int, told: Any) -> None:
    """Publishes; dies right before its `kill_at`-th operation on files or on the database."""
    count = 0

    def watch(event: str, _arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event.split(".", maxsplit=1)[0] in ("open", "os", "shutil", "sqlite3", "fcntl"):
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    store = Store.open(settings.store_url)
    sys.addaudithook(watch)
    publish(settings, store, "shop", as_of=datetime.now(UTC), bundle=made, version=version)
    told.send(count)
