"""The README: every command in it works, and every setting of the process is named."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.server import Server
from serving.settings import ProcessSettings
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
FRESH = [block for block in BLOCKS if block.startswith("python3 -m venv")]
SERVE = "huaxiang serve\n"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A newcomer's shell: the installed commands on the path, a home of its own, a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": scripts, "HUAXIANG_HOME": str(tmp_path / "home"), "HUAXIANG_PORT": port}


@pytest.fixture
def started(environment: dict[str, str]) -> Iterator[list[Server]]:
    """Servers that the walk starts; stopped when it ends."""
    servers: list[Server] = []
    yield servers
    for server in servers:
        server.stop()


def serve(environment: dict[str, str], log: Path) -> Server:
    """The README's own command, as a child in a session of its own."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            SERVE.split(), env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    return Server(child, int(environment["HUAXIANG_PORT"]), log)


def test_the_walk_through_the_readme_works(tmp_path: Path, environment: dict[str, str], started: list[Server]) -> None:
    if shutil.which("curl") is None:
        pytest.skip("the README asks the service with curl, which is not installed")
    said = ""
    for block in BLOCKS:
        if block in FRESH:
            continue
        if block == SERVE:
            started.append(serve(environment, tmp_path / "serve.log"))
            started[-1].wait_ready()
            continue
        script = block.replace("localhost:3000", f"localhost:{environment['HUAXIANG_PORT']}")
        bash = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(bash, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        said += done.stdout
    assert '"accepted":1' in said.replace(" ", "")
    assert '"decision_id"' in said


def test_the_two_commands_install_from_the_locks_and_end_as_they_promise() -> None:
    demo, test = FRESH
    assert "requirements.lock" in demo
    assert demo.strip().endswith("huaxiang demo")
    assert "requirements-dev.lock" in test
    assert test.strip().endswith("-m pytest")
    assert "README.md" in (ROOT / ".ci" / "run").read_text()


def test_every_process_setting_is_named() -> None:
    for name in ProcessSettings().environment():
        if name.startswith("HUAXIANG_"):
            assert f"`{name}`" in README


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
