"""The small shop with its portraits published and a night of segments remembered: what a marketer's day begins with."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from small_shop import END, USERS, open_small_shop

from portraits.build import build
from portraits.lake import Lake
from serving.drain import drain
from serving.publish import publish
from serving.segments.night import remember
from serving.settings import ProcessSettings
from serving.stores import Store

PATIENT_S = 300.0
"""How long questions may take here: these tests measure no time, and a machine may be busy."""
ALL = {"field": "orders", "op": ">=", "value": 1}
EVEN = {"did": {"type": "purchase", "category": "ware"}, "times": {"op": ">=", "value": 10}, "within_days": 180}
"""The visitors with an even number: their own category is ware, nine times of ten."""
EVEN_USERS = [f"u{number:03}" for number in range(0, USERS, 2)]


def open_published_shop(home: Path) -> tuple[ProcessSettings, Store, Lake]:
    """`open_small_shop` after a night without training, in a folder that need not be there; a copy of one night."""
    shutil.copytree(_night(), home, dirs_exist_ok=True)
    process = ProcessSettings(home=home, secret="only for tests")
    return process, Store.open(process.store_url), Lake(process.lake)


@cache
def _night() -> Path:
    """The home that is copied, made once a process: many modules begin with this night."""
    folder = Path(tempfile.mkdtemp(prefix="published-"))
    atexit.register(shutil.rmtree, folder)
    process, store, lake = open_small_shop(folder)
    publish_portraits(process, store, lake)
    store.close()
    return folder


def publish_portraits(process: ProcessSettings, store: Store, lake: Lake, app_id: str = "shop") -> str:
    """Drain, portraits, segments, publish; the version."""
    drain(store, lake, app_id, lambda _: None)
    made = process.home / "made"
    build(lake.snapshot(app_id), store.app(app_id), END, made)
    remember(store, lake, store.app(app_id), made)
    return publish(process, store, app_id, as_of=END, portraits=made)
