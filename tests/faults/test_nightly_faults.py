"""Nights of real processes that are killed, run twice at once, or find broken files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_shop import END, USERS, open_small_shop

from portraits.build import PortraitSet
from portraits.engine import connect
from portraits.lake import Lake
from recommender.bundle import Bundle
from serving.publish import bundle_folder, portraits_folder
from serving.settings import ProcessSettings
from serving.stores import Store

pytestmark = pytest.mark.fault

AS_OF = ("--as-of", END.isoformat())
KILLS = (
    "drain: 40 events",
    "drain: done",
    "portraits: begins",
    "portraits: done",
    "train: judge",
    "train: done",
    "publish: begins",
    "publish: done",
)
"""Lines after which the process is killed: in the middle of each step, and between one and the next."""


@dataclass
class Home:
    """A home folder and the nights that are run in it, each as a process of its own."""

    folder: Path

    def start(self, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "serving.cli", "nightly", "--app", "shop", *options]
        environment = os.environ | {"HUAXIANG_HOME": str(self.folder)}
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def run(self, *options: str) -> tuple[int, str, str]:
        with self.start(*options) as night:
            out, err = night.communicate()
        return night.returncode, out, err

    def run_until(self, line: str, *options: str) -> None:
        """Kills the night the moment it has said `line`."""
        with self.start(*options) as night:
            assert night.stderr is not None
            said = next((said for said in night.stderr if line in said), None)
            night.kill()
        assert said is not None, f"the night never said {line!r}"
        assert night.returncode == -signal.SIGKILL

    @property
    def process(self) -> ProcessSettings:
        return ProcessSettings(home=self.folder)

    def store(self) -> Store:
        return Store.open(self.process.store_url)


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
    assert whole.run(*AS_OF)[0] == 0
    for line in KILLS:
        home.run_until(line, *AS_OF)
    code, out, _ = home.run(*AS_OF, "--json")
    summary = json.loads(out)
    assert (code, summary["status"], summary["resumed"]) == (0, "published", True)
    assert summary["drained"]["events"] + summary["drained"]["duplicates"] == 40
    for killed, expected in zip(outcome(home), outcome(whole), strict=True):
        assert killed == expected
    assert [run.status for run in home.store().runs("shop")] == ["published"]
    assert len(list(bundle_folder(home.process, "shop", "any").parent.iterdir())) <= 2


def test_a_second_night_at_once_ends_with_4_and_changes_nothing(home: Home) -> None:
    with home.start(*AS_OF) as first:
        assert first.stderr is not None
        assert any("portraits: begins" in line for line in first.stderr)
        os.kill(first.pid, signal.SIGSTOP)
        try:
            code, out, err = home.run(*AS_OF)
        finally:
            os.kill(first.pid, signal.SIGCONT)
            first.kill()
    assert (code, out) == (4, "")
    assert err.splitlines()[-1].startswith("huaxiang: another night of app 'shop' is running")
    assert [run.status for run in home.store().runs("shop")] == ["running"]


def test_the_next_night_mends_a_broken_bundle(home: Home) -> None:
    assert home.run()[0] == 0
    broken = home.store().active("shop").bundle
    assert broken is not None
    for path in bundle_folder(home.process, "shop", broken.version).glob("*.npy"):
        path.write_bytes(path.read_bytes()[:-1])
    code, _, err = home.run()
    assert code == 0
    assert "the active bundle is broken" in err
    mended = home.store().active("shop").bundle
    assert mended is not None
    assert mended.version != broken.version
    assert len(Bundle.open(bundle_folder(home.process, "shop", mended.version)).arrays["users"]) == USERS
