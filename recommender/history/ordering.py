"""In which order interactions stand, and what an order can say where there is no time.

Columns are those of a `Dataset`: user, item: int32[N]; ts_us: int64[N]; kind: uint8[N].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def in_order(ts_us: Int64, user: Int32, item: Int32, kind: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
    """intp[M]: the rows in the order of a dataset (ts, user, item, kind), of rows that say the same only one."""
    rows: npt.NDArray[np.intp] = np.lexsort((kind, item, user, ts_us))
    fresh = np.ones(len(rows), bool)
    fresh[1:] = np.any([column[rows][1:] != column[rows][:-1] for column in (ts_us, user, item, kind)], axis=0)
    return rows[fresh]


def lies_together(user: Int32) -> bool:
    """Whether the rows of each user follow one another, and somebody has more than one."""
    people = len(np.unique(user))
    return 1 < people < len(user) and int(np.sum(np.diff(user) != 0)) == people - 1


def seen_before(columns: Sequence[npt.NDArray[np.integer[Any]]], chosen: Mask) -> Int64:
    """int64[N]: how many rows before each, among the `chosen`, say the same; 0 where not chosen."""
    rows = np.flatnonzero(chosen)
    rows = rows[np.lexsort([column[rows] for column in columns])]  # stable: of equals the first stands first
    fresh = np.ones(len(rows), bool)
    fresh[1:] = np.any([column[rows][1:] != column[rows][:-1] for column in columns], axis=0)
    place = np.arange(len(rows))
    before = np.zeros(len(chosen), np.int64)
    before[rows] = place - np.maximum.accumulate(np.where(fresh, place, 0)) if len(rows) else 0
    return before


def turns(user: Int32, ts_us: Int64, until_us: int) -> Int64:
    """int64[N]: the moments of each user numbered so that everybody's last one is `until_us` - 1, the one before it
    `until_us` - 2, and so on; what a user did at once stays at once."""
    rows = np.lexsort((ts_us, user))
    user, ts_us = user[rows], ts_us[rows]
    fresh = np.ones(len(rows), bool)
    fresh[1:] = (np.diff(user) != 0) | (np.diff(ts_us) != 0)
    moment = np.cumsum(fresh)
    last = np.zeros(int(user.max(initial=-1)) + 1, np.int64)
    last[user] = moment  # rows of a user ascend, so that the last one stays
    turn = np.empty(len(rows), np.int64)
    turn[rows] = until_us - 1 - (last[user] - moment)
    return turn
