"""`huaxiang demo`: from nothing to a page in the browser.

The sample shop writes a past that ends today, the past is imported as a merchant would, the night runs, and the result
is served on localhost. What is there already is used again: a second demo starts with the night.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

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

Say = Callable[[str], None]


def prepare(process: ProcessSettings, store: Store, events: int, seed: int, say: Say, now: Say) -> None:
    """The sample shop as the app `demo`: its past imported, its portraits and model published."""
    lake = Lake(process.lake)
    if lake.snapshot(APP).bounds() is None:
        files = process.home / "demo"
        now(f"a shop lives through {events:,} events")
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        written = history(seed, events, files, end=midnight)
        say(f"sample shop: {written.events:,} events of {written.users:,} visitors, {written.items:,} items")
        _import(process, store, lake, files, say, now)
        shutil.rmtree(files)
    summary = run_night(process, store, lake, APP, on_step=lambda step, what: now(f"night: {step}: {what}"))
    say(f"night: {summary.portraits:,} portraits, model {summary.status} ({sum(summary.seconds.values()):.0f} s)")


def start(process: ProcessSettings, say: Say, now: Say) -> tuple[Server, str]:
    """Serves, and makes the one-time link. Raises CannotServe."""
    now("the server starts")
    server = Server.start(process)
    server.wait_ready()
    say(f"serving on port {process.port}; the log is {server.log}")
    return server, link(process.port, make_link(process.home, APP))


def open_store(process: ProcessSettings) -> Store:
    """The store with the app `demo` in it."""
    store = Store.open(process.store_url)
    store.add_app(AppSettings(APP))
    return store


def _import(process: ProcessSettings, store: Store, lake: Lake, files: Path, say: Say, now: Say) -> None:
    for table in ("items", "users", "offers", "stores", "contents", "identities", "events", "decisions"):
        for path in sorted((files / table).iterdir() if table == "events" else [files / f"{table}.parquet"]):
            now(f"import: {table} from {path.name}")
            report = take_file(store, lake, APP, table, path, None)
            say(f"import: {table} {path.name}: {report.accepted:,} of {report.rows:,} rows taken")
