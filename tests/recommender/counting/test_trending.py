"""What rises: planted rises are found, in their order; single sales, steady sellers and a growing shop are not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recommender.counting.trending import FEWEST_VISITORS, SURE, rise, trends
from recommender.history.dataset import DAY_US, Dataset

DAYS = 120
UNTIL = DAYS * DAY_US
WINDOW_DAYS = 7.5


def shop(**extra: dict[int, int]) -> Dataset:
    """Twenty items that a few visitors take each day, and items with `extra` visitors by day."""
    rows = [
        (f"u{day}-{item}-{n}", f"steady{item:02d}", day) for item in range(20) for day in range(DAYS) for n in range(3)
    ]
    rows += [
        (f"{name}-{day}-{n}", name, day)
        for name, days in extra.items()
        for day, many in days.items()
        for n in range(many)
    ]
    users, items, days = zip(*rows, strict=True)
    ts = np.array(days) * DAY_US + DAY_US // 2
    return Dataset.from_arrays(users, items, ts, until_us=UNTIL)


def named(dataset: Dataset) -> dict[str, float]:
    found = trends(dataset)
    return {dataset.items[item].decode(): float(times) for item, times in zip(found.items, found.support, strict=True)}


LAST_DAYS = range(DAYS - 6, DAYS)


def test_nothing_rises_in_a_steady_shop() -> None:
    assert named(shop()) == {}


def test_what_rises_is_found_the_clearest_first() -> None:
    usual = dict.fromkeys(range(DAYS), 2)
    dataset = shop(
        hot=usual | dict.fromkeys(LAST_DAYS, 12),
        warm=usual | dict.fromkeys(LAST_DAYS, 7),
        old=usual | dict.fromkeys(range(20, 40), 30),
        new=dict.fromkeys(LAST_DAYS, 9),
    )
    found = named(dataset)
    assert list(found) in (["hot", "new", "warm"], ["new", "hot", "warm"])
    assert 3 < found["hot"] < 7


@pytest.mark.parametrize("many", [1, 2])
def test_a_sale_of_a_rare_item_is_no_trend(many: int) -> None:
    assert named(shop(rare={DAYS - 1: many}, once={5: 1})) == {}


def test_one_visitor_makes_no_trend() -> None:
    rows = [("same", "mine", day) for day in LAST_DAYS for _ in range(9)]
    steady = shop()
    users = [steady.users[user].decode() for user in steady.user] + [row[0] for row in rows]
    items = [steady.items[item].decode() for item in steady.item] + [row[1] for row in rows]
    ts = np.concatenate([steady.ts_us, [row[2] * DAY_US + n for n, row in enumerate(rows)]])
    assert named(Dataset.from_arrays(users, items, ts, until_us=UNTIL)) == {}


def test_a_shop_that_grows_is_no_trend_of_every_item() -> None:
    everywhere = {f"steady{item:02d}": dict.fromkeys(LAST_DAYS, 20) for item in range(20)}
    assert named(shop(**everywhere)) == {}


def test_without_real_time_nothing_rises() -> None:
    dataset = Dataset.from_arrays(["a", "b", "c", "d"], ["x"] * 4)
    assert len(trends(dataset).items) == 0


def test_z_is_the_signed_root_of_the_deviance() -> None:
    """90 items that keep their share and one that triples it: the definition, by hand."""
    before, seen = np.full(91, 40.0), np.full(91, 10.0)
    seen[0] = 30.0
    z, times = rise(seen, seen, before)
    average = 40 / 41
    expected = (40 + average) / (91 * 40 + 91 * average) * seen.sum()
    assert times[0] == pytest.approx(30 / expected)
    assert z[0] == pytest.approx(math.sqrt(2 * (30 * math.log(30 / expected) - (30 - expected))))
    assert z[0] > SURE
    assert (z[1:] == 0).all()
    assert FEWEST_VISITORS > 1
