"""The two checkers agree: what `checking.check` says of a record, an imported file says too, with the same value."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from portraits.checking import Rejection, check
from portraits.engine import connect
from portraits.history import EVENTS, ITEMS, OFFERS, TABLES, USERS, Column, Kind, Table
from portraits.importing import import_file
from portraits.lake import Lake
from portraits.settings import AppSettings

BRIEF = settings(
    max_examples=10,
    phases=[Phase.explicit, Phase.generate],  # an import an example is too slow to shrink by
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
SHOP = AppSettings("shop", quarantine_limit=10**6)

TIMES = [
    "2026-03-02T10:00:00Z",
    "2026-03-02 10:00:00.123456+08:00",
    "2026-03-02T10:00:00.1-03:30",
    "2026-03-02T10:00:00.1234567Z",
    "20260302T100000Z",
    "2026-03-02T10:00Z",
    "2026-03-02T10+08",
    "2026-W10-1T10:00:00Z",
    "2026-02-30T10:00:00Z",
    "2026-03-02T24:00:00Z",
    "2026-03-02T23:59:60Z",
    "2026-03-02T10:00:00+23:59",
    "2026-03-02T10:00:00",
    "1969-12-31T23:59:59Z",
    "2200-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "yesterday",
    "１９９９-01-01T00:00:00Z",
]
NUMBERS = [
    "0",
    "-1",
    "1.5",
    "1.00005",
    "0.00004999",
    "1e3",
    "1e-7",
    "007",
    "+3",
    " 4",
    "1_000",
    "12345678901.123456789",
]
EDGES = [
    "",
    "x" * 128,
    "x" * 129,
    "x" * 1025,
    "茶🍵" * 60,
    "a\tb",
    "nan",
    "Infinity",
    "true",
    "null",
    "[]",
    "{}",
    "9" * 40,
]
WHOLE = st.one_of(st.integers(-3, 10**6), st.sampled_from([2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**30]))
TEXTS = st.one_of(st.text(max_size=12), st.sampled_from(TIMES + NUMBERS + EDGES))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), WHOLE, st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)
GOOD = {
    Kind.ID: st.text("ab茶🍵 ", min_size=1, max_size=5),
    Kind.TEXT: st.text("ab茶🍵\n\"'", min_size=1, max_size=5),
    Kind.TIME: st.sampled_from(TIMES[:3]),
    Kind.INTEGER: st.integers(0, 10**9),
    Kind.DECIMAL: st.one_of(st.integers(0, 99), st.floats(0, 999), st.sampled_from(["1.5", "2"])),
    Kind.BOOLEAN: st.booleans(),
    Kind.LIST: st.lists(st.text("ab茶", min_size=1, max_size=3), min_size=1, max_size=3),
    Kind.JSON: st.dictionaries(
        st.text("ba", max_size=2), st.one_of(WHOLE, st.booleans(), st.text(max_size=3)), max_size=3
    ),
}


def fitting(column: Column) -> st.SearchStrategy[Any]:
    """Good values of a column, to its edges."""
    if column.words:
        return st.lists(st.sampled_from(column.words), min_size=1, max_size=3)
    if column.maximum is not None:
        return st.one_of(st.integers(1, column.maximum), st.just(column.maximum))
    return GOOD[column.kind]


def records(table: Table) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Records that are mostly good, with one odd value each (received_at clamps ts, which has a test of its own)."""
    columns = [column for column in table.columns if column.name != "received_at"]
    good = st.fixed_dictionaries(
        {c.name: fitting(c) for c in columns if c.required},
        optional={c.name: fitting(c) for c in columns if not c.required},
    )
    odd = st.tuples(good, st.sampled_from([column.name for column in columns]), JSON).map(
        lambda pick: pick[0] | {pick[1]: pick[2]}
    )
    return st.lists(st.one_of(good, odd), min_size=1, max_size=40)


def verdict(table: Table, record: dict[str, Any]) -> dict[str, Any] | Rejection:
    """What `checking.check` says; an event of a file may be without its id."""
    made = table is EVENTS and record.get(table.key) in (None, "")
    row = check(table, record | {table.key: "made"} if made else record)
    return row | {table.key: None} if made and isinstance(row, dict) else row


def compare(folder: Path, table: Table, path: Path, expected: list[dict[str, Any] | Rejection]) -> None:
    """Imports the file and holds every line against what `checking.check` said of it."""
    lake = Lake(folder / "lake")
    report = import_file(lake, SHOP, table.name, path)
    assert report.rows == len(expected)
    snapshot, con = lake.snapshot("shop"), connect()
    refused = {row["line"]: row for row in snapshot.quarantine(con).to_pyarrow().to_pylist()}
    wrong = {line: why for line, why in enumerate(expected, 1) if isinstance(why, Rejection)}
    told = {line: (row["column"], row["reason"]) for line, row in refused.items() if "conflict" not in row["reason"]}
    assert told == {line: (why.column, why.reason) for line, why in wrong.items()}
    rows = snapshot.events(con) if table is EVENTS else snapshot.catalogue(con, table.name)
    taken = [_plain(row, table) for row in rows.to_pyarrow().to_pylist()]
    good = [_plain(row, table) for row in expected if isinstance(row, dict)]
    assert all(row in good for row in taken)
    if table is EVENTS:
        assert report.accepted + report.duplicates + report.quarantined - len(wrong) == len(good)


def _plain(row: dict[str, Any], table: Table) -> dict[str, Any]:
    """A row without what an import sets itself."""
    return {name: row[name] for name in table.names if name not in ("received_at", "event_id")}


@pytest.mark.law
@pytest.mark.parametrize("table", [EVENTS, ITEMS, USERS, OFFERS], ids=lambda table: table.name)
@BRIEF
@given(data=st.data())
def test_json_lines_are_judged_as_requests_are(tmp_path_factory: Any, table: Table, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("json")
    sent = data.draw(records(table))
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in sent), encoding="utf-8")
    compare(folder, table, path, [verdict(table, record) for record in sent])


TEXT_KINDS = (Kind.ID, Kind.TEXT, Kind.TIME, Kind.DECIMAL)
TEXT_COLUMNS = [c for c in EVENTS.columns if c.kind in TEXT_KINDS and c.name != "received_at"]


@pytest.mark.law
@BRIEF
@given(data=st.data())
def test_text_columns_of_a_csv_are_judged_as_requests_are(tmp_path_factory: Any, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("csv")
    text = st.one_of(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), max_size=9), TEXTS)
    names = [column.name for column in TEXT_COLUMNS]
    good = st.fixed_dictionaries({c.name: GOOD[c.kind].map(str) for c in TEXT_COLUMNS})
    odd = st.tuples(good, st.sampled_from(names), text).map(lambda pick: pick[0] | {pick[1]: pick[2]})
    sent = [
        {k: v.replace("\0", "") for k, v in row.items()} for row in data.draw(st.lists(odd, min_size=1, max_size=40))
    ]
    path = folder / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(sent)
    expected = {}
    at = 2
    for record in sent:
        expected[at] = verdict(EVENTS, record)
        at += 1 + sum(value.count("\n") for value in record.values())
    lake = Lake(folder / "lake")
    report = import_file(lake, SHOP, "events", path)
    assert report.rows == len(sent)
    rows = lake.snapshot("shop").quarantine(connect()).to_pyarrow().to_pylist()
    told = {row["line"]: (row["column"], row["reason"]) for row in rows if "conflict" not in row["reason"]}
    assert told == {line: (why.column, why.reason) for line, why in expected.items() if isinstance(why, Rejection)}


BOUNDS = {
    "valid_hours": ("87600", "87601"),
    "budget": ("1" + "0" * 15, "9" * 16),
    "days": ("7|1", "8"),
    "hours": ("0", "24"),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_offers_have_bounds_in_files_too(tmp_path: Path, name: str) -> None:
    path = tmp_path / "offers.csv"
    path.write_text(f"offer_id,kind,{name}\n" + "".join(f"{n},cash,{value}\n" for n, value in enumerate(BOUNDS[name])))
    report = import_file(Lake(tmp_path / "lake"), SHOP, "offers", path)
    assert (report.accepted, report.quarantined) == (1, 1)


def test_a_share_of_an_order_is_no_more_than_all_of_it_in_files_too(tmp_path: Path) -> None:
    """Whatever the file's form; a reason that the quarantine shows."""
    rows = [("a", "discount", 10_000), ("b", "member", 10_001), ("c", "discount", 10_001), ("d", "cash", 10_001)]
    (tmp_path / "o.csv").write_text("offer_id,kind,value\n" + "".join(f"{i},{k},{v}\n" for i, k, v in rows))
    told = [json.dumps({"offer_id": i, "kind": k, "value": v}) for i, k, v in rows]
    (tmp_path / "o.jsonl").write_text("\n".join(told))
    pq.write_table(pa.Table.from_pylist([json.loads(one) for one in told]), tmp_path / "o.parquet")
    for form in ("csv", "jsonl", "parquet"):
        lake = Lake(tmp_path / form)
        report = import_file(lake, SHOP, "offers", tmp_path / f"o.{form}")
        assert (report.accepted, report.quarantined) == (2, 2), form
        kept = lake.snapshot("shop").quarantine(connect()).to_pyarrow().to_pylist()
        assert {(row["column"], row["value"], row["reason"]) for row in kept} == {
            ("value", "10001", "more than 10000 basis points, all of an order")
        }


NATIVE = {
    "ids as numbers": ("item_id", pa.array([7], pa.int64()), "7"),
    "money as a whole float": ("amount", pa.array([250.0]), 250),
    "money as decimal": ("amount", pa.array([250], pa.decimal128(9, 2)), 250),
    "money as text": ("amount", pa.array(["250"]), 250),
    "properties as a struct": ("properties", pa.array([{"b": 1, "a": "茶"}]), '{"a":"茶","b":1}'),
    "a dictionary column": ("type", pa.array(["view"]).dictionary_encode(), "view"),
    "a large string": ("page", pa.array(["p"], pa.large_string()), "p"),
}


@pytest.mark.parametrize("case", list(NATIVE))
def test_typed_columns_of_parquet_are_taken_as_they_are(tmp_path: Path, case: str) -> None:
    name, array, expected = NATIVE[case]
    lake = Lake(tmp_path / "lake")
    assert import_file(lake, SHOP, "events", _parquet(tmp_path, name, array)).accepted == 1
    (row,) = lake.snapshot("shop").events(connect()).to_pyarrow().to_pylist()
    assert row[name] == expected


WRONG = {
    "money with a fraction": ("amount", pa.array([2.5]), "not a whole number"),
    "no number": ("amount", pa.array([float("nan")]), "not a whole number"),
    "money below zero": ("amount", pa.array([-5]), "less than 0"),
    "a time without an offset": ("ts", pa.array([0], pa.timestamp("us")), "time without an offset; add Z or +08:00"),
    "a date": ("ts", pa.array([0], pa.date32()), "time without an offset; add Z or +08:00"),
    "bytes": ("user_id", pa.array([b"\xff"], pa.binary()), "not a string"),
    "a number where text is due": ("page", pa.array([1.5]), "not a string"),
    "a NUL": ("page", pa.array(["a\0b"]), "not valid text"),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_typed_columns_of_parquet_are_refused_with_the_reason(tmp_path: Path, case: str) -> None:
    name, array, reason = WRONG[case]
    lake = Lake(tmp_path / "lake")
    assert import_file(lake, SHOP, "events", _parquet(tmp_path, name, array)).quarantined == 1
    (row,) = lake.snapshot("shop").quarantine(connect()).to_pyarrow().to_pylist()
    assert (row["line"], row["column"], row["reason"]) == (1, name, reason)


def _parquet(folder: Path, name: str, array: pa.Array) -> Path:
    columns = {
        "user_id": pa.array(["u"]),
        "ts": pa.array([1_700_000_000], pa.timestamp("s", tz="UTC")),
        "type": pa.array(["view"]),
    }
    pq.write_table(pa.table(columns | {name: array}), folder / "rows.parquet")
    return folder / "rows.parquet"


def test_the_kinds_of_the_contract_are_all_covered_here() -> None:
    kinds = {column.kind for table in TABLES.values() for column in table.columns}
    assert kinds == set(Kind) == set(GOOD)
    assert isinstance(EVENTS.columns[0], Column)
