"""How soon an item is taken again: until then who has just bought it is not shown it, however much it repeats.

A quarter of the waits are shorter: most people who take it again wait longer. Where an item has few waits its
category's are asked, then the shop's. Only real time can be waited for.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recommender.history.dataset import Dataset, Int64

FEWEST_WAITS = 10
SHARE = 0.25


def item_gap_us(dataset: Dataset) -> Int64:
    """int64[I], microseconds: the wait that three of four exceed who take an item again; -1 where nobody knows."""
    items = dataset.shape[1]
    if dataset.time_kind != "real":
        return np.full(items, -1, np.int64)
    item, wait = waits(dataset)
    path = dataset.facts.category
    leaf = path[np.arange(items), np.maximum((path >= 0).sum(axis=1) - 1, 0)] if path.shape[1] else np.full(items, -1)
    of_shop = _short(np.zeros(len(item), np.int64), wait, 1)
    of_leaf = _short(leaf[item][leaf[item] >= 0], wait[leaf[item] >= 0], int(leaf.max(initial=-1)) + 2)
    of_item = _short(item, wait, items)
    # The last entry of of_leaf is nobody's, so that it stands for "no category" (-1).
    wider = np.where(of_leaf[leaf] >= 0, of_leaf[leaf], of_shop[0])
    found: Int64 = np.where(of_item >= 0, of_item, wider).astype(np.int64)
    return found


def waits(dataset: Dataset) -> tuple[npt.NDArray[np.int64], Int64]:
    """The item and the length, in microseconds, of each wait between two moments at which a user took an item."""
    chosen = dataset.is_target
    user, item, ts = dataset.user[chosen], dataset.item[chosen].astype(np.int64), dataset.ts_us[chosen]
    order = np.lexsort((ts, item, user))
    user, item, ts = user[order], item[order], ts[order]
    again = (user[1:] == user[:-1]) & (item[1:] == item[:-1]) & (ts[1:] != ts[:-1])
    return item[1:][again], np.diff(ts)[again]


def _short(group: npt.NDArray[np.integer], wait: Int64, groups: int) -> Int64:
    """The short wait of each group, -1 where there are few."""
    order = np.lexsort((wait, group))
    size = np.bincount(group, minlength=groups)
    start = np.cumsum(size) - size
    found = np.full(groups, -1, np.int64)
    enough = size >= FEWEST_WAITS
    found[enough] = wait[order][(start + (size - 1) * SHARE).astype(np.int64)[enough]]
    return found
