"""Refused rows: one of a line, too many stop the import, and of the forgotten nothing but the place is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from portraits.errors import QuarantineFull
from portraits.forgotten import REASON, Forgotten, mark
from portraits.reading import LINE
from portraits.records import Refused
from portraits.refusals import Refusals

SALT = "salt"
FILE = Path("events.csv")


def refusals(stage: Path, *forgotten: str, limit: int = 10) -> Refusals:
    return Refusals(FILE, limit, Forgotten(SALT, [mark(SALT, one) for one in forgotten]), stage)


def staged(stage: Path) -> list[dict[str, Any]]:
    rows = [row for path in stage.glob("quarantine-*.parquet") for row in pq.read_table(path).to_pylist()]
    return sorted(rows, key=lambda row: row["line"])


def test_the_first_reason_of_a_line_is_staged(tmp_path: Path) -> None:
    found = refusals(tmp_path)
    found.add([Refused(4, "ts", "x", "first", "4,x"), Refused(4, "amount", "y", "second", "4,x")])
    found.add([Refused(2, "ts", "z", "third", "2,z")])
    found.add([])
    assert found.broken == 2
    assert [(row["line"], row["reason"]) for row in staged(tmp_path)] == [(2, "third"), (4, "first")]


def test_more_than_the_limit_stops_the_import_with_the_first_reason(tmp_path: Path) -> None:
    found = refusals(tmp_path, limit=2)
    found.add([Refused(7, "ts", "x", "not an RFC 3339 time", ""), Refused(9, "ts", "x", "missing", "")])
    found.check_limit(0)
    with pytest.raises(QuarantineFull, match=r"3 rows cannot be taken.*line 7, ts: not an RFC 3339 time"):
        found.check_limit(1)
    with pytest.raises(QuarantineFull):
        found.add([Refused(11, "ts", "x", "missing", "")])


def test_rows_of_the_forgotten_are_refused_and_their_name_leaves_the_rows_of_others(tmp_path: Path) -> None:
    found = refusals(tmp_path, "gone", limit=0)
    rows = pa.table(
        {"user_id": ["gone", "here", "here"], "referrer_user_id": ["here", "gone", "here"], "line": [2, 3, 4]}
    )
    kept = found.screen(rows).to_pylist()
    assert [(row["line"], row["referrer_user_id"]) for row in kept] == [(3, None), (4, "here")]
    judged = [{LINE: 5, "user_id": "gone"}, {LINE: 6, "user_id": "here", "referrer_user_id": "gone"}]
    assert found.screen_judged(judged) == {5}
    assert judged[1]["referrer_user_id"] is None
    assert (found.broken, found.unwanted) == (0, 2)
    told = [(row["line"], row["reason"], row["row"]) for row in staged(tmp_path)]
    assert told == [(2, REASON, ""), (5, REASON, "")]


def test_nothing_is_kept_of_a_broken_row_that_names_the_forgotten(tmp_path: Path) -> None:
    found = refusals(tmp_path, "gone")
    found.add(
        [Refused(2, "ts", "x", "missing", '{"user_id": "gone", "ts": "x"}'), Refused(3, "ts", "x", "missing", "{}")]
    )
    assert [(row["line"], row["value"], row["row"]) for row in staged(tmp_path)] == [(2, "", ""), (3, "x", "{}")]
