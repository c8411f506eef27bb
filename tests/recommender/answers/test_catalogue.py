"""The night's catalogue and the day's changes over it: what is asked of one item or many, before and after."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from planted_shelf import Night, Row, item

from portraits.checking import check
from portraits.history import ITEMS
from recommender.answers.catalogue import Catalogue
from recommender.types import Filters

ROWS = [
    item("tea", title="绿茶 🍵", category=["food", "tea"], brand="Lu", price=1200, tags=["green"], store_ids=["s1"]),
    item("cup", title="Cup", category=["home"], brand="Po", price=500, stock=0),
    item("pot", category=["home", "tea"], price=3000, stock=2, tags=["new", "green"], store_ids=["s1", "s2"]),
    item("ink", hidden=True),
    item("pen", category=["office"]),
]

ALL = Filters()


def night() -> Catalogue:
    return Catalogue.from_bundle(Night(items=ROWS).bundle())


def by_day() -> Catalogue:
    catalogue = Catalogue.empty()
    catalogue.apply(ROWS)
    return catalogue


def allowed(catalogue: Catalogue, filters: Filters = ALL, removed: dict[str, int] | None = None) -> set[str]:
    items = np.arange(len(catalogue), dtype=np.int32)
    mask = catalogue.allowed(items, filters, removed)
    return {catalogue.item_id(one) for one in items[mask].tolist()}


@pytest.mark.parametrize("make", [night, by_day])
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), {"tea", "pot", "pen"}),
        (Filters(in_stock=True), {"tea", "pot", "pen"}),
        (Filters(in_stock=False), {"tea", "pot", "pen"}),
        (Filters(category=("tea",)), {"tea", "pot"}),
        (Filters(category=("food",)), {"tea"}),
        (Filters(category=("food", "office")), {"tea", "pen"}),
        (Filters(category=("food", "unheard of")), {"tea"}),
        (Filters(category=("unheard of",)), set()),
        (Filters(brand=("Lu",)), {"tea"}),
        (Filters(brand=("nobody",)), set()),
        (Filters(tags=("new",)), {"pot"}),
        (Filters(tags=("new", "green")), {"tea", "pot"}),
        (Filters(price_min=1200), {"tea", "pot"}),
        (Filters(price_max=1200), {"tea"}),
        (Filters(price_min=1201, price_max=2999), set()),
        (Filters(price_min=0), {"tea", "pot"}),
        (Filters(store_id="s2"), {"pot", "pen"}),
        (Filters(store_id="s9"), {"pen"}),
        (Filters(category=("tea",), store_id="s2", tags=("green",)), {"pot"}),
    ],
)
def test_filters_keep_what_they_say(make: Any, filters: Filters, expected: set[str]) -> None:
    assert allowed(make(), filters) == expected


@pytest.mark.parametrize("make", [night, by_day])
def test_an_item_is_counted_under_the_first_rule_it_broke(make: Any) -> None:
    removed: dict[str, int] = {}
    allowed(make(), Filters(category=("tea",), price_max=1200), removed)
    assert removed == {"hidden": 1, "stock": 1, "category": 1, "price": 1}


@pytest.mark.parametrize("make", [night, by_day])
def test_an_item_tells_its_row(make: Any) -> None:
    catalogue = make()
    tea = catalogue.index("tea")
    assert catalogue.item_id(tea) == "tea"
    assert catalogue.item_ids(np.array([tea, 0])) == ["tea", catalogue.item_id(0)]
    assert catalogue.title(tea) == "绿茶 🍵"
    assert catalogue.categories("tea") == ["food", "tea"]
    assert catalogue.price(tea) == 1200
    assert catalogue.price(catalogue.index("pen")) is None
    assert catalogue.created_us(tea) == -1
    assert "tea" in catalogue
    assert "the" not in catalogue
    assert catalogue.index("the") == -1
    assert catalogue.categories("the") == []
    paths = catalogue.paths(np.array([tea, catalogue.index("ink")], np.int32)).tolist()
    assert [[code for code in path if code >= 0] for path in paths] == [list(catalogue.path(tea)), []]


def change(row: Row, **columns: Any) -> Row:
    return row | columns


@pytest.mark.parametrize("make", [night, by_day])
@pytest.mark.parametrize(
    ("row", "filters", "there"),
    [
        (change(ROWS[0], stock=0), Filters(), False),
        (change(ROWS[0], hidden=True), Filters(), False),
        (change(ROWS[0], deleted=True), Filters(), False),
        (change(ROWS[0], price=100), Filters(price_max=100), True),
        (change(ROWS[0], price=None), Filters(price_max=10**9), False),
        (change(ROWS[0], category=["garden"]), Filters(category=("garden",)), True),
        (change(ROWS[0], category=["garden"]), Filters(category=("tea",)), False),
        (change(ROWS[0], brand="Neu"), Filters(brand=("Neu",)), True),
        (change(ROWS[0], tags=["sale"]), Filters(tags=("sale",)), True),
        (change(ROWS[0], tags=None), Filters(tags=("green",)), False),
        (change(ROWS[0], store_ids=["s3"]), Filters(store_id="s3"), True),
        (change(ROWS[0], store_ids=None), Filters(store_id="s3"), True),
    ],
)
def test_a_change_is_seen_at_once_and_touches_no_other_item(make: Any, row: Row, filters: Filters, there: bool) -> None:
    catalogue = make()
    before = allowed(catalogue) - {"tea"}
    catalogue.apply([row])
    assert ("tea" in allowed(catalogue, filters)) == there
    assert allowed(catalogue) - {"tea"} == before
    assert len(catalogue) == len(ROWS)


def test_the_bundle_is_not_written_to() -> None:
    bundle = Night(items=ROWS).bundle()
    before = {name: array.copy() for name, array in bundle.arrays.items()}
    Catalogue.from_bundle(bundle).apply([change(row, stock=0, price=1, title="x") for row in ROWS])
    for name, array in bundle.arrays.items():
        np.testing.assert_array_equal(array, before[name])


def test_a_row_that_says_the_same_changes_nothing() -> None:
    catalogue = night()
    catalogue.apply(ROWS)
    assert catalogue.later_items().tolist() == []


def test_items_that_come_by_day_are_numbered_after_the_nights() -> None:
    catalogue = night()
    catalogue.apply([item(f"new{n}", category=["new", str(n)], stock=n) for n in range(100)])
    assert len(catalogue) == catalogue.base + 100 == len(ROWS) + 100
    assert catalogue.categories("new7") == ["new", "7"]
    assert allowed(catalogue, Filters(category=("new",))) == {f"new{n}" for n in range(1, 100)}
    assert catalogue.later_items().tolist() == list(range(len(ROWS) + 99, len(ROWS) - 1, -1))
    assert catalogue.indices(["new0", "tea", "none", "pot"]) == [
        catalogue.index(one) for one in ("new0", "tea", "none", "pot")
    ]


def test_a_change_comes_back_when_it_is_taken_back() -> None:
    catalogue = night()
    catalogue.apply([change(ROWS[0], stock=0, title="x"), ROWS[0]])
    assert catalogue.title(catalogue.index("tea")) == "绿茶 🍵"
    assert "tea" in allowed(catalogue)


def test_rows_come_as_history_check_gives_them() -> None:
    raw = {"item_id": "x", "title": "X", "created_at": "2026-03-01T08:00:00+08:00", "price": 5, "category": ["a"]}
    row = check(ITEMS, raw)
    assert isinstance(row, dict)
    for given in (row, raw):
        catalogue = Catalogue.empty()
        catalogue.apply([given])
        created = datetime(2026, 3, 1, tzinfo=UTC)
        assert catalogue.created_us(0) == int(created.timestamp()) * 1_000_000


def test_of_a_very_deep_path_the_first_levels_are_kept() -> None:
    catalogue = Catalogue.empty()
    catalogue.apply([item("x", category=[str(n) for n in range(20)])])
    assert catalogue.categories("x") == [str(n) for n in range(8)]
