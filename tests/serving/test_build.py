"""`bentoml build` takes the project, and the Bento serves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from planted_app import open_shop
from serving_process import Service

ROOT = Path(__file__).parents[2]
NEEDED = ("console/templates", "stores/migrations/versions/0001_first.py", "service.py")


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("bentoml")
    env = {**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"}
    command = [sys.executable, "-m", "bentoml", "build", "--output", "tag", str(ROOT)]
    built = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    tag = built.stdout.strip().rpartition("__tag__:")[2]
    return home / "bentos" / Path(*tag.split(":"))


def test_it_holds_our_packages_and_nothing_else(bento: Path) -> None:
    source = bento / "src"
    folders = {path.name for path in source.iterdir() if path.is_dir()}
    assert folders == {"portraits", "recommender", "serving"}
    assert all((source / "serving" / needed).exists() for needed in NEEDED)
    assert not list(source.rglob("__pycache__"))
    locked = (source / "requirements.lock").read_text(encoding="utf-8")
    assert "bentoml==" in (bento / "bento.yaml").read_text(encoding="utf-8")
    assert "bentoml==" in locked


def test_it_serves(bento: Path, tmp_path: Path) -> None:
    settings, store = open_shop(tmp_path)
    key = store.add_key("shop", "recommend")
    store.close()
    with Service(settings, str(bento), tmp_path) as service:
        headers = {"authorization": f"Bearer {key}"}
        answer = httpx.post(f"{service.url}/v1/recommend", json={"user_id": "ann", "n": 1}, headers=headers)
        assert answer.json()["items"][0]["item_id"] == "green"
        assert httpx.get(f"{service.url}/console/enter").status_code < 500
