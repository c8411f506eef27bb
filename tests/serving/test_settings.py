"""Settings of the process: from the environment, with defaults, refused by name."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from portraits.errors import InvalidValue
from portraits.settings import AppSettings
from serving.backup import backup, restore
from serving.console.links import make_link
from serving.context import Context
from serving.runs import only_night
from serving.settings import METRICS, ProcessSettings, metrics_folder
from serving.stores import Store
from serving.stores.dialect import file_of


def test_defaults() -> None:
    settings = ProcessSettings.from_env({})
    home = Path.cwd() / ".huaxiang"
    assert (settings.home, settings.store_url) == (home, f"sqlite:///{home / 'store.sqlite'}")
    assert (settings.port, settings.workers, settings.engine) == (3000, 1, "duckdb")
    assert settings.lake == home / "lake"


def test_what_the_environment_says_comes_back_for_a_child(tmp_path: Path) -> None:
    settings = ProcessSettings(tmp_path, secret="s3cret", port=3100, workers=2, engine="spark://master:7077")
    assert ProcessSettings.from_env(settings.environment()) == settings
    assert settings.environment()["BENTOML_HOME"] == str(tmp_path / "bentoml")


@pytest.mark.parametrize("name", ["a?b", "50%", "%41", "#1", "a b", "茶", "user:pass@host"])
def test_the_store_is_in_the_home_whatever_its_path_holds(tmp_path: Path, name: str) -> None:
    settings = ProcessSettings(tmp_path / name / "home")
    store = Store.open(settings.store_url)
    store.add_app(AppSettings("shop"))
    store.close()
    assert (settings.home / "store.sqlite").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert file_of(settings.store_url) == settings.home / "store.sqlite"
    assert ProcessSettings.from_env(settings.environment()) == settings
    backup(settings, tmp_path / f"{name}-backup", lambda _: None)
    restored = ProcessSettings(tmp_path / f"{name}-restored")
    restore(restored, tmp_path / f"{name}-backup", lambda _: None)
    assert Store.open(restored.store_url).app("shop").app_id == "shop"


def test_a_home_is_for_its_user_only(tmp_path: Path) -> None:
    """Whatever the umask says: the folder, and the files of the store, which may lie elsewhere."""
    before = os.umask(0)
    try:
        settings = ProcessSettings(tmp_path / "new" / "home")
        apart = ProcessSettings(tmp_path / "other" / "home", store_url=f"sqlite:///{tmp_path}/store.sqlite")
        for one in (settings, apart):
            context = Context.open(one)
            context.store.add_app(AppSettings("shop"))
            context.close()
        with only_night(tmp_path / "third" / "locks", "shop"):
            pass
        make_link(tmp_path / "fourth", "shop")
        backup(settings, tmp_path / "backup", lambda _: None)
        restore(ProcessSettings(tmp_path / "fifth"), tmp_path / "backup", lambda _: None)
    finally:
        os.umask(before)
    for home in (settings.home, apart.home, *(tmp_path / name for name in ("third", "fourth", "fifth", "backup"))):
        assert stat.S_IMODE(home.stat().st_mode) == 0o700, home
    files = [*tmp_path.glob("**/store.sqlite*"), *tmp_path.glob("**/*.lock")]
    assert len(files) > 6
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_the_secret_is_not_printed(tmp_path: Path) -> None:
    assert "s3cret" not in repr(ProcessSettings(tmp_path, secret="s3cret"))


def test_workers_of_one_service_count_in_one_folder_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(METRICS, raising=False)
    assert metrics_folder() is None
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setenv(METRICS, "shared by all services of a home")
    folder = metrics_folder()
    assert folder is not None
    within = folder.name.split("-")[2]
    (tmp_path / f"huaxiang-metrics-{within}-{ended.pid}-1").mkdir()
    foreign = ("", "-", "-x-1-1", f"-{ended.pid}", f"-1-{ended.pid}-1", f"-{within}-x-1", f"-{within}-{'9' * 20}-1")
    others = {tmp_path / f"huaxiang-metrics{name}" for name in foreign}
    for other in others:
        other.mkdir()
    assert (os.environ[METRICS], metrics_folder()) == (str(folder), folder)
    assert set(tmp_path.iterdir()) == {folder, *others}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HUAXIANG_PORT", "many"),
        ("HUAXIANG_PORT", "65536"),
        ("HUAXIANG_WORKERS", "0"),
        ("HUAXIANG_WORKERS", "1.5"),
        ("HUAXIANG_ENGINE", "postgresql://there"),
    ],
)
def test_a_value_that_cannot_be_taken_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidValue, match=name):
        ProcessSettings.from_env({name: value})
