"""`bentoml build` takes the project, and the Bento serves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from planted_app import Client, open_shop
from serving_process import Service
from starlette.applications import Starlette

from serving.app import v1
from serving.context import Context

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


def test_it_answers_from_its_own_files_as_the_checkout_does(bento: Path, tmp_path: Path) -> None:
    """By its tag, in a folder without ours, with a BENTOML_HOME that holds it and nothing else."""
    settings, store = open_shop(tmp_path / "home")
    key = store.add_key("shop", "admin")
    store.close()
    (tmp_path / "elsewhere").mkdir()
    own = {"BENTOML_HOME": str(bento.parents[2]), "PYTHONDONTWRITEBYTECODE": ""}
    with Service(settings, "huaxiang:latest", tmp_path / "elsewhere", **own) as service:
        with httpx.Client(base_url=service.url, headers={"authorization": f"Bearer {key}"}) as http:
            answered = list(asked(http.post))
            assert httpx.get(f"{service.url}/console/enter").status_code < 500
            document = http.get("/v1/openapi.json").json()
        # Python leaves compiled code beside what it imported.
        for package in ("portraits", "recommender", "serving"):
            assert list((bento / "src" / package / "__pycache__").glob("*.pyc"))
    context = Context.open(settings)
    with Client(Starlette(routes=[v1(context)])) as client:
        authorized = partial(client.post, headers={"authorization": f"Bearer {key}"})
        assert answered == list(asked(authorized))
        assert document == client.get("/v1/openapi.json").json()
    context.close()


def asked(post: Callable[..., httpx.Response]) -> Iterator[object]:
    """What does not change from one answer to the next, of right and wrong requests."""
    for path, body in (
        ("/recommend", {"user_id": "ann", "n": 3}),
        ("/similar", {"item_id": "green"}),
        ("/trending", {"n": 2}),
        ("/offers", {"user_id": "ann"}),
        ("/recommend", {"n": 0}),
        ("/nothing", {}),
    ):
        answer = post(f"/v1{path}", json=body)
        yield answer.status_code, {name: told for name, told in answer.json().items() if name != "decision_id"}
