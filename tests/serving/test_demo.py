"""The demo as a process: it prints a link, the link opens the pages, Ctrl-C ends all of it."""

from __future__ import annotations

import http.client
import http.cookiejar
import http.server
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from portraits.errors import CannotServe
from serving.server import with_secret
from serving.settings import ProcessSettings


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "serving.cli", "demo", "--events", "3000", "--port", "0"]
    environment = os.environ | {"HUAXIANG_HOME": str(tmp_path / "home")}
    environment.pop("HUAXIANG_SECRET", None)
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
    )
    with process:
        yield process
        process.send_signal(signal.SIGINT)


def test_from_nothing_to_a_page_and_away_with_ctrl_c(demo: subprocess.Popen[str]) -> None:
    assert demo.stdout is not None
    link = next(
        found[0] for line in demo.stdout if (found := re.search(r"http://127\.0\.0\.1:(\d+)/console/enter\S+", line))
    )
    jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(jar)
    with browser.open(link) as page:
        first = page.read().decode()
    assert "A few to look at" in first
    site = link.partition("/console")[0]
    visitor = re.search(r'href="(/console/visitor\?id=[^"]+)"', first)
    assert visitor is not None
    with browser.open(site + visitor[1]) as page:
        shown = page.read().decode()
    for heading in ("Who this is", "What they would be shown now", 'class="price"'):
        assert heading in shown
    with browser.open(f"{site}/console/nights") as page:
        assert "Portraits" in page.read().decode()
    with pytest.raises(urllib.error.HTTPError, match="403"):
        browser.open(link)
    demo.send_signal(signal.SIGINT)
    assert demo.wait() == 0
    host = site.removeprefix("http://")
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection(host).request("GET", "/")


def test_a_port_that_is_taken_is_said_before_any_work(tmp_path: Path) -> None:
    taken = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    with taken, pytest.raises(CannotServe, match=f"port {taken.server_port}"):
        with_secret(ProcessSettings(home=tmp_path), taken.server_port)
