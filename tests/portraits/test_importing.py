"""Import: every row accounted for, exact places in the quarantine, nothing twice, and what goes wrong on the way."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from portraits.engine import connect
from portraits.errors import AnotherRunning, InvalidValue, QuarantineFull, UnknownName, UnreadableFile
from portraits.history import ROW_LIMIT_BYTES, TABLES
from portraits.importing import ImportReport, import_file
from portraits.lake import Lake
from portraits.mapping import Mapping
from portraits.settings import AppSettings

SHOP = AppSettings("shop")
HEADER = "event_id,user_id,ts,type,item_id,amount"
MOMENT = "2026-03-02T10:00:00Z"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def load(lake: Lake, path: Path, table: str = "events", mapping: str | None = None) -> ImportReport:
    report = import_file(lake, SHOP, table, path, Mapping.parse(mapping) if mapping else None)
    assert report.accepted + report.duplicates + report.filtered + report.quarantined == report.rows
    return report


def counts(report: ImportReport) -> tuple[int, int, int, int, int]:
    return report.rows, report.accepted, report.duplicates, report.filtered, report.quarantined


def write(path: Path, *lines: str, header: str = HEADER) -> Path:
    text = "\n".join([header, *lines] if header else lines) + "\n"
    data = text.encode("utf-8", "surrogateescape")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def line(event: object, user: str = "u", ts: str = MOMENT, kind: str = "purchase", amount: object = 100) -> str:
    return f"{event},{user},{ts},{kind},tea,{amount}"


def events(lake: Lake) -> list[dict[str, Any]]:
    rows = lake.snapshot("shop").events(connect()).to_pyarrow().to_pylist()
    return sorted(rows, key=lambda row: (row["ts"], row["event_id"]))


def refused(lake: Lake) -> list[tuple[int, str, str, str]]:
    rows = lake.snapshot("shop").quarantine(connect()).to_pyarrow().to_pylist()
    return sorted((row["line"], row["column"], row["value"], row["reason"]) for row in rows)


def test_importing_twice_changes_nothing(lake: Lake, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", line("a"), line("b", ts="yesterday"), line("a"), line("a", amount=7))
    assert counts(load(lake, path)) == (4, 1, 1, 0, 2)
    before = lake.snapshot("shop").versions
    assert counts(load(lake, path)) == (4, 0, 2, 0, 2)
    assert lake.snapshot("shop").versions == before
    assert [row[:3] for row in refused(lake)] == [(3, "ts", "yesterday"), (5, "event_id", "a")]


def test_a_quarantined_row_says_where_and_why(lake: Lake, tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv",
        line("good"),
        '"two\nlines",u,' + MOMENT + ",view,,",
        "",
        line("bad-amount", amount="12.5"),
        line("bad-ts", ts="2026-03-02T10:00:00"),
        line("no-user", user=""),
        "too,few",
        line("negative", amount=-1),
        line("x" * 129),
        line("\udcff"),
    )
    assert counts(load(lake, path)) == (9, 2, 0, 0, 7)
    assert refused(lake) == [
        (6, "amount", "12.5", "not a whole number"),
        (7, "ts", "2026-03-02T10:00:00", "time without an offset; add Z or +08:00"),
        (8, "user_id", "", "missing"),
        (9, "", "too,few", "the row has not 6 columns as the first line has"),
        (10, "amount", "-1", "less than 0"),
        (11, "event_id", "x" * 129, "longer than 128 characters"),
        (12, "", line("\ufffd"), "not valid text: not UTF-8"),
    ]


def test_events_without_an_id_are_told_apart_by_content_and_count(lake: Lake, tmp_path: Path) -> None:
    same = f"u,{MOMENT},purchase,tea,100"
    path = write(tmp_path / "a.csv", same, same, f"u,{MOMENT},purchase,cup,100", header=HEADER[len("event_id,") :])
    assert counts(load(lake, path)) == (3, 3, 0, 0, 0)
    ids = {row["event_id"] for row in events(lake)}
    assert counts(load(lake, path)) == (3, 0, 3, 0, 0)
    assert len(ids) == 3
    longer = write(tmp_path / "b.csv", same, same, same, header=HEADER[len("event_id,") :])
    assert counts(load(lake, longer)) == (3, 1, 2, 0, 0), "the third occurrence is new"


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".jsonl", ".jsonl.gz", ".parquet"])
def test_every_format_gives_the_same_events(lake: Lake, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"events{suffix}"
    rows = [
        {"event_id": f"e{i}", "user_id": "小明", "ts": MOMENT, "type": "purchase", "item_id": "茶🍵", "amount": i}
        for i in range(5)
    ]
    if suffix == ".parquet":
        table = pa.Table.from_pylist(rows)
        moment = pa.array([datetime.fromisoformat(MOMENT)] * 5, pa.timestamp("ms", tz="Asia/Shanghai"))
        pq.write_table(table.set_column(table.schema.get_field_index("ts"), "ts", moment), path)
    elif "json" in suffix:
        write(path, *(json.dumps(row) for row in rows), header="")
    else:
        mark = "\t" if "tsv" in suffix else ","
        write(path, *(mark.join(map(str, row.values())) for row in rows), header=HEADER.replace(",", mark))
    assert counts(load(lake, path)) == (5, 5, 0, 0, 0)
    taken = [{name: row[name] for name in rows[0]} for row in events(lake)]
    assert taken == [row | {"ts": datetime.fromisoformat(MOMENT)} for row in rows]


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_table_of_the_contract_can_be_imported(lake: Lake, tmp_path: Path, table: str) -> None:
    values = {"ts": MOMENT, "candidates": "[]"}
    row = {c.name: values.get(c.name, "x") for c in TABLES[table].columns if c.required}
    path = write(tmp_path / "t.csv", ",".join(row.values()), header=",".join(row))
    assert counts(load(lake, path, table)) == (1, 1, 0, 0, 0)
    assert counts(load(lake, path, table)) == (1, 0, 1, 0, 0)


def test_what_is_not_used_is_reported(lake: Lake, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", line("a") + ",x", header=HEADER + ",colour")
    assert load(lake, path).ignored_columns == ("colour",)
    path = write(tmp_path / "a.jsonl", json.dumps({"user_id": "u", "ts": MOMENT, "type": "v", "shade": 1}), header="")
    assert load(lake, path).ignored_columns == ("shade",)


def test_lists_booleans_and_json_in_text(lake: Lake, tmp_path: Path) -> None:
    path = write(
        tmp_path / "items.csv",
        'a,food | tea,TRUE,"[""x"",""y""]"',
        "b,,0,",
        "c,food,maybe,",
        header="item_id,category,hidden,tags",
    )
    assert counts(load(lake, path, "items")) == (3, 2, 0, 0, 1)
    rows = lake.snapshot("shop").catalogue(connect(), "items").order_by("item_id").to_pyarrow().to_pylist()
    assert [(row["category"], row["hidden"], row["tags"]) for row in rows] == [
        (["food", "tea"], True, ["x", "y"]),
        (None, False, None),
    ]


@pytest.mark.fault
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".csv.gz"])
def test_an_empty_file_is_no_rows(lake: Lake, tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"empty{suffix}", header="")
    path.write_bytes(gzip.compress(b"") if suffix.endswith("gz") else b"")
    assert counts(load(lake, path)) == (0, 0, 0, 0, 0)
    assert lake.snapshot("shop").versions == {}


@pytest.mark.fault
def test_a_header_alone_is_no_rows_and_one_row_is_one_row(lake: Lake, tmp_path: Path) -> None:
    assert counts(load(lake, write(tmp_path / "a.csv"))) == (0, 0, 0, 0, 0)
    path = tmp_path / "one.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f"{HEADER}\r\n{line('a')}".encode())
    assert counts(load(lake, path)) == (1, 1, 0, 0, 0)


@pytest.mark.fault
def test_a_wrong_delimiter_is_named_with_the_right_one(lake: Lake, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", line("a").replace(",", ";"), header=HEADER.replace(",", ";"))
    with pytest.raises(UnreadableFile, match=r"no column user_id, ts, type.*seems to be split at a semicolon"):
        load(lake, path)
    assert counts(load(lake, path, mapping=PLAIN_MAPPING + '\n[file]\ndelimiter = ";"')) == (1, 1, 0, 0, 0)


PLAIN_MAPPING = 'table = "events"\n[columns]\nuser_id = "user_id"\nts = "ts"\ntype = "type"'


@pytest.mark.fault
def test_a_line_of_64_mb_is_quarantined_and_all_else_imported(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    long = line("long").encode() + b"x" * 64 * 2**20
    path.write_bytes("\n".join([HEADER, line("a"), ""]).encode() + long + f"\n{line('b')}\n".encode())
    assert counts(load(lake, path)) == (3, 2, 0, 0, 1)
    ((at, _, value, reason),) = refused(lake)
    assert (at, reason) == (3, f"a row longer than {ROW_LIMIT_BYTES} bytes")
    assert len(value) <= 200
    assert [row["event_id"] for row in events(lake)] == ["a", "b"]


@pytest.mark.fault
def test_a_gzip_file_cut_short_imports_nothing(lake: Lake, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv.gz", *(line(i) for i in range(5000)))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnreadableFile, match="cut short"):
        load(lake, path)
    assert lake.snapshot("shop").versions == {}


@pytest.mark.fault
@pytest.mark.parametrize("name", ["missing.csv", "notes.docx", "broken.parquet"])
def test_a_file_that_is_not_what_it_says_is_refused(lake: Lake, tmp_path: Path, name: str) -> None:
    if name != "missing.csv":
        (tmp_path / name).write_bytes(b"not at all")
    with pytest.raises(UnreadableFile, match=name):
        load(lake, tmp_path / name)
    with pytest.raises(UnknownName, match="known: contents"):
        load(lake, tmp_path / name, "orders")


@pytest.mark.fault
def test_a_full_quarantine_imports_nothing(lake: Lake, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", line("good"), *(line(i, ts="soon") for i in range(4)))
    with pytest.raises(QuarantineFull, match=r"4 rows.*quarantine_limit = 3; first: line 3, ts"):
        import_file(lake, replace(SHOP, quarantine_limit=3), "events", path)
    assert lake.snapshot("shop").versions == {}
    assert import_file(lake, replace(SHOP, quarantine_limit=4), "events", path).quarantined == 4


@pytest.mark.fault
def test_conflicts_count_against_the_quarantine_limit(lake: Lake, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", line("a"), line("a", amount=1), line("b"))
    with pytest.raises(QuarantineFull):
        import_file(lake, replace(SHOP, quarantine_limit=0), "events", path)
    assert lake.snapshot("shop").versions == {}
    assert not list(lake.folder("shop").rglob("day=*/*.parquet"))


@pytest.mark.fault
def test_a_clock_from_the_future_is_set_to_now_and_known_again(lake: Lake, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", line("a", ts="2199-01-01T08:00:00+08:00"), line("b"))
    before = datetime.now(UTC)
    assert counts(load(lake, path)) == (2, 2, 0, 0, 0)
    _, future = events(lake)
    assert before <= future["ts"] == future["received_at"] <= datetime.now(UTC)
    assert json.loads(future["properties"]) == {"sent_ts": "2199-01-01T00:00:00+00:00"}
    assert counts(load(lake, path)) == (2, 0, 2, 0, 0)
    lake.compact("shop", keep_hours=0)
    assert counts(load(lake, path)) == (2, 0, 2, 0, 0)


@pytest.mark.fault
def test_every_event_in_the_same_second(lake: Lake, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", *(line(i, user=f"u{i % 7}") for i in range(2000)))
    assert counts(load(lake, path)) == (2000, 2000, 0, 0, 0)
    bounds = lake.snapshot("shop").bounds()
    assert bounds == (datetime.fromisoformat(MOMENT), datetime.fromisoformat(MOMENT), 2000)


@pytest.mark.fault
def test_a_lake_in_use_is_waited_for_and_then_named(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake", wait_s=0)
    path = write(tmp_path / "a.csv", line("a"))
    with lake.writing("shop"), pytest.raises(AnotherRunning):
        load(lake, path)
    assert counts(load(lake, path)) == (1, 1, 0, 0, 0)


def test_progress_is_told(lake: Lake, tmp_path: Path) -> None:
    heard: list[float] = []
    path = write(tmp_path / "a.csv.gz", line("a"))
    import_file(lake, SHOP, "events", path, on_progress=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_the_mapping_must_be_for_the_table(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="table"):
        load(lake, write(tmp_path / "a.csv"), "items", PLAIN_MAPPING)


def test_another_encoding_is_read_by_its_name(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(f"user_id,ts,type\n小明,{MOMENT},浏览\n".encode("gb18030"))
    assert counts(load(lake, path, mapping=PLAIN_MAPPING + '\n[file]\nencoding = "gb18030"')) == (1, 1, 0, 0, 0)
    assert [(row["user_id"], row["type"]) for row in events(lake)] == [("小明", "浏览")]


CHILD = """
import os, signal, sys
from pathlib import Path
from portraits.importing import import_file
from portraits.lake import Lake
from portraits.settings import AppSettings

root, path, function, times = sys.argv[1:]
left = int(times)

def die(frame, event, arg):
    global left
    if event == "return" and frame.f_code.co_name == function and "/portraits/" in frame.f_code.co_filename:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

if function:
    sys.setprofile(die)
report = import_file(Lake(Path(root)), AppSettings("shop"), "events", Path(path))
print(report.rows, report.accepted, report.duplicates, report.filtered, report.quarantined)
"""

MOMENTS = {
    "while reading": ("_write", 1),
    "while comparing with the lake": ("_judge_chunk", 1),
    "with files written and none committed": ("_write_days", 1),
    "between the quarantine and the events": ("store", 1),
    "after the commit": ("_commit", 1),
}


def child(lake: Lake, path: Path, function: str = "", times: int = 0) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", CHILD, str(lake.root), str(path), function, str(times)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": os.getcwd()})


@pytest.mark.fault
@pytest.mark.parametrize("moment", list(MOMENTS))
def test_a_killed_import_leaves_the_lake_as_it_was_and_runs_again(lake: Lake, tmp_path: Path, moment: str) -> None:
    days = [datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=i % 5) for i in range(200)]
    load(lake, write(tmp_path / "first.csv", *(line(i, ts=days[i].isoformat()) for i in range(50))))
    rows = [line(i, ts=days[i].isoformat()) for i in range(200)]
    path = write(tmp_path / "second.csv", *rows, line("bad", ts="soon"), line("0", ts=days[0].isoformat(), amount=1))
    before = events(lake)

    process = child(lake, path, *MOMENTS[moment])
    process.communicate()
    assert process.returncode == -signal.SIGKILL

    committed = moment == "after the commit"
    assert len(events(lake)) == (200 if committed else 50)
    assert len(refused(lake)) == (2 if committed else 0)
    if not committed:
        assert events(lake) == before
    assert counts(load(lake, path)) == ((202, 0, 200, 0, 2) if committed else (202, 150, 50, 0, 2))
    assert len(events(lake)) == 200
    assert [row[0] for row in refused(lake)] == [202, 203]
    assert counts(load(lake, path)) == (202, 0, 200, 0, 2)

    assert [entry.name for entry in (lake.folder("shop") / ".staging").iterdir()] == ["sweeping"]
    lake.compact("shop", keep_hours=0)
    snapshot = lake.snapshot("shop")
    assert set(snapshot.files("events")) == set(lake.folder("shop").rglob("day=*/*.parquet")), "no orphan stays"
    assert len(events(lake)) == 200


@pytest.mark.fault
def test_two_imports_at_once_import_each_row_once(lake: Lake, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", *(line(i) for i in range(3000)))
    results = [tuple(map(int, process.communicate()[0].split())) for process in [child(lake, path), child(lake, path)]]
    assert sorted(results) == [(3000, 0, 3000, 0, 0), (3000, 3000, 0, 0, 0)]
    assert len(events(lake)) == 3000
