from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import planted_deals
import planted_history as planted
import pytest

from portraits.build import build, fields
from portraits.dictionary import FIELDS
from portraits.engine import connect
from portraits.errors import BrokenBundle, InvalidValue
from portraits.features import REGISTRY
from portraits.history import CONTENTS, EVENTS, ITEMS, OFFERS, STORES, USERS
from portraits.lake import Lake
from portraits.portrait_set import MANIFEST_FILE, TABLE_FILE, PortraitSet


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The planted history in a lake, with an item that changes its category after T."""
    lake = Lake(tmp_path_factory.mktemp("lake"))
    lake.append_events("planted", planted.arrow(EVENTS, planted.events()))
    lake.upsert("planted", "items", planted.arrow(ITEMS, planted.items()), planted.START)
    lake.upsert("planted", "users", planted.arrow(USERS, planted.users()), planted.START)
    others = {
        "stores": planted.arrow(STORES, planted.stores()),
        "contents": planted.arrow(CONTENTS, planted.contents()),
        "offers": planted.arrow(OFFERS, planted_deals.offers()),
    }
    for table, rows in others.items():
        lake.upsert("planted", table, rows, planted.START)
    moved = [{**item, "category": ["moved"], "brand": "moved", "cost": 1, "price": 1} for item in planted.items()]
    lake.upsert("planted", "items", planted.arrow(ITEMS, moved), planted.AS_OF + timedelta(seconds=1))
    return lake


@pytest.fixture(scope="module")
def portraits(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> PortraitSet:
    folder = tmp_path_factory.mktemp("portraits") / "v1"
    return build(lake.snapshot("planted"), planted.SETTINGS, planted.AS_OF, folder)


def test_future_catalogue_rows_move_nothing(portraits: PortraitSet) -> None:
    """Law 1 from end to end: the lake's snapshot gives the catalogue of T, and nothing else changes a field."""
    expected = fields(planted.past(planted.events())).order_by("user_id").to_pyarrow()
    built = portraits.table(connect()).order_by("user_id").select(expected.column_names)
    assert built.to_pyarrow().to_pylist() == expected.to_pylist()


@pytest.mark.parametrize(
    "names",
    [
        ("stage", "brands"),  # row-level fields look at others, which look at others
        ("home_store",),
        ("avoided_brands", "rfm", "first_channel"),
    ],
)
def test_a_part_of_the_fields_is_as_in_the_whole(portraits: PortraitSet, names: tuple[str, ...]) -> None:
    """Of every visitor, whichever grains the part needs."""
    part = fields(planted.past(planted.events()), [REGISTRY[name] for name in names]).order_by("user_id").to_pyarrow()
    whole = portraits.table(connect()).order_by("user_id").select("user_id", *names).to_pyarrow()
    assert part.to_pylist() == whole.to_pylist()


def test_the_folder_says_what_it_is(portraits: PortraitSet, lake: Lake) -> None:
    assert portraits.as_of == planted.AS_OF
    assert portraits.rows == portraits.table(connect()).count().execute() > 30
    assert portraits.manifest["lake"] == lake.snapshot("planted").versions
    assert list(portraits.fields) == list(FIELDS)
    assert {path.name for path in portraits.path.iterdir()} == {MANIFEST_FILE, *portraits.manifest["files"]}
    assert TABLE_FILE in portraits.manifest["files"]
    portraits.verify()


def test_rows_come_sorted(portraits: PortraitSet) -> None:
    users = portraits.table(connect()).user_id.to_pyarrow().to_pylist()
    assert users == sorted(users)


def test_get(portraits: PortraitSet) -> None:
    rows = portraits.table(connect()).to_pyarrow().to_pylist()
    assert [portraits.get(row["user_id"]) for row in rows] == rows
    assert "微信🎁" in {row["user_id"] for row in rows}


@pytest.mark.parametrize("user_id", ["", "u0", "nobody", "u03", "crawler", "𠮷 after everyone"])
def test_get_nobody(portraits: PortraitSet, user_id: str) -> None:
    """Never seen, refused (u03) or nothing but test traffic (crawler)."""
    assert portraits.get(user_id) is None


def test_an_empty_app_has_an_empty_set(tmp_path: Path) -> None:
    empty = build(Lake(tmp_path / "lake").snapshot("planted"), planted.SETTINGS, planted.AS_OF, tmp_path / "v1")
    assert empty.rows == 0
    assert empty.get("u01") is None


def test_building_again_replaces(lake: Lake, tmp_path: Path) -> None:
    snapshot, out = lake.snapshot("planted"), tmp_path / "v1"
    build(snapshot, planted.SETTINGS, planted.START, out)
    again = build(snapshot, planted.SETTINGS, planted.AS_OF, out)
    assert PortraitSet(out).as_of == again.as_of == planted.AS_OF
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]


def test_a_naive_moment_is_refused(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="as_of"):
        build(lake.snapshot("planted"), planted.SETTINGS, datetime(2025, 1, 1), tmp_path / "v1")


@pytest.mark.fault
def test_a_broken_set_is_said_to_be_broken(portraits: PortraitSet, tmp_path: Path) -> None:
    with pytest.raises(BrokenBundle, match="cannot be read"):
        PortraitSet(tmp_path)
    manifest = portraits.manifest | {"format": 99}
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(BrokenBundle, match="not a portrait set"):
        PortraitSet(tmp_path)
    shutil.copytree(portraits.path, tmp_path, dirs_exist_ok=True)
    table = (portraits.path / TABLE_FILE).read_bytes()
    (tmp_path / TABLE_FILE).write_bytes(table[:-1] + bytes([table[-1] ^ 1]))
    with pytest.raises(BrokenBundle, match="checksum"):
        PortraitSet(tmp_path).verify()


BUILD = """
import sys
from pathlib import Path

import planted_history as planted
from portraits.build import build
from portraits.lake import Lake

build(Lake(Path(sys.argv[1])).snapshot("planted"), planted.SETTINGS, planted.AS_OF, Path(sys.argv[2]))
"""


@pytest.mark.fault
def test_a_killed_build_leaves_the_old_set(lake: Lake, tmp_path: Path) -> None:
    """kill -9 while the new set is being written: the old one stays, whole, and the next build sweeps up."""
    out = tmp_path / "v1"
    old = build(lake.snapshot("planted"), planted.SETTINGS, planted.START, out)
    paths = os.pathsep.join((*sys.path, str(Path(planted.__file__).parent)))
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD, str(lake.root), str(out)], env={**os.environ, "PYTHONPATH": paths}
    )
    while not (tmp_path / ".v1.building").exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    PortraitSet(out).verify()
    assert PortraitSet(out).as_of in (old.as_of, planted.AS_OF)
    build(lake.snapshot("planted"), planted.SETTINGS, planted.AS_OF, out).verify()
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]
