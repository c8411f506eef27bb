"""How soon things are taken again, where the waits are planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recommender.counting.gaps import FEWEST_WAITS, item_gap_us
from recommender.history.dataset import DAY_US, Dataset
from recommender.history.facts import Facts

USERS = [f"u{number}" for number in range(FEWEST_WAITS)]


def repeated(item: str, days: int) -> list[tuple[str, str, int]]:
    """Everybody takes the item twice, so many days apart."""
    return [(user, item, at * DAY_US) for user in USERS for at in (1, 1 + days)]


def dataset(rows: list[tuple[str, str, int]], **columns: str) -> Dataset:
    users, items, ts = zip(*rows, strict=True)
    return Dataset.from_arrays(users, items, np.array(ts), until_us=100 * DAY_US, **columns)


def test_an_item_is_waited_for_as_long_as_its_own_buyers_wait() -> None:
    found = item_gap_us(dataset(repeated("milk", 3) + repeated("soap", 40)))
    assert found.tolist() == [3 * DAY_US, 40 * DAY_US]


def test_three_of_four_wait_longer() -> None:
    rows = [("u", f"{day:02}", day * DAY_US) for day in range(9)]
    ages = [("v", "milk", int(day * (day + 1) / 2) * DAY_US) for day in range(FEWEST_WAITS + 3)]
    at = list(dataset(rows + ages).items).index(b"milk")
    waits = np.arange(1, FEWEST_WAITS + 3)
    assert item_gap_us(dataset(rows + ages))[at] == waits[int((len(waits) - 1) / 4)] * DAY_US


def test_where_few_came_back_the_category_speaks_then_the_shop() -> None:
    """Rare milk is milk; a lamp is like the shop."""
    rows = repeated("milk", 3) + repeated("soap", 41) + [("u1", "rare milk", 5), ("u1", "lamp", 5)]
    shop = dataset(rows)
    facts = Facts.none(4)
    category = np.array([[-1], [0], [0], [1]], np.int32)
    shop = replace(shop, facts=replace(facts, category=category, categories=np.array([b"milk", b"soap"])))
    found = dict(zip(shop.items.tolist(), item_gap_us(shop).tolist(), strict=True))
    assert found[b"rare milk"] == found[b"milk"] == 3 * DAY_US
    assert found[b"lamp"] == 3 * DAY_US  # a quarter of all waits


def test_nobody_knows_without_repeats_or_without_time() -> None:
    assert item_gap_us(dataset([("u1", "lamp", 5), ("u2", "lamp", 9)])).tolist() == [-1]
    assert item_gap_us(dataset(repeated("milk", 3), time_kind="order")).tolist() == [-1]
    assert item_gap_us(Dataset.from_arrays([], [], np.empty(0, np.int64))).tolist() == []


def test_the_lines_of_one_order_are_no_wait() -> None:
    rows = repeated("milk", 3) + [(user, "milk", DAY_US) for user in USERS]
    assert item_gap_us(dataset(rows)).tolist() == [3 * DAY_US]
