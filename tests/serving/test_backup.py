"""Backup while a home is used, and restore: nothing acknowledged is lost, nothing is there twice, nothing broken in."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from deltalake import DeltaTable
from planted_app import Client, night, open_shop, publish_night, purchase
from postgres_server import Server
from posting import Posting
from published_shop import open_published_shop
from serving_process import Service
from starlette.applications import Starlette

from portraits.engine import connect
from portraits.errors import BrokenBackup, InvalidValue, NotCopied, NotEmpty
from portraits.lake import Lake
from portraits.portrait_set import PortraitSet
from recommender.bundles.bundle import Bundle
from serving.app import v1
from serving.backup import MANIFEST, backup, restore
from serving.context import Context
from serving.drain import drain
from serving.publish import bundle_folder, portraits_folder
from serving.settings import ProcessSettings
from serving.stores import Store

PASSING = {"runs", "locks", "made", "serve.log", "store.sqlite.lock", "store.sqlite.next"}
"""What a home holds beside what a backup keeps: work of nights that are over, and locks."""


def silent(_: str) -> None:
    """Nobody listens."""


def at(line: str, do: Callable[[], object]) -> Callable[[str], None]:
    """Does something when the backup says what it copies next."""
    return lambda said: None if said != line else (do(), None)[1]


def event_ids(process: ProcessSettings) -> Counter[str]:
    """What the lake of the restored home holds after its next drain."""
    store, lake = Store.open(process.store_url), Lake(process.lake)
    drain(store, lake, "shop", silent)
    store.close()
    return Counter(lake.snapshot("shop").events(connect()).event_id.to_pyarrow().to_pylist())


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[ProcessSettings, Path]:
    """A home after a night, and a backup of it."""
    home = tmp_path_factory.mktemp("kept")
    process, store, lake = open_published_shop(home / "home")
    for item in night().items:
        store.upsert("shop", "items", [item])
    drain(store, lake, "shop", silent)
    DeltaTable(str(lake.folder("shop") / "items")).create_checkpoint()
    publish_night(process, store, night())
    store.close()
    backup(process, home / "backup", silent)
    return process, home / "backup"


@pytest.fixture
def source(kept: tuple[ProcessSettings, Path], tmp_path: Path) -> Path:
    """A copy of the backup, to be broken."""
    return Path(shutil.copytree(kept[1], tmp_path / "backup"))


@pytest.fixture
def empty(tmp_path: Path) -> ProcessSettings:
    """A home that is not there yet."""
    return ProcessSettings(home=tmp_path / "new")


def test_what_was_kept_is_there_again_and_serves(
    kept: tuple[ProcessSettings, Path], source: Path, empty: ProcessSettings
) -> None:
    process, _ = kept
    restore(empty, source, silent)
    was, store = Store.open(process.store_url), Store.open(empty.store_url)
    active = store.active("shop")
    assert active == was.active("shop")
    assert active.portraits is not None
    PortraitSet(portraits_folder(empty, "shop", active.portraits.version)).verify()
    con, then, now = connect(), Lake(process.lake).snapshot("shop"), Lake(empty.lake).snapshot("shop")
    assert now.versions == then.versions
    for read in (lambda lake: lake.events(con), lambda lake: lake.catalogue(con, "items")):
        columns = read(then).columns
        assert read(now).order_by(columns).to_pyarrow() == read(then).order_by(columns).to_pyarrow()
    key = store.add_key("shop", "recommend")
    was.close()
    store.close()
    context = Context.open(empty)
    with Client(Starlette(routes=[v1(context)])) as client:
        answer = client.post("/v1/recommend", json={"user_id": "ann"}, headers={"authorization": f"Bearer {key}"})
    context.close()
    assert active.bundle is not None
    assert answer.json()["version"] == active.bundle.version
    assert [item["item_id"] for item in answer.json()["items"]][:3] == ["green", "black", "white"]


def test_all_of_a_home_is_kept_but_what_passes(kept: tuple[ProcessSettings, Path]) -> None:
    process, folder = kept
    there = {path.name for path in process.home.iterdir()}
    assert there <= {path.name for path in folder.iterdir()} | PASSING


@pytest.mark.law
def test_with_a_service_that_is_posted_to_and_a_night_in_between(tmp_path: Path) -> None:
    """The store is copied first, so what the night moves meanwhile is in both copies, and later there once."""
    process, opened = open_shop(tmp_path / "home")
    key = opened.add_key("shop", "events")
    opened.close()
    lake = Lake(process.lake)
    with Service(process) as service, Posting(service.url, key, "backup") as posting:
        posting.wait_for(500)
        before = set(posting.account.acknowledged)
        store = Store.open(process.store_url)
        drain(store, lake, "shop", silent)

        def the_night() -> None:
            posting.wait_for(200)
            drain(store, lake, "shop", silent)
            lake.compact("shop")

        backup(process, tmp_path / "backup", at("lake of shop", the_night))
        store.close()
    new = ProcessSettings(home=tmp_path / "new")
    restore(new, tmp_path / "backup", silent)
    there = event_ids(new)
    assert before <= there.keys() <= posting.account.sent
    assert set(there.values()) == {1}


def test_a_version_that_goes_meanwhile(tmp_path: Path) -> None:
    """One that is not served any more is left out; one that is makes the copy begin again, and fail in the end."""
    process, store = open_shop(tmp_path / "home")
    publish_night(process, store, night(), version="second")
    old = next(one.version for one in store.activations("shop", "bundle") if one.version != "second")
    store.close()

    def gone(version: str) -> Callable[[str], None]:
        folder = bundle_folder(process, "shop", version)
        return at(f"version {version}", lambda: shutil.rmtree(folder, ignore_errors=True))

    backup(process, tmp_path / "without", gone(old))
    restore(ProcessSettings(home=tmp_path / "new"), tmp_path / "without", silent)
    assert not bundle_folder(ProcessSettings(home=tmp_path / "new"), "shop", old).exists()
    with pytest.raises(NotCopied):
        backup(process, tmp_path / "never", gone("second"))
    assert not (tmp_path / "never" / MANIFEST).exists()


def test_events_after_a_restore_go_on(kept: tuple[ProcessSettings, Path], source: Path, empty: ProcessSettings) -> None:
    restore(empty, source, silent)
    before = event_ids(empty)
    context = Context.open(empty)
    headers = {"authorization": f"Bearer {context.store.add_key('shop', 'events')}"}
    with Client(Starlette(routes=[v1(context)])) as client:
        client.post("/v1/events", json={"events": [purchase("after", "ann", "mug")]}, headers=headers)
    context.close()
    assert event_ids(empty) == before + Counter(["after"])


def breaks() -> Iterator[tuple[str, Callable[[Path], object]]]:
    def manifest(change: Callable[[dict[str, object]], object]) -> Callable[[Path], object]:
        def rewrite(folder: Path) -> None:
            told = json.loads((folder / MANIFEST).read_text("utf-8"))
            change(told)
            (folder / MANIFEST).write_text(json.dumps(told), "utf-8")

        return rewrite

    def flip(path: Path) -> None:
        text = bytearray(path.read_bytes())
        text[len(text) // 2] ^= 1
        path.write_bytes(text)

    def some(folder: Path) -> Path:
        return next(folder.rglob("*.npy"))

    yield "no manifest", lambda folder: (folder / MANIFEST).unlink()
    yield "half a manifest", lambda folder: (folder / MANIFEST).write_text('{"format": 1')
    yield "another format", manifest(lambda told: told.update(format=99))
    yield "a file outside", manifest(lambda told: told["files"].update({"../outside": (0, "")}))  # type: ignore[attr-defined]
    yield "an absolute file", manifest(lambda told: told["files"].update({"/etc/passwd": (0, "")}))  # type: ignore[attr-defined]
    yield "a bit of the store", lambda folder: flip(folder / "store.sqlite")
    yield "a bit of a model", lambda folder: flip(some(folder))
    yield "a file cut short", lambda folder: some(folder).write_bytes(some(folder).read_bytes()[:-1])
    yield "a file missing", lambda folder: some(folder).unlink()


@pytest.mark.fault
@pytest.mark.parametrize("harm", [pytest.param(harm, id=name) for name, harm in breaks()])
def test_a_broken_backup_is_refused_and_nothing_is_there(
    source: Path, empty: ProcessSettings, harm: Callable[[Path], object]
) -> None:
    harm(source)
    with pytest.raises(BrokenBackup):
        restore(empty, source, silent)
    assert not empty.home.exists() or not list(empty.home.iterdir())


def test_nothing_is_written_over(kept: tuple[ProcessSettings, Path], source: Path, empty: ProcessSettings) -> None:
    process, folder = kept
    with pytest.raises(NotEmpty):
        backup(process, folder, silent)
    with pytest.raises(NotEmpty):
        restore(process, source, silent)
    elsewhere = replace(empty, store_url=process.store_url)
    with pytest.raises(NotEmpty):
        restore(elsewhere, source, silent)


def test_what_a_killed_restore_left_is_no_hindrance(source: Path, empty: ProcessSettings) -> None:
    (empty.home / ".restoring" / "lake").mkdir(parents=True)
    restore(empty, source, silent)
    assert not (empty.home / ".restoring").exists()


def test_a_backup_is_of_one_kind_of_store(source: Path, empty: ProcessSettings) -> None:
    with pytest.raises(InvalidValue, match="SQLite"):
        restore(replace(empty, store_url="postgresql://nowhere/none"), source, silent)


@pytest.mark.postgres
def test_a_postgresql_is_left_to_its_own_tools(postgres: Server, tmp_path: Path) -> None:
    with postgres.database() as url:
        process, store = open_shop(tmp_path / "home", url)
        active = store.active("shop").bundle
        store.close()
        made = backup(process, tmp_path / "backup", silent)
        new = ProcessSettings(home=tmp_path / "new", store_url=url)
        restore(new, tmp_path / "backup", silent)
    assert (made.store, made.apps) == (False, 2)
    assert active is not None
    assert {path.name for path in (tmp_path / "backup").iterdir()} == {"bentoml", MANIFEST}
    Bundle.open(bundle_folder(new, "shop", active.version))
    with pytest.raises(InvalidValue, match="PostgreSQL"):
        restore(ProcessSettings(home=tmp_path / "other"), tmp_path / "backup", silent)
