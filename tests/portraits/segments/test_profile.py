"""The profile of a segment on planted visitors."""

from __future__ import annotations

from typing import Any

import ibis
import pytest

from portraits.errors import InvalidValue, UnknownName
from portraits.field import Field
from portraits.segments.profile import BASE, INSIDE, profile
from portraits.segments.significance import false_discovery, two_proportions


def field(name: str, dtype: str, least: float | None = None, most: float | None = None) -> Field:
    return Field(name, "planted", dtype, "-", least, most, (), None, False, "events", "Planted.")


FIELDS = {
    one.name: one
    for one in (
        field("stage", "string"),
        field("member", "boolean"),
        field("class", "int64", 1, 5),
        field("spend", "int64", 0),
        field("seen", "timestamp"),
        field("categories", "array<struct<tag: string, weight: float64>>"),
    )
}


def person(
    stage: str | None, *, inside: bool, base: bool = True, spend: int = 0, tags: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {
        INSIDE: inside,
        BASE: base,
        "stage": stage,
        "member": stage == "loyal",
        "class": 1 + spend % 5,
        "spend": spend,
        "categories": [{"tag": tag, "weight": 0.5} for tag in tags],
    }


def table(people: list[dict[str, Any]]) -> ibis.Table:
    schema = {
        INSIDE: "boolean",
        BASE: "boolean",
        "stage": "string",
        "member": "boolean",
        "class": "int64",
        "spend": "int64",
        "categories": "array<struct<tag: string, weight: float64>>",
    }
    return ibis.memtable(people, schema=schema)


PLANTED = [
    *[person("loyal", inside=True, tags=("tea", "tea > green")) for _ in range(60)],
    *[person("new", inside=True, tags=("tea",)) for _ in range(40)],
    *[person("loyal", inside=False, tags=("ware",)) for _ in range(60)],
    *[person("new", inside=False, tags=("ware", "tea")) for _ in range(140)],
]


def test_shares_index_and_significance_of_planted_stages() -> None:
    told = profile(table(PLANTED), FIELDS, ["stage"])
    assert (told.inside, told.base, told.suppressed) == (100, 300, {})
    loyal, new = told.cells
    assert (loyal.value, loyal.inside, loyal.share, loyal.base_share) == ("loyal", 60, 0.6, 120 / 300)
    assert loyal.tgi == pytest.approx(150)
    assert new.tgi == pytest.approx(100 * 0.4 / 0.6)
    assert loyal.p == two_proportions(60, 100, 60, 200)
    assert [loyal.q, new.q] == false_discovery([loyal.p, new.p])


def test_a_field_that_is_asked_for_twice_is_told_once() -> None:
    people = table(PLANTED)
    assert profile(people, FIELDS, ["stage", "stage"]) == profile(people, FIELDS, ["stage"])


def test_tags_are_counted_one_by_one() -> None:
    told = {cell.value: cell for cell in profile(table(PLANTED), FIELDS, ["categories"]).cells}
    assert set(told) == {"tea", "tea > green"}, "no member looked at ware"
    assert told["tea"].tgi == pytest.approx(100 * 1.0 / (240 / 300))
    assert told["tea > green"].share == 0.6


def test_without_a_wish_all_words_classes_and_tags_are_counted() -> None:
    fields = {name: one for name, one in FIELDS.items() if name != "seen"}
    assert {cell.field for cell in profile(table(PLANTED), fields).cells} == {"stage", "member", "class", "categories"}


def test_numbers_are_cut_at_the_quartiles_of_the_base() -> None:
    people = [person("new", inside=spend >= 150, spend=spend) for spend in range(200)]
    told = profile(table(people), FIELDS, ["spend"])
    assert [(cell.value, cell.inside, cell.tgi) for cell in told.cells] == [("> 149.25", 50, pytest.approx(400))]


def test_a_base_of_its_own_is_compared_with_those_outside_the_segment() -> None:
    people = [
        *[person("loyal", inside=True, base=False) for _ in range(20)],
        *[person("loyal", inside=True) for _ in range(20)],
        *[person("new", inside=True) for _ in range(10)],
        *[person("loyal", inside=False) for _ in range(10)],
        *[person("new", inside=False) for _ in range(40)],
    ]
    told = profile(table(people), FIELDS, ["stage"])
    loyal = told.cells[0]
    assert (told.inside, told.base) == (50, 80)
    assert (loyal.share, loyal.base_share) == (40 / 50, 30 / 80)
    assert loyal.p == two_proportions(40, 50, 10, 50)


def test_nothing_is_told_of_a_small_segment_and_small_values_are_counted_only() -> None:
    few = [person("loyal", inside=place < 9) for place in range(100)]
    assert profile(table(few), FIELDS, ["stage"]).cells == ()
    some = [
        person("loyal" if place < 9 else "new" if place < 50 else "asleep", inside=place < 80) for place in range(120)
    ]
    told = profile(table(some), FIELDS, ["stage"])
    assert [cell.value for cell in told.cells] == ["asleep"]
    assert told.suppressed == {"stage": 2}, "the 9 alone could be had by subtraction"


def test_what_cannot_be_profiled_is_refused() -> None:
    with pytest.raises(UnknownName, match="colour"):
        profile(table(PLANTED), FIELDS, ["colour"])
    with pytest.raises(InvalidValue, match="seen"):
        profile(table(PLANTED), FIELDS, ["seen"])
