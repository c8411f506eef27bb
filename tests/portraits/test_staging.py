"""Rows handed over are staged in their order, typed, and known again by what was sent. Rows of files: the imports."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from portraits.engine import connect
from portraits.errors import InvalidValue
from portraits.history import EVENTS, ITEMS
from portraits.staging import stage_handed

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
EVENT = {"event_id": "a", "user_id": "u", "ts": NOON, "type": "purchase"}


def staged(folder: Path) -> list[dict[str, object]]:
    return pq.read_table(folder / "rows-0.parquet").to_pylist()


def test_events_keep_their_order_and_the_day_they_were_sent_for(tmp_path: Path) -> None:
    early = EVENT | {"sent_ts": NOON + timedelta(days=3), "sent_properties": None}
    stage_handed(connect().con, EVENTS, pa.Table.from_pylist([early, early | {"event_id": "b"}]), tmp_path)
    first, second = staged(tmp_path)
    assert [(row["event_id"], row["line"]) for row in (first, second)] == [("a", 1), ("b", 2)]
    assert (first["day"], first["sent_day"]) == (date(2026, 3, 2), date(2026, 3, 5))
    assert first["content"] == second["content"], "an id is no content"


def test_a_catalogues_rows_are_true_from_then_on(tmp_path: Path) -> None:
    stage_handed(connect().con, ITEMS, pa.table({"item_id": ["tea"], "price": [100]}), tmp_path, NOON)
    (row,) = staged(tmp_path)
    assert (row["valid_from"], row["deleted"], row["price"], row["title"]) == (NOON, False, 100, None)


def test_a_required_column_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="user_id"):
        stage_handed(connect().con, EVENTS, pa.Table.from_pylist([EVENT]).drop_columns("user_id"), tmp_path)
