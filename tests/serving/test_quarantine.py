"""How many refused rows the store keeps until the night."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from portraits.settings import AppSettings
from serving.quarantine import RECOUNT_S, Quarantine
from serving.stores import Store
from serving.stores.events import RejectedRow, insert_rejected

LIMIT = 25


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}")
    for app_id in ("shop", "cafe"):
        opened.add_app(AppSettings(app_id))
    yield opened
    opened.close()


def refuse(store: Store, quarantine: Quarantine, app_id: str, rows: int, limit: int = LIMIT) -> int:
    """How many of so many refused rows were kept."""
    refused = [RejectedRow(0, "/v1/events", place, "type", "", "no", "{}") for place in range(rows)]
    with store.write() as connection:
        kept = quarantine.fitting(connection, app_id, refused, limit)
        insert_rejected(connection, app_id, kept)
    return len(kept)


def test_an_app_keeps_so_many_and_another_has_its_own(store: Store) -> None:
    quarantine = Quarantine(clock=lambda: 0.0)
    assert [refuse(store, quarantine, "shop", 10) for _ in range(4)] == [10, 10, 5, 0]
    assert refuse(store, quarantine, "cafe", 10) == 10
    assert len(store.rejected_to_drain("shop")) == LIMIT


def test_after_a_night_and_at_another_limit_there_is_room_again(store: Store) -> None:
    now = [0.0]
    quarantine = Quarantine(clock=lambda: now[0])
    assert refuse(store, quarantine, "shop", LIMIT + 1) == LIMIT
    assert refuse(store, quarantine, "shop", 10, limit=LIMIT + 3) == 3
    store.delete_rejected("shop", store.rejected_to_drain("shop")[-1][0])
    assert refuse(store, quarantine, "shop", 1) == 1, "the limit is another, so they are counted"
    store.delete_rejected("shop", store.rejected_to_drain("shop")[-1][0])
    now[0] += RECOUNT_S
    assert refuse(store, quarantine, "shop", LIMIT + 1) == LIMIT


def test_another_worker_counts_what_is_there(store: Store) -> None:
    assert refuse(store, Quarantine(), "shop", 20) == 20
    assert refuse(store, Quarantine(), "shop", 20) == LIMIT - 20
    assert refuse(store, Quarantine(), "shop", 20) == 0


def test_a_limit_of_nothing_keeps_nothing(store: Store) -> None:
    assert refuse(store, Quarantine(), "shop", 3, limit=0) == 0
