"""`huaxiang demo`: from nothing to a page in the browser.

The sample shop writes a past that ends today, the past is imported as a merchant would, the night runs, and the result
is served on localhost. What is there already is used again: a second demo starts with the night. The files of the past
are deleted when all of them were imported, so a demo that was stopped before imports them again.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from portraits.history import CATALOGUES
from portraits.lake import Lake
from portraits.sample import history
from portraits.settings import AppSettings
from serving.console.links import make_link
from serving.imports import take_file
from serving.nightly import run_night
from serving.server import Server, link
from serving.settings import ProcessSettings
from serving.stores import Store

APP = "demo"
EVENTS = 100_000


class Listener(Protocol):
    """Hears how far the demo is."""

    def say(self, line: str) -> None:
        """Something is done."""

    def now(self, text: str) -> None:
        """Something begins."""


def prepare(process: ProcessSettings, events: int, seed: int, listener: Listener) -> None:
    """The sample shop as the app `demo`: its past imported, its portraits and model published."""
    store, lake = Store.open(process.store_url), Lake(process.lake)
    store.add_app(AppSettings(APP))
    files = process.home / "demo"
    if files.exists() or lake.snapshot(APP).bounds() is None:
        listener.now(f"a shop lives through {events:,} events")
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        written = history(seed, events, files, end=midnight)
        listener.say(f"sample shop: {written.events:,} events, {written.users:,} visitors, {written.items:,} items")
        _import(store, lake, files, listener)
        shutil.rmtree(files)
    summary = run_night(process, store, lake, APP, on_step=lambda step, what: listener.now(f"night: {step}: {what}"))
    seconds = sum(summary.seconds.values())
    listener.say(f"night: {summary.portraits:,} portraits, model {summary.status} ({seconds:.0f} s)")


def serve(process: ProcessSettings, listener: Listener) -> Server:
    """The demo's server, ready. Raises CannotServe."""
    listener.now("the server starts")
    server = Server.start(process)
    try:
        server.wait_ready()
    except BaseException:
        server.stop()
        raise
    listener.say(f"serving on port {process.port}; the log is {server.log}")
    return server


def one_time_link(process: ProcessSettings) -> str:
    """An address that opens the console of the demo's app, once."""
    return link(process.port, make_link(process.home, APP))


def _import(store: Store, lake: Lake, files: Path, listener: Listener) -> None:
    named = [(table, files / f"{table}.parquet") for table in (*CATALOGUES, "decisions")]
    # The broken rows come last: one of them contradicts an event, and the first of two that disagree is kept.
    events = [("events", path) for path in sorted((files / "events").iterdir(), reverse=True)]
    for table, path in (*named, *events):
        listener.now(f"import: {table} from {path.name}")
        report = take_file(store, lake, APP, table, path)
        listener.say(f"import: {table} {path.name}: {report.accepted:,} of {report.rows:,} rows taken")
