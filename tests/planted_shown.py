"""A shop that knows what it showed: two kinds of visitors and of items, and an item that everybody comes by."""

from __future__ import annotations

import numpy as np

from recommender.history.dataset import DAY_US, Dataset
from recommender.history.exposures import Looks
from recommender.history.split import Split, by_time

VISITORS, ITEMS, DAYS, CUT = 120, 40, 60, 40
TRAP = 0
"""The item that stands at the door: everybody looks at it of their own accord, and nobody opens it when it is shown."""
UNMET = 1
"""An item that nobody comes by."""
NARROW = 0.9
"""How often visitors look at items of their own kind."""


def shop(seed: int = 0) -> Dataset:
    """Visitors of even numbers look at items of even numbers, a third of which they buy, and once a day at the trap."""
    rng = np.random.default_rng(seed)
    rows = []
    for day in range(DAYS):
        for visitor in rng.choice(VISITORS, 40, replace=False):
            kind = visitor % 2 if rng.random() < NARROW else 1 - visitor % 2
            item = 2 * rng.integers(1, ITEMS // 2) + kind
            when = day * DAY_US + int(rng.integers(DAY_US // 2))
            rows += [(visitor, item, when, "item_view"), (visitor, TRAP, when, "item_view")]
            rows += [(visitor, item, when + 1, "purchase")] if rng.random() < 1 / 3 else []
    users, items, ts, kinds = zip(*rows, strict=True)
    names = [f"u{user:03d}" for user in users], [f"i{item:02d}" for item in items]
    extra = [f"u{user:03d}" for user in range(VISITORS)], [f"i{item:02d}" for item in range(ITEMS)]
    until = DAYS * DAY_US
    return Dataset.from_arrays(*names, np.array(ts), kinds, until_us=until, extra_users=extra[0], extra_items=extra[1])


def split(seed: int = 0) -> Split:
    return by_time(shop(seed), CUT * DAY_US)


def looks(train: Dataset, since_us: int, until_us: int, each: int = 40, seed: int = 1) -> Looks:
    """Random items at random places. Of the own kind a third is opened at the first place, half as much at the second,
    and never the trap."""
    rng = np.random.default_rng(seed + since_us % 997)
    user = np.repeat(np.arange(train.shape[0], dtype=np.int32), each)
    item = rng.integers(0, train.shape[1], len(user)).astype(np.int32)
    item[rng.random(len(user)) < 0.1] = TRAP
    place = rng.integers(0, 2, len(user)).astype(np.int32)
    chance = np.where((user % 2 == item % 2) & (item != TRAP), 1 / 3, 0.01) * np.where(place == 0, 1.0, 0.5)
    return Looks(user, item, place, rng.random(len(user)) < chance)
