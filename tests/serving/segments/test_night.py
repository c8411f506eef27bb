"""The night's record of segments: whatever may be saved is asked, and what cannot be asked is named."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from published_shop import ALL, EVEN, EVEN_USERS, open_published_shop
from small_shop import USERS

from portraits.lake import Lake
from portraits.portrait_set import TABLE_FILE
from portraits.segments.nights import newest
from serving.segments.night import remember
from serving.stores import Store
from serving.stores.segments import MOST_SEGMENTS, Wanted


@pytest.fixture
def shop(tmp_path: Path) -> tuple[Store, Lake, Path]:
    """The store, the lake and the folder of the portraits."""
    process, store, lake = open_published_shop(tmp_path)
    return store, lake, process.home / "made"


def saved(store: Store, name: str, rule: object) -> None:
    store.save_segment("shop", Wanted(name, name, rule))


def test_as_many_segments_as_may_be_each_of_a_sequence_of_its_own(shop: tuple[Store, Lake, Path]) -> None:
    store, lake, made = shop
    bought = {"type": "purchase"}
    for n in range(MOST_SEGMENTS):
        again = {"sequence": [bought, bought], "within_days": 180 - n % 100, "gap_days": 1 + n // 2}
        saved(store, f"s{n:03}", again if n else EVEN)
    night = remember(store, lake, store.app("shop"), made)
    assert not night["warnings"]
    assert {f"s{n:03}" for n in range(MOST_SEGMENTS)} <= night["members"].keys()
    assert night["members"]["s000"] == len(EVEN_USERS)
    assert night["members"]["s001"] < night["members"]["s199"] <= USERS
    kept = newest(lake.folder("shop"))
    assert kept is not None
    table = pq.read_table(kept.path)
    assert table["user_id"].to_pylist() == sorted(table["user_id"].to_pylist())
    assert [
        user for user, bits in zip(table["user_id"].to_pylist(), table["in s000"].to_pylist(), strict=True) if bits & 1
    ] == EVEN_USERS


def test_a_segment_that_the_engine_gives_up_on_is_named_and_the_others_are_kept(
    shop: tuple[Store, Lake, Path],
) -> None:
    """Here its column is not where the set says; whatever else the engine meets must stop no other segment either."""
    store, lake, made = shop
    saved(store, "bad", {"field": "order_value", "op": ">", "value": 1})
    saved(store, "good", ALL)
    whole = pq.read_table(made / TABLE_FILE)
    pq.write_table(whole.drop_columns(["order_value"]), made / TABLE_FILE)
    night = remember(store, lake, store.app("shop"), made)
    assert night["members"]["good"] == USERS
    assert "bad" not in night["members"]
    assert any("'bad'" in warning and "gave up" in warning for warning in night["warnings"])
