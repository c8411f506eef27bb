"""Law 11, a deleted tag: it does not grow back from old events; from new ones it says what they say and no more.

The small shop's visitors each buy for sixty days. Whoever deletes a tag on some day is to be told, by the next night,
what somebody would be told of whom nothing before that day is known, and of the other tags what was told before.
"""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_shop import DAYS, END, catalogue, open_empty_shop, purchases

from portraits.build import build
from portraits.dictionary import FIELDS
from portraits.features import REGISTRY
from portraits.history import IDENTITIES
from portraits.lake import Lake
from portraits.portrait_set import PortraitSet
from portraits.settings import AppSettings
from portraits.tags import MODELS, TAGS, hidden

pytestmark = pytest.mark.law

SETTINGS = AppSettings("shop")
ANN = "u000"


def day(number: int) -> int:
    """The moment at which day `number` of the history begins, microseconds."""
    return round((END - timedelta(days=DAYS - number, hours=12)).timestamp() * 1e6)


CUT = day(30)


def shop(home: Path, events: pa.Table) -> Lake:
    _, store, lake = open_empty_shop(home)
    store.close()
    lake.upsert("shop", "items", catalogue(), source="test")
    lake.append("shop", "events", events, "test")
    return lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return shop(tmp_path_factory.mktemp("whole"), purchases())


@pytest.fixture(scope="module")
def whole(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> PortraitSet:
    return build(lake.snapshot("shop"), SETTINGS, END, tmp_path_factory.mktemp("whole") / "set")


def told(people: PortraitSet, user_id: str) -> dict[str, Any]:
    portrait = people.get(user_id)
    assert portrait is not None
    return portrait


def same(one: Any, other: Any) -> bool:
    return math.isclose(one, other, rel_tol=1e-9) if isinstance(one, float) and other is not None else one == other


def test_from_old_events_nothing_grows_back(lake: Lake, whole: PortraitSet, tmp_path: Path) -> None:
    """Every tag by a visitor of its own, all in one night."""
    deleted = {f"u{number:03}": {tag: day(DAYS + 1)} for number, tag in enumerate(TAGS)}
    people = build(lake.snapshot("shop"), SETTINGS, END, tmp_path / "set", deleted=deleted)
    people.verify()
    assert people.deleted == deleted
    for user_id, tags in deleted.items():
        gone = hidden(FIELDS, tags)
        before, after = told(whole, user_id), told(people, user_id)
        assert not [name for name in gone if after[name] is not None], tags
        # What a model says of the others may move: it learned from what is left.
        kept = [name for name in FIELDS if name not in gone and FIELDS[name].family not in MODELS]
        assert not [name for name in kept if before[name] != after[name]]
    others = [name for name in REGISTRY if before[name] is not None]
    assert all(told(whole, "u070")[name] == told(people, "u070")[name] for name in others)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> PortraitSet:
    """Everybody, if nothing were known of Ann before `CUT`."""
    rows, root = purchases(), tmp_path_factory.mktemp("fresh")
    late = rows.filter(pc.or_(pc.not_equal(rows["user_id"], ANN), pc.greater_equal(rows["ts"].cast(pa.int64()), CUT)))
    return build(shop(root / "cut", late).snapshot("shop"), SETTINGS, END, root / "set")


@pytest.mark.parametrize("tag", ["purchases", "categories", "visits"])
def test_new_events_bring_back_what_they_say_alone(lake: Lake, fresh: PortraitSet, tag: str, tmp_path: Path) -> None:
    people = build(lake.snapshot("shop"), SETTINGS, END, tmp_path / "set", deleted={ANN: {tag: CUT}})
    expected, found = told(fresh, ANN), told(people, ANN)
    gone = [name for name in hidden(FIELDS, [tag]) if FIELDS[name].family not in MODELS]
    assert [name for name in gone if found[name] is not None], "the new events say something"
    assert not {name: (expected[name], found[name]) for name in gone if not same(expected[name], found[name])}


@settings(max_examples=5)
@given(deletions=st.dictionaries(st.sampled_from(("u001", "u002", "zoe")), st.integers(0, DAYS + 2), max_size=3))
def test_whenever_it_was_deleted_only_what_came_since_counts(
    lake: Lake, tmp_path_factory: pytest.TempPathFactory, deletions: dict[str, int]
) -> None:
    """Of purchases, told by their number: for any days, for people without a portrait too."""
    deleted = {user: {"purchases": day(number)} for user, number in deletions.items()}
    people = build(lake.snapshot("shop"), SETTINGS, END, tmp_path_factory.mktemp("any") / "set", deleted=deleted)
    rows = purchases()
    for user in ("u001", "u002", "u003"):
        moments = rows.filter(pc.equal(rows["user_id"], user))["ts"].cast(pa.int64()).to_pylist()
        cut = deleted.get(user, {}).get("purchases", 0)
        assert told(people, user)["orders"] == (sum(us >= cut for us in moments) or None)
    assert people.get("zoe") is None


def test_deletions_of_linked_ids_are_one_persons(lake: Lake, tmp_path: Path) -> None:
    """Linked long after the deletion, by an id that no event has."""
    link = {"link_id": "l1", "user_id": ANN, "anonymous_id": "phone"}
    lake.upsert("shop", "identities", pa.Table.from_pylist([link], schema=IDENTITIES.arrow_schema()), source="test")
    deleted = {"phone": {"brands": day(10), "place": day(DAYS + 1)}, ANN: {"brands": day(20)}}
    people = build(lake.snapshot("shop"), SETTINGS, END + timedelta(days=400), tmp_path / "set", deleted=deleted)
    assert people.deleted == {ANN: {"brands": day(20), "place": day(DAYS + 1)}}
