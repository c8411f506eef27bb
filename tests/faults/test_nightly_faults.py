"""Nights of real processes that are killed, run twice at once, or find broken files."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from night_process import Home
from planted_shelf import Night as PlantedNight
from planted_shelf import item
from small_shop import END, USERS, open_small_shop

from portraits.engine import connect
from portraits.lake import Lake
from portraits.portrait_set import PortraitSet
from recommender.bundles.bundle import Bundle, write_bundle
from serving.publish import bundle_folder, portraits_folder, publish

pytestmark = pytest.mark.fault

NIGHT = ("--app", "shop")
AS_OF = (*NIGHT, "--as-of", END.isoformat())
KILLS = (
    "drain: 40 events",
    "drain: done",
    "portraits: begins",
    "portraits: done",
    "segments: begins",
    "segments: done",
    "train: learn",
    "train: done",
    "publish: begins",
    "publish: done",
    "tidy: done",
)
"""Lines after which the process is killed: in the middle of each step, and between one and the next."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home before its first night; tests work on copies."""
    folder = tmp_path_factory.mktemp("planted") / "home"
    _, store, _ = open_small_shop(folder)
    store.close()
    return folder


@pytest.fixture
def home(planted: Path, tmp_path: Path) -> Home:
    return Home(Path(shutil.copytree(planted, tmp_path / "home")))


def outcome(home: Home) -> Iterator[object]:
    """All that a night is for: what the lake holds, the published portraits and the published arrays."""
    store = home.store()
    active = store.active("shop")
    assert active.bundle is not None
    assert active.portraits is not None
    yield active.bundle.as_of, active.portraits.as_of
    events = Lake(home.process.lake).snapshot("shop").events(connect())
    yield sorted(events.event_id.to_pyarrow().to_pylist())
    portraits = PortraitSet(portraits_folder(home.process, "shop", active.portraits.version))
    portraits.verify()
    yield portraits.table(connect()).order_by("user_id").to_pyarrow().to_pylist()
    bundle = Bundle.open(bundle_folder(home.process, "shop", active.bundle.version))
    yield {name: bundle.arrays[name].tobytes() for name in sorted(bundle.arrays)}


def test_a_night_killed_at_every_step_ends_as_one_that_was_not(planted: Path, home: Home, tmp_path: Path) -> None:
    whole = Home(Path(shutil.copytree(planted, tmp_path / "whole")))
    assert whole.run(*AS_OF).code == 0
    for line in KILLS:
        home.kill_at(line, *AS_OF)
    night = home.run(*AS_OF, "--json")
    summary = json.loads(night.out)
    assert (night.code, summary["status"], summary["resumed"]) == (0, "published", True)
    for killed, expected in zip(outcome(home), outcome(whole), strict=True):
        assert killed == expected
    assert [run.status for run in home.store().runs("shop")] == ["published"]


def test_a_second_night_at_once_ends_with_4_and_changes_nothing(home: Home) -> None:
    with home.started(*AS_OF) as (first, err):
        assert any("portraits: begins" in line for line in err)
        os.kill(first.pid or 0, signal.SIGSTOP)
        second = home.run(*AS_OF)
    assert (second.code, second.out) == (4, "")
    assert second.err.startswith("huaxiang: another night of app 'shop' is running")
    assert [run.status for run in home.store().runs("shop")] == ["running"]


def test_the_next_night_mends_a_broken_bundle(home: Home) -> None:
    made = home.folder / "made"
    before = PlantedNight([item("tea")], popular=[("tea", 1.0)])
    write_bundle(made, before.arrays(), before.manifest)
    publish(home.process, home.store(), "shop", as_of=END - timedelta(days=1), bundle=made, version="broken")
    for path in bundle_folder(home.process, "shop", "broken").glob("*.npy"):
        path.write_bytes(path.read_bytes()[:-1])
    night = home.run(*NIGHT)
    assert night.code == 0
    assert "the active bundle is broken" in night.err
    mended = home.store().active("shop").bundle
    assert mended is not None
    assert mended.version != "broken"
    assert len(Bundle.open(bundle_folder(home.process, "shop", mended.version)).arrays["users"]) == USERS
