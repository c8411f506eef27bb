"""The lake: each event once, late ones on their day, one commit, pinned readers, catalogues as of T, compaction."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from portraits.engine import connect
from portraits.errors import AnotherRunning, InvalidValue, UnknownName
from portraits.history import CATALOGUES
from portraits.lake import Appended, Lake
from portraits.snapshot import Snapshot

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "湖 lake")


def events(*rows: tuple[Any, ...]) -> pa.Table:
    """Events of (event_id, user_id, ts, amount)."""
    ids, users, times, amounts = zip(*rows, strict=True) if rows else ((), (), (), ())
    return pa.table(
        {
            "event_id": pa.array(ids, pa.string()),
            "user_id": pa.array(users, pa.string()),
            "ts": pa.array(times, pa.timestamp("us", tz="UTC")),
            "type": pa.array(["purchase"] * len(ids), pa.string()),
            "amount": pa.array(amounts, pa.int64()),
        }
    )


def stored(snapshot: Snapshot) -> list[tuple[str, int, date]]:
    rows = snapshot.events(connect()).select("event_id", "amount", "day").to_pyarrow().to_pylist()
    return sorted((row["event_id"], row["amount"], row["day"]) for row in rows)


def test_an_event_is_kept_once_and_finds_its_utc_day(lake: Lake) -> None:
    rows = events(("a", "u", NOON, 1), ("b", "u", NOON - 40 * DAY, 2), ("a", "u", NOON, 1))
    assert lake.append_events("shop", rows) == Appended(accepted=2, duplicates=1, conflicts=0)
    assert lake.append_events("shop", rows) == Appended(accepted=0, duplicates=3, conflicts=0)
    assert stored(lake.snapshot("shop")) == [("a", 1, NOON.date()), ("b", 2, (NOON - 40 * DAY).date())]


def test_an_id_is_unique_within_its_day_only(lake: Lake) -> None:
    assert lake.append_events("shop", events(("a", "u", NOON, 1), ("a", "u", NOON + DAY, 1))).accepted == 2


def test_the_same_id_with_other_content_is_a_conflict_kept_once_in_the_quarantine(lake: Lake) -> None:
    lake.append_events("shop", events(("a", "u", NOON, 1)))
    for _ in range(2):
        result = lake.append_events("shop", events(("a", "u", NOON, 2), ("b", "u", NOON, 1)), source="night")
    assert result == Appended(accepted=0, duplicates=1, conflicts=1)
    snapshot = lake.snapshot("shop")
    assert stored(snapshot) == [("a", 1, NOON.date()), ("b", 1, NOON.date())]
    (refused,) = snapshot.quarantine(connect()).to_pyarrow().to_pylist()
    assert (refused["table"], refused["source"], refused["line"]) == ("events", "night", 1)
    assert (refused["column"], refused["value"]) == ("event_id", "a")
    assert refused["reason"].startswith("conflict")


def test_files_are_sorted_by_visitor_and_time(lake: Lake) -> None:
    lake.append_events("shop", events(*((f"{i}", f"u{i % 3}", NOON - i * timedelta(seconds=1), i) for i in range(30))))
    (path,) = lake.snapshot("shop").files("events")
    table = connect().read_parquet(path).select("user_id", "ts").to_pyarrow()
    rows = list(zip(table["user_id"].to_pylist(), table["ts"].to_pylist(), strict=True))
    assert rows == sorted(rows)


def test_apps_do_not_see_each_other(lake: Lake) -> None:
    lake.append_events("a", events(("x", "u", NOON, 1)))
    lake.append_events("b", events(("x", "u", NOON, 2)))
    assert lake.apps() == ["a", "b"]
    assert [row[1] for app in "ab" for row in stored(lake.snapshot(app))] == [1, 2]


def test_wrong_names_and_missing_columns_are_told(lake: Lake) -> None:
    with pytest.raises(UnknownName, match="known: decisions, events"):
        lake.append("shop", "items", events(), "x")
    with pytest.raises(UnknownName, match="known: contents"):
        lake.upsert("shop", "events", events())
    with pytest.raises(InvalidValue, match="user_id"):
        lake.append_events("shop", events(("a", "u", NOON, 1)).drop_columns("user_id"))
    with pytest.raises(InvalidValue, match="app_id"):
        lake.snapshot("../shop")


def items(price: int, *ids: str) -> pa.Table:
    return pa.table({"item_id": list(ids), "price": [price] * len(ids), "category": [["food", "tea"]] * len(ids)})


def prices(lake: Lake, as_of: datetime | None) -> dict[str, int]:
    rows = lake.snapshot("shop").catalogue(connect(), "items", as_of).to_pyarrow().to_pylist()
    return {row["item_id"]: row["price"] for row in rows}


def test_a_catalogue_keeps_each_change_and_only_changes(lake: Lake) -> None:
    assert lake.upsert("shop", "items", items(5, "tea", "cup"), NOON) == Appended(2, 0, 0)
    assert lake.upsert("shop", "items", items(5, "tea", "cup"), NOON + DAY) == Appended(0, 2, 0)
    assert lake.upsert("shop", "items", items(7, "tea"), NOON + 2 * DAY) == Appended(1, 0, 0)
    assert prices(lake, None) == {"tea": 7, "cup": 5}
    assert prices(lake, NOON + DAY) == {"tea": 5, "cup": 5}
    assert prices(lake, NOON + 2 * DAY) == {"tea": 7, "cup": 5}
    assert prices(lake, NOON - 400 * DAY) == {"tea": 5, "cup": 5}, "the first version is true since forever"


def test_the_last_line_for_a_key_is_the_truth(lake: Lake) -> None:
    rows = pa.concat_tables([items(5, "tea"), items(6, "tea"), items(7, "tea")])
    assert lake.upsert("shop", "items", rows, NOON) == Appended(accepted=1, duplicates=2, conflicts=0)
    assert prices(lake, None) == {"tea": 7}
    lake.upsert("shop", "items", items(8, "tea"), NOON)
    assert prices(lake, None) == {"tea": 8}, "at one moment the later commit counts"


def test_rows_may_carry_their_own_time_and_be_deleted(lake: Lake) -> None:
    rows = pa.concat_tables([items(5, "tea"), items(5, "tea"), items(6, "tea")])
    rows = rows.append_column("valid_from", pa.array([NOON, NOON + DAY, NOON + 2 * DAY], pa.timestamp("us", tz="UTC")))
    rows = rows.append_column("deleted", pa.array([False, True, False]))
    assert lake.upsert("shop", "items", rows) == Appended(3, 0, 0)
    assert lake.upsert("shop", "items", rows) == Appended(0, 3, 0)
    assert [prices(lake, NOON + n * DAY) for n in range(3)] == [{"tea": 5}, {}, {"tea": 6}]


@pytest.mark.parametrize("name", sorted(CATALOGUES))
def test_every_catalogue_takes_and_gives_back_a_row(lake: Lake, name: str) -> None:
    required = {column.name: ["x"] for column in CATALOGUES[name].columns if column.required}
    assert lake.upsert("shop", name, pa.table(required)).accepted == 1
    (row,) = lake.snapshot("shop").catalogue(connect(), name).to_pyarrow().to_pylist()
    assert {key: value for key, value in row.items() if value is not None} == dict.fromkeys(required, "x")


def test_compaction_leaves_one_sorted_file_a_day_and_the_same_rows(lake: Lake) -> None:
    for i in range(4):
        lake.append_events("shop", events((f"a{i}", f"u{9 - i}", NOON, i), (f"b{i}", "u", NOON + DAY, i)))
        lake.upsert("shop", "items", items(i, "tea"), NOON + i * DAY)
    before = lake.snapshot("shop")
    rows = stored(before)
    assert lake.compact("shop", keep_hours=0) == 12
    after = lake.snapshot("shop")
    assert (stored(after), after.bounds()) == (rows, before.bounds())
    assert [len(after.files(name)) for name in ("events", "items")] == [2, 1]
    assert prices(lake, NOON + DAY) == {"tea": 1}
    assert not any(path.exists() for path in before.files("events"))
    assert lake.append_events("shop", events(("a0", "u9", NOON, 0))) == Appended(0, 1, 0)
    assert lake.compact("shop", keep_hours=0) == 0


def test_compaction_keeps_what_a_reader_may_still_need(lake: Lake) -> None:
    for i in range(3):
        lake.append_events("shop", events((f"a{i}", "u", NOON, i)))
    reader = lake.snapshot("shop")
    assert lake.compact("shop") == 3
    assert len(stored(reader)) == 3


def test_a_writer_waits_and_then_says_who_is_in_the_way(lake: Lake) -> None:
    impatient = Lake(lake.root, wait_s=0)
    with lake.writing("shop"), pytest.raises(AnotherRunning, match="shop"):
        impatient.append_events("shop", events(("a", "u", NOON, 1)))
    with lake.writing("other"):
        assert impatient.append_events("shop", events(("a", "u", NOON, 1))).accepted == 1


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
import pyarrow as pa
from portraits.lake import Lake
for batch in range(4):
    ids = [f"{sys.argv[2]}-{batch}-{i}" for i in range(10)]
    times = pa.array([datetime(2026, 3, 1 + i % 5, tzinfo=UTC) for i in range(10)], pa.timestamp("us", tz="UTC"))
    Lake(Path(sys.argv[1])).append_events(
        "shop", pa.table({"event_id": ids, "user_id": ids, "ts": times, "type": ["view"] * 10})
    )
"""


@pytest.mark.fault
def test_a_reader_beside_two_writers_sees_whole_commits_only(lake: Lake) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(lake.root), name]) for name in "ab"]
    con, seen = connect(), []
    while any(writer.poll() is None for writer in writers):
        seen.append(lake.snapshot("shop").events(con).count().execute())
    assert [writer.returncode for writer in writers] == [0, 0]
    assert lake.snapshot("shop").events(con).count().execute() == 2 * 4 * 10
    assert all(rows % 10 == 0 for rows in seen)
    assert seen == sorted(seen)
