"""Mappings: names, money, times, filters, several events a row; and errors that name the key of the file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from portraits.engine import connect
from portraits.errors import InvalidValue, UnreadableFile
from portraits.importing import ImportReport, import_file
from portraits.lake import Lake
from portraits.mapping import Mapping
from portraits.settings import AppSettings

SHOP = AppSettings("shop")
REQUIRED = 'user_id = "who"\nts = { constant = "2026-03-02T00:00:00Z" }\ntype = { constant = "view" }\n'


def imported(
    folder: Path, mapping: str, text: str, name: str = "rows.csv"
) -> tuple[ImportReport, list[dict[str, Any]], list[dict[str, Any]]]:
    """The report, the events by line order, and the quarantined rows."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    lake = Lake(folder / "lake")
    parsed = Mapping.parse(mapping)
    report = import_file(lake, SHOP, parsed.table.name, path, parsed)
    assert report.accepted + report.duplicates + report.filtered + report.quarantined == report.rows
    snapshot, con = lake.snapshot("shop"), connect()
    events = snapshot.events(con).order_by(["user_id", "ts", "type"]).to_pyarrow().to_pylist()
    return report, events, snapshot.quarantine(con).order_by("line").to_pyarrow().to_pylist()


def mapping(columns: str, rest: str = "") -> str:
    return f'table = "events"\n{rest}\n[columns]\n{REQUIRED}{columns}\n'


@pytest.mark.parametrize(
    ("text", "decimals", "expected"),
    [
        ("2.55", 2, 255),
        ("0.29", 2, 29),
        ("1.005", 2, 101),  # half up, and 1.005 is no binary fraction
        ("1.004999999999", 2, 100),
        ("8142.75", 2, 814275),
        ("  3 ", 2, 300),
        ("12", 0, 12),
        ("90071992547409.93", 2, 9007199254740993),  # 2**53 + 1: a float would lose it
    ],
)
def test_money_becomes_minor_units_exactly(tmp_path: Path, text: str, decimals: int, expected: int) -> None:
    columns = f'amount = {{ column = "price", decimals = {decimals} }}'
    _, events, _ = imported(tmp_path, mapping(columns), f"who,price\nu,{text}\n")
    assert events[0]["amount"] == expected


def test_money_that_is_none_is_quarantined_with_its_value(tmp_path: Path) -> None:
    columns = 'amount = { column = "price", decimals = 2 }'
    report, _, refused = imported(tmp_path, mapping(columns), "who,price\nu,free\nu,\nu,-1\n")
    assert (report.accepted, report.quarantined) == (1, 2)
    assert [(row["line"], row["column"], row["value"], row["reason"]) for row in refused] == [
        (2, "amount", "free", "not an amount of money with 2 decimals"),
        (4, "amount", "-100", "less than 0"),
    ]


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        (
            '{ column = "at", format = "%d/%m/%Y %H:%M", zone = "Europe/London" }',
            "02/07/2011 09:30",
            (2011, 7, 2, 8, 30),
        ),
        (
            '{ column = "at", format = "%d/%m/%Y %H:%M", zone = "Europe/London" }',
            "02/12/2011 09:30",
            (2011, 12, 2, 9, 30),
        ),
        ('{ column = "at", format = "%Y%m%d %H%M %z" }', "20260302 1000 +0800", (2026, 3, 2, 2, 0)),
        ('{ column = "at", zone = "Asia/Shanghai" }', "2026-03-02 10:00:00", (2026, 3, 2, 2, 0)),
        ('{ column = "at", zone = "Asia/Shanghai" }', "2026-03-02", (2026, 3, 1, 16, 0)),
        ('{ column = "at", zone = "Asia/Shanghai" }', "2026-03-02T10:00:00+00:00", (2026, 3, 2, 10, 0)),
        ('{ column = "at", epoch = "seconds" }', "1772445600", (2026, 3, 2, 10, 0)),
        ('{ column = "at", epoch = "milliseconds" }', "1772445600000", (2026, 3, 2, 10, 0)),
        ('"at"', "2026-03-02T10:00:00Z", (2026, 3, 2, 10, 0)),
    ],
)
def test_times_are_read_by_format_zone_or_epoch(
    tmp_path: Path, source: str, text: str, expected: tuple[int, ...]
) -> None:
    toml = f'table = "events"\n[columns]\nuser_id = "who"\nts = {source}\ntype = {{ constant = "view" }}'
    _, events, _ = imported(tmp_path, toml, f"who,at\nu,{text}\n")
    year, month, day, hour, minute = expected
    assert events[0]["ts"] == datetime(year, month, day, hour, minute, tzinfo=UTC)


def test_a_time_of_another_format_is_quarantined(tmp_path: Path) -> None:
    toml = mapping("").replace(
        '{ constant = "2026-03-02T00:00:00Z" }', '{ column = "at", format = "%Y-%m", zone = "UTC" }'
    )
    _, _, refused = imported(tmp_path, toml, "who,at\nu,March\n")
    assert [(row["column"], row["value"], row["reason"]) for row in refused] == [("ts", "March", "not a time as %Y-%m")]


@pytest.mark.parametrize(("word", "kind"), [("row order", "order"), ("none", "none")])
def test_a_file_without_time(tmp_path: Path, word: str, kind: str) -> None:
    toml = f'table = "events"\n[columns]\nuser_id = "who"\nts = "{word}"\ntype = {{ constant = "view" }}'
    report, events, _ = imported(tmp_path, toml, "who\na\nb\nb\n")
    assert report.time_kind == Lake(tmp_path / "lake").time_kind("shop") == kind
    assert len(events) == 3
    assert ([row["ts"] for row in events] == sorted({row["ts"] for row in events})) is (kind == "order")


def test_rows_left_out_are_counted_by_condition(tmp_path: Path) -> None:
    left_out = '[leave_out]\n"no visitor" = "who IS NULL"\n"too cheap" = "price::INT < 5"'
    report, events, refused = imported(
        tmp_path, mapping('amount = "price"', left_out), "who,price\nu,9\n,9\n,1\nu,1\nu,dear\n"
    )
    assert (report.rows, report.accepted, report.filtered, report.quarantined) == (5, 1, 3, 1)
    assert report.filtered_by == {"no visitor": 2, "too cheap": 1}
    assert len(events) == 1
    assert refused[0]["value"] == "dear", "a condition that fails on a row leaves it to the check"


SEVERAL = """
table = "events"
[file]
columns = ["who", "item"]
rest = "friends"
[columns]
ts = "none"
item_id = "item"
group_id = { sql = "_file || '/' || _line" }
[[event]]
when = "item <> 'none'"
columns = { user_id = "who", type = { constant = "group_open" } }
[[event]]
each = "string_split(friends, chr(9))"
columns = { user_id = { sql = "each" }, type = { constant = "group_join" }, referrer_user_id = "who" }
"""


def test_a_row_becomes_several_events(tmp_path: Path) -> None:
    report, events, _ = imported(tmp_path, SEVERAL, "ann\ttea\tbob\tcid\nbob\tcup\ncid\tnone\n", "groups.tsv")
    assert (report.rows, report.accepted, report.filtered, report.events) == (3, 2, 1, 4)
    assert report.filtered_by == {"makes no event": 1}
    told = [(row["user_id"], row["type"], row["group_id"], row["referrer_user_id"]) for row in events]
    assert told == [
        ("ann", "group_open", "groups/1", None),
        ("bob", "group_join", "groups/1", "ann"),
        ("bob", "group_open", "groups/2", None),
        ("cid", "group_join", "groups/1", "ann"),
    ]


def test_a_row_of_which_one_event_is_refused_makes_none(tmp_path: Path) -> None:
    report, events, refused = imported(tmp_path, SEVERAL, f"ann\ttea\tbob\t{'x' * 129}\nbob\tcup\n", "groups.tsv")
    assert (report.rows, report.accepted, report.quarantined, report.events) == (2, 1, 1, 1)
    assert [row["user_id"] for row in events] == ["bob"]
    assert [(row["line"], row["column"]) for row in refused] == [(1, "user_id")]


def test_an_expression_that_fails_on_a_row_quarantines_that_row(tmp_path: Path) -> None:
    columns = 'quantity = { sql = "(price::INT * 2)::VARCHAR" }'
    report, events, refused = imported(tmp_path, mapping(columns), "who,price\nu,2\nu,x\n")
    assert [row["quantity"] for row in events] == [4]
    assert report.quarantined == 1
    assert (refused[0]["line"], refused[0]["column"]) == (3, "quantity")
    assert refused[0]["reason"] == "the expression fails: (price::INT * 2)::VARCHAR"


def test_json_lines_can_be_mapped(tmp_path: Path) -> None:
    text = '{"who": "u", "price": {"yuan": 1.5}}\nnot json\n'
    columns = """amount = { sql = "_json ->> '$.price.yuan'", decimals = 2 }"""
    report, events, refused = imported(tmp_path, mapping(columns), text, "rows.jsonl")
    assert [row["amount"] for row in events] == [150]
    assert (report.quarantined, refused[0]["reason"]) == (1, "not a JSON object")


def test_columns_that_nothing_uses_are_reported(tmp_path: Path) -> None:
    report, _, _ = imported(tmp_path, mapping('page = { sql = "upper(shown)" }'), "who,shown,spare\nu,a,b\n")
    assert report.ignored_columns == ("spare",)


ITEMS = "table = 'items'\n[columns]\nitem_id = "
WRONG = {
    "table = 'orders'": "table = 'orders'",
    "table = 'events'\nfilters = 1": "filters = 1",
    "table = 'events'\n[columns]\nuser_id = 'u'\nts = 'none'": "columns.type = None",
    ITEMS + "'i'\ncolour = 'c'": "columns.colour = 'c'",
    ITEMS + "{ constant = 'a', sql = 'b' }": "columns.item_id = ",
    ITEMS + "{ name = 'a' }": "columns.item_id.name = 'a'",
    ITEMS + "{ column = 'a', decimals = 2 }": "columns.item_id.decimals = 2",
    ITEMS + "'a'\nprice = { column = 'p', decimals = 9 }": "columns.price.decimals = 9",
    ITEMS + "'a'\ncreated_at = { column = 'c', format = '%Y' }": "columns.created_at.zone",
    ITEMS + "'a'\ncreated_at = { column = 'c', zone = 'Mars' }": "columns.created_at.zone",
    ITEMS + "'a'\ncreated_at = { column = 'c', epoch = 'years' }": "columns.created_at.epoch",
    ITEMS + "'a'\n[file]\ndelimiter = '||'": "file.delimiter = '||'",
    ITEMS + "'a'\n[file]\nencoding = 'klingon'": "file.encoding = 'klingon'",
    ITEMS + "'a'\n[file]\nrest = 'r'": "file.rest = 'r'",
    ITEMS + "'a'\n[leave_out]\nx = 1": "leave_out.x = 1",
    ITEMS + "'a'\n[[event]]\nwhen = 'true'": "event = 'items'",
    "table = 'items'\ncolumns = 3": "columns = 3",
}


@pytest.mark.parametrize("text", list(WRONG))
def test_an_error_names_the_key(text: str) -> None:
    with pytest.raises(InvalidValue) as told:
        Mapping.parse(text)
    assert str(told.value).startswith(WRONG[text])


def test_an_expression_that_does_not_bind_names_its_key(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"columns\.page = 'upper\(colour\)'.*colour"):
        imported(tmp_path, mapping('page = { sql = "upper(colour)" }'), "who\nu\n")
    with pytest.raises(InvalidValue, match=r"leave_out\.odd = 'who >'"):
        imported(tmp_path, mapping("", '[leave_out]\nodd = "who >"'), "who\nu\n")


def test_columns_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"no column price; it has who, cost"):
        imported(tmp_path, mapping('amount = "price"'), "who,cost\nu,1\n")


@pytest.mark.parametrize("data", [b"table = ", b"\xff"])
def test_a_file_that_is_no_mapping_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.toml").write_bytes(data)
    with pytest.raises(UnreadableFile, match=r"m\.toml"):
        Mapping.load(tmp_path / "m.toml")
    with pytest.raises(UnreadableFile, match=r"none\.toml"):
        Mapping.load(tmp_path / "none.toml")
