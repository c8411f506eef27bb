"""Rows of pins and boosts at the edge: what is taken, what is refused with its column, and what files bring."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from planted_shelf import NOW

from portraits.errors import InvalidValue, UnreadableFile
from recommender.answers.catalogue import Catalogue
from recommender.answers.promotions import Boost, Pin
from recommender.types import Query
from serving.promotions import RULES, check_rules, promotions, read_rules, unknown, when
from serving.stores.rows import as_text

PIN = {"rule_id": "p", "kind": "pin", "item_id": "tea", "position": 2}
BOOST = {"rule_id": "b", "kind": "boost", "brand": "Lu", "factor": 2.5}
QUERY = Query("ann", 3, NOW, placement="home")


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (PIN | {"kind": "push"}, "kind"),
        ({"rule_id": "p", "kind": "pin", "position": 1}, "item_id"),
        ({"rule_id": "p", "kind": "pin", "item_id": "tea"}, "position"),
        (PIN | {"position": 0}, "position"),
        (PIN | {"position": 1_001}, "position"),
        (PIN | {"position": "1"}, "position"),
        (PIN | {"factor": 2}, "factor"),
        (PIN | {"category": "food"}, "category"),
        (BOOST | {"factor": 0.09}, "factor"),
        (BOOST | {"factor": 10.1}, "factor"),
        (BOOST | {"factor": "much"}, "factor"),
        ({"rule_id": "b", "kind": "boost", "brand": "Lu"}, "factor"),
        ({"rule_id": "b", "kind": "boost", "factor": 2}, "item_id"),
        (BOOST | {"tag": "gift"}, "tag"),
        (BOOST | {"position": 1}, "position"),
        (BOOST | {"starts": "2026-03-01T00:00:00"}, "starts"),
        (BOOST | {"starts": "2026-03-02T00:00:00Z", "ends": "2026-03-02T08:00:00+08:00"}, "ends"),
        (BOOST | {"colour": "red"}, "colour"),
        ({"kind": "pin", "item_id": "tea", "position": 1}, "rule_id"),
    ],
)
def test_a_row_that_cannot_be_taken_is_named(row: dict[str, Any], column: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        check_rules([PIN, row])
    assert refused.value.field == f"rules[1].{column}"


@pytest.mark.parametrize("factor", [0.1, 1, 10, "2.5"])
def test_the_bounds_of_a_factor_may_be_given(factor: Any) -> None:
    (row,) = check_rules([BOOST | {"factor": factor}])
    assert promotions([row]).boosts(QUERY) == [Boost("brand", "Lu", float(factor))]


@pytest.mark.parametrize(("column", "by"), [("item_id", "item"), ("category", "category"), ("tag", "tag")])
def test_a_boost_goes_by_one_thing(column: str, by: str) -> None:
    (row,) = check_rules([{"rule_id": "b", "kind": "boost", "factor": 2, column: "x"}])
    assert promotions([row]).boosts(QUERY) == [Boost(by, "x", 2.0)]


def test_rows_are_the_same_for_the_pipeline_before_and_after_the_store() -> None:
    rows = check_rules([PIN | {"starts": "2026-03-02T12:00:00+08:00", "placement": "home"}, BOOST])
    kept = [json.loads(as_text(row)) for row in rows]
    for given in (rows, kept):
        found = promotions(given)
        assert (found.pins(QUERY), found.boosts(QUERY)) == ([Pin("tea", 2)], [Boost("brand", "Lu", 2.5)])
        assert promotions(given).pins(Query("ann", 3, NOW)) == []


def test_when_a_rule_holds_is_told() -> None:
    (row,) = check_rules([PIN | {"starts": "2026-03-01T00:00:00Z", "ends": "2026-03-02T00:00:00Z"}])
    days = {day: when(row, datetime(2026, month, day, tzinfo=UTC)) for month, day in ((2, 28), (3, 1), (3, 2))}
    assert days == {28: "later", 1: "now", 2: "over"}


CSV = """rule_id,kind,item_id,position,factor,brand,ends
p,pin,tea,2,,,
b,boost,,,2.5,Lu,2026-03-03T00:00:00+08:00
"""


def test_files_of_every_kind_say_the_same(tmp_path: Path) -> None:
    rows = [PIN, BOOST | {"ends": "2026-03-03T00:00:00+08:00"}]
    files = {
        "rules.csv": CSV.encode(),
        "rules.json": json.dumps(rows).encode(),
        "rules.jsonl": "\n".join(map(json.dumps, rows)).encode(),
        "rules.csv.gz": gzip.compress(("\ufeff" + CSV).encode()),
    }
    for name, content in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert read_rules(path) == check_rules(rows), name


@pytest.mark.parametrize(
    ("name", "content"), [("r.json", b"{"), ("r.json", b"{}"), ("r.csv", b"\xff\xfe"), ("r.csv.gz", b"plain")]
)
def test_a_file_that_cannot_be_read_says_so(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnreadableFile):
        read_rules(path)


def test_a_wrong_line_of_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rules.csv"
    path.write_text("rule_id,kind,item_id,position\np,pin,tea,first\n")
    with pytest.raises(InvalidValue, match="position"):
        read_rules(path)


@pytest.mark.parametrize("line", ["p,pin,tea,1,2", '"p\nq",pin,tea,1,2'])
def test_a_line_with_a_cell_too_many_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rules.csv"
    path.write_text(f"rule_id,kind,item_id,position\n{line}\n")
    with pytest.raises(UnreadableFile, match=rf"line {1 + len(line.splitlines())} has more cells"):
        read_rules(path)


def test_a_rule_id_stands_once() -> None:
    with pytest.raises(InvalidValue, match=r"rules\[2\].rule_id = 'p'.*rules\[0\] has it"):
        check_rules([PIN, BOOST, PIN | {"position": 1}])


def test_rules_about_what_the_catalogue_does_not_know_are_told() -> None:
    catalogue = Catalogue.empty()
    catalogue.apply([{"item_id": "tea", "brand": "Lu", "category": ["food"], "tags": ["gift"]}])
    boost = {"kind": "boost", "factor": 2}
    known = [PIN, BOOST, boost | {"rule_id": "c", "category": "food"}, boost | {"rule_id": "t", "tag": "gift"}]
    others = [PIN | {"rule_id": "x", "item_id": "pot"}, boost | {"rule_id": "y", "category": "tea"}]
    assert unknown(check_rules(known + others), catalogue) == {"x": "item 'pot'", "y": "category 'tea'"}


def test_every_column_has_its_meaning() -> None:
    assert all(column.meaning for column in RULES.columns)
