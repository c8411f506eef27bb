"""Publishing: whole or not at all, served at once, and back again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from planted_app import ITEMS, night
from planted_shelf import Candidate

from portraits.errors import BrokenBundle, NothingThere, UnknownApp
from portraits.settings import AppSettings
from recommender.bundles.bundle import Bundle, write_bundle
from serving import publish as publish_module
from serving.publish import KEEP_HELD, KEEP_VERSIONS, bundle_folder, portraits_folder, publish, rollback, versions
from serving.settings import ProcessSettings
from serving.stores import Store

NIGHT = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def process(tmp_path: Path) -> ProcessSettings:
    return ProcessSettings(home=tmp_path / "home")


@pytest.fixture
def store(process: ProcessSettings) -> Iterator[Store]:
    opened = Store.open(process.store_url)
    opened.add_app(AppSettings("shop"))
    opened.add_app(AppSettings("odd-"))
    yield opened
    opened.close()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    write_bundle(folder, night().arrays(), night().manifest | {"as_of": NIGHT.isoformat()})
    return folder


@pytest.fixture
def portraits(tmp_path: Path) -> Path:
    folder = tmp_path / "portraits"
    folder.mkdir()
    (folder / "portraits.parquet").write_bytes(b"rows")
    return folder


@pytest.mark.parametrize("app_id", ["shop", "odd-"])
def test_what_is_published_is_active_and_whole(
    process: ProcessSettings, store: Store, bundle: Path, portraits: Path, app_id: str
) -> None:
    version = publish(process, store, app_id, as_of=NIGHT, bundle=bundle, portraits=portraits)
    active = store.active(app_id)
    assert active.bundle is not None
    assert active.portraits is not None
    assert (active.bundle.version, active.bundle.as_of, active.portraits.version) == (version, NIGHT, version)
    opened = Bundle.open(bundle_folder(process, app_id, version))
    assert sorted(opened.items.array) == [row["item_id"].encode() for row in ITEMS]
    assert (portraits_folder(process, app_id, version) / "portraits.parquet").read_bytes() == b"rows"
    assert bundle.exists(), "the night's own folder stays"


def test_bentoml_lists_what_was_published(process: ProcessSettings, store: Store, bundle: Path) -> None:
    version = publish(process, store, "shop", as_of=NIGHT, bundle=bundle)
    command = [sys.executable, "-m", "bentoml", "models", "list", "-o", "json"]
    env = {**os.environ, **process.environment()}
    listed = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert f"huaxiang-shop.bundle:{version}" in listed


def test_portraits_alone_leave_the_bundle_as_it_is(
    process: ProcessSettings, store: Store, bundle: Path, portraits: Path
) -> None:
    first = publish(process, store, "shop", as_of=NIGHT, bundle=bundle, portraits=portraits)
    second = publish(process, store, "shop", as_of=NIGHT + timedelta(days=1), portraits=portraits)
    active = store.active("shop")
    assert active.bundle is not None
    assert active.portraits is not None
    assert (active.bundle.version, active.portraits.version) == (first, second)


def test_a_publication_may_be_repeated(process: ProcessSettings, store: Store, bundle: Path, portraits: Path) -> None:
    for _ in range(2):
        publish(process, store, "shop", as_of=NIGHT, bundle=bundle, portraits=portraits, version="night-1")
    assert [one.version for one in versions(process, store, "shop")] == ["night-1"]


@pytest.mark.fault
def test_a_broken_bundle_is_not_published(process: ProcessSettings, store: Store, bundle: Path) -> None:
    array = bundle / "items.npy"
    array.write_bytes(array.read_bytes()[:-1])
    with pytest.raises(BrokenBundle, match="items"):
        publish(process, store, "shop", as_of=NIGHT, bundle=bundle)
    assert store.active("shop").bundle is None


def test_an_unknown_app_publishes_nothing(process: ProcessSettings, store: Store, bundle: Path) -> None:
    with pytest.raises(UnknownApp):
        publish(process, store, "nobody", as_of=NIGHT, bundle=bundle)
    assert not bundle_folder(process, "nobody", "any").parent.exists()


@pytest.mark.fault
def test_a_publication_that_was_killed_is_done_again(process: ProcessSettings, store: Store, bundle: Path) -> None:
    half = bundle_folder(process, "shop", "night-1")
    half.mkdir(parents=True)
    (half / "items.npy").write_bytes(b"half")
    left = bundle_folder(process, "shop", "night-0")
    left.mkdir()
    publish(process, store, "shop", as_of=NIGHT, bundle=bundle, version="night-1")
    assert Bundle.open(half).manifest["as_of"] == NIGHT.isoformat()
    assert not left.exists(), "what an older one left is cleared away"


def test_a_reader_finds_a_whole_active_version_at_any_moment(
    process: ProcessSettings, store: Store, tmp_path: Path
) -> None:
    over = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        reader = Store.open(process.store_url)
        while not over.is_set():
            active = reader.active("shop").bundle
            try:
                if active is not None:
                    Bundle.open(bundle_folder(process, "shop", active.version))
            except BrokenBundle as broken:
                failures.append(broken)
        reader.close()

    reading = threading.Thread(target=read)
    reading.start()
    for number in range(KEEP_VERSIONS - 1):
        folder = tmp_path / f"made-{number}"
        write_bundle(folder, night(table={"ann": (Candidate("cup", 0.5),)}).arrays(), night().manifest)
        publish(process, store, "shop", as_of=NIGHT + timedelta(days=number), bundle=folder)
    over.set()
    reading.join()
    assert not failures


def test_old_versions_are_freed_and_an_earlier_one_comes_back(
    process: ProcessSettings, store: Store, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish_module, "KEEP_VERSIONS", 3)
    made = [publish(process, store, "shop", as_of=NIGHT, bundle=bundle, version=f"v{number}") for number in range(5)]
    assert [one.version for one in versions(process, store, "shop")] == ["v4", "v3", "v2"]
    assert not bundle_folder(process, "shop", made[0]).exists()
    assert rollback(process, store, "shop") == "v3"
    known = versions(process, store, "shop")
    assert [one.version for one in known if one.active] == ["v3"]
    assert rollback(process, store, "shop", "v2") == "v2"
    with pytest.raises(NothingThere, match="v0"):
        rollback(process, store, "shop", "v0")


def test_there_is_nothing_before_the_first_version(process: ProcessSettings, store: Store, bundle: Path) -> None:
    publish(process, store, "shop", as_of=NIGHT, bundle=bundle)
    with pytest.raises(NothingThere, match="no version before the active"):
        rollback(process, store, "shop")


def test_a_bundle_that_is_held_back_is_listed_and_can_be_promoted(
    process: ProcessSettings, store: Store, bundle: Path, portraits: Path
) -> None:
    def night(version: str, held: bool = False) -> str:
        moment = NIGHT + timedelta(days=int(version[1:]))
        return publish(
            process, store, "shop", as_of=moment, bundle=bundle, portraits=portraits, version=version, held=held
        )

    for version in ("v1", "v2"):
        night(version)
    for _ in range(2):
        night("v3", held=True)
    active = store.active("shop")
    assert active.bundle is not None
    assert active.portraits is not None
    assert (active.bundle.version, active.portraits.version) == ("v2", "v3")
    listed = [(one.version, one.active, one.held) for one in versions(process, store, "shop")]
    assert listed == [("v2", True, False), ("v1", False, False), ("v3", False, True)]
    assert rollback(process, store, "shop") == "v1", "back is to what was served"
    assert rollback(process, store, "shop", "v3") == "v3"
    promoted = store.active("shop").bundle
    assert promoted is not None
    assert promoted == store.active("shop").portraits
    assert promoted.as_of == NIGHT + timedelta(days=3)


def test_back_is_always_to_what_was_published_before_and_never_to_what_was_held_back(
    process: ProcessSettings, store: Store, bundle: Path, portraits: Path
) -> None:
    for day, (version, held) in enumerate([("v1", False), ("v2", False), ("v3", True), ("v4", False)]):
        moment = NIGHT + timedelta(days=day)
        publish(process, store, "shop", as_of=moment, bundle=bundle, portraits=portraits, version=version, held=held)

    def listed() -> list[tuple[str, bool, bool]]:
        return [(one.version, one.active, one.held) for one in versions(process, store, "shop")]

    rollback(process, store, "shop", "v3")
    assert listed() == [("v4", False, False), ("v2", False, False), ("v1", False, False), ("v3", True, True)]
    assert rollback(process, store, "shop") == "v2"
    assert listed() == [("v4", False, False), ("v2", True, False), ("v1", False, False), ("v3", False, True)]
    assert rollback(process, store, "shop") == "v1"
    with pytest.raises(NothingThere, match="no version before the active 'v1'"):
        rollback(process, store, "shop")
    rollback(process, store, "shop", "v4")
    assert rollback(process, store, "shop") == "v2", "the one that was held back is passed over"


def test_a_night_of_a_past_moment_that_replaced_a_newer_version_is_undone(
    process: ProcessSettings, store: Store, bundle: Path
) -> None:
    for day in (0, 5, 2):
        publish(process, store, "shop", as_of=NIGHT + timedelta(days=day), bundle=bundle, version=f"v{day}")
    assert rollback(process, store, "shop") == "v5"


def test_few_bundles_that_were_held_back_are_kept(
    process: ProcessSettings, store: Store, bundle: Path, portraits: Path
) -> None:
    publish(process, store, "shop", as_of=NIGHT, bundle=bundle, portraits=portraits, version="v0")
    for number in range(1, KEEP_HELD + 3):
        moment = NIGHT + timedelta(days=number)
        version = f"v{number}"
        publish(process, store, "shop", as_of=moment, bundle=bundle, portraits=portraits, version=version, held=True)
    kept = [one.version for one in versions(process, store, "shop") if one.held]
    assert kept == [f"v{number}" for number in range(KEEP_HELD + 2, 2, -1)]
    folders = {folder.name for folder in bundle_folder(process, "shop", "any").parent.iterdir() if folder.is_dir()}
    assert folders == {"v0", *kept}


@pytest.mark.fault
def test_an_earlier_version_that_is_broken_does_not_come_back(
    process: ProcessSettings, store: Store, bundle: Path
) -> None:
    publish(process, store, "shop", as_of=NIGHT, bundle=bundle, version="v1")
    publish(process, store, "shop", as_of=NIGHT, bundle=bundle, version="v2")
    (bundle_folder(process, "shop", "v1") / "items.npy").unlink()
    with pytest.raises(BrokenBundle):
        rollback(process, store, "shop")
    active = store.active("shop").bundle
    assert active is not None
    assert active.version == "v2"


PUBLISH = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from serving import publish as module
from serving.settings import ProcessSettings
from serving.stores import Store
process = ProcessSettings(home=Path(sys.argv[1]))
store = Store.open(process.store_url)
sync = module._sync
def pause(folder):
    print("copied", flush=True)
    sys.stdin.read()
module._sync = pause
module.publish(process, store, "shop", as_of=datetime(2026, 3, 2, tzinfo=UTC), bundle=Path(sys.argv[2]), version="v2")
"""


@pytest.mark.fault
def test_killed_before_activation_the_former_version_serves_on(
    process: ProcessSettings, store: Store, bundle: Path
) -> None:
    publish(process, store, "shop", as_of=NIGHT, bundle=bundle, version="v1")
    command = [sys.executable, "-c", PUBLISH, str(process.home), str(bundle)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "copied\n"
        child.send_signal(signal.SIGKILL)
    active = store.active("shop").bundle
    assert active is not None
    assert active.version == "v1"
    assert publish(process, store, "shop", as_of=NIGHT, bundle=bundle, version="v2") == "v2"
    assert [one.version for one in versions(process, store, "shop")] == ["v2", "v1"]
