"""Settings of the process: from the environment, with defaults, refused by name."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from portraits.errors import InvalidValue
from serving.settings import METRICS, ProcessSettings, metrics_folder


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
    old = tmp_path / f"huaxiang-metrics-{ended.pid}-1"
    old.mkdir()
    monkeypatch.setenv(METRICS, "shared by all services of a home")
    folder = metrics_folder()
    assert folder is not None
    assert (os.environ[METRICS], metrics_folder()) == (str(folder), folder)
    assert list(tmp_path.iterdir()) == [folder]


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
