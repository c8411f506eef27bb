"""Newcomers: items that came lately and that few bought, those of the best-selling categories first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recommender.counting.newcomers import FEW_BUYERS, newcomers
from recommender.history.dataset import DAY_US, Dataset
from recommender.history.facts import Facts

UNTIL = 400 * DAY_US
OLD = ["tea", "pot", "pen"]
NEW = ["new-pen", "new-tea", "seen-tea"]


def shop(**facts: object) -> Dataset:
    """200 days of sales: ten times as many buy teas as pens. The catalogue has no date for `seen-tea`."""
    users, items, days = [], [], []
    for day in range(200, 400):
        for number in range(11):
            users.append(f"u{(day + number) % (4 if number == 10 else 40)}")
            items.append("pen" if number == 10 else "tea" if number < 9 else "pot")
            days.append(day)
    for number in range(2):
        users.append(f"u{number}")
        items.append("seen-tea")
        days.append(390)
    made = Dataset.from_arrays(users, items, [day * DAY_US for day in days], until_us=UNTIL, extra_items=[*OLD, *NEW])
    return replace(made, facts=replace(_facts(made), **facts))  # type: ignore[arg-type]


def _facts(dataset: Dataset) -> Facts:
    category = np.full((len(dataset.items), 4), -1, np.int32)
    created = np.full(len(dataset.items), -1, np.int64)
    for at, item in enumerate(dataset.items.tolist()):
        name = item.decode()
        category[at, 0] = 0 if "tea" in name else 1
        if name != "seen-tea":
            created[at] = (395 if name.startswith("new") else 100) * DAY_US
    known = np.ones(len(dataset.items), bool)
    return replace(Facts.none(len(dataset.items)), known=known, category=category, created=created)


def names(dataset: Dataset) -> list[str]:
    return [dataset.items[at].decode() for at in newcomers(dataset)]


def test_new_items_come_in_the_order_of_what_their_kind_sells() -> None:
    assert names(shop()) == ["new-tea", "seen-tea", "new-pen"]


def test_what_is_hidden_or_sells_already_is_no_newcomer() -> None:
    dataset = shop()
    hidden = np.array([item == b"new-tea" for item in dataset.items])
    assert names(replace(dataset, facts=replace(dataset.facts, hidden=hidden))) == ["seen-tea", "new-pen"]
    many = Dataset.from_arrays(
        [f"u{n}" for n in range(FEW_BUYERS)] + ["u0"], ["hit"] * FEW_BUYERS + ["old"], [396 * DAY_US] * 10 + [DAY_US],
        until_us=UNTIL,
    )  # fmt: skip
    assert names(many) == []
    assert names(many.subset(many.user != 1, UNTIL)) == ["hit"]


@pytest.mark.law
def test_what_comes_later_is_not_known_yet() -> None:
    """Law 1: an item that the catalogue dates after the moment is not new, it is not there."""
    dataset = shop()
    before = dataset.subset(dataset.ts_us < 394 * DAY_US, 394 * DAY_US)
    assert names(before) == ["seen-tea"]


@pytest.mark.parametrize("kind", ["order", "none"])
def test_without_time_nothing_is_new(kind: str) -> None:
    assert names(replace(shop(), time_kind=kind)) == []
