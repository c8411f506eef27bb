"""Each user's history as a sequence of moments: what was taken at once, and in which order the moments came.

A moment is everything a user did at one time (a basket); it is one step of the sequence, however many items it holds,
so that ties of time have no order that nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from recommender.history.dataset import Dataset, Int32, Int64, Mask


@dataclass(frozen=True)
class Moments:
    """Moments of all users, by user, then by time.

    user: int32[M] whose each is; ts_us: int64[M]; back: int32[M] how many moments of the user came later (0 = the
    last); items: csr [M, I], the strongest tie with each item at that moment.
    """

    user: Int32
    ts_us: Int64
    back: Int32
    items: sp.csr_matrix

    @property
    def sizes(self) -> Int64:
        """int64[M]: different items of each moment."""
        sizes: Int64 = np.diff(self.items.indptr).astype(np.int64)
        return sizes


def moments(dataset: Dataset, chosen: Mask | None = None) -> Moments:
    """The moments of the interactions where `chosen` (default: all)."""
    rows = np.arange(len(dataset.user)) if chosen is None else np.flatnonzero(chosen)
    rows = rows[np.lexsort((dataset.item[rows], dataset.ts_us[rows], dataset.user[rows]))]
    user, item, ts_us = dataset.user[rows], dataset.item[rows], dataset.ts_us[rows]
    weight = dataset.strength[dataset.kind[rows]].astype(np.float32)
    fresh = np.ones(len(rows), bool)
    fresh[1:] = (user[1:] != user[:-1]) | (ts_us[1:] != ts_us[:-1])
    number = np.cumsum(fresh) - 1
    first = fresh.copy()
    first[1:] |= item[1:] != item[:-1]
    starts = np.flatnonzero(first)
    strongest = np.maximum.reduceat(weight, starts) if len(starts) else weight
    owner, moment_us = user[fresh], ts_us[fresh]
    shape = (len(owner), dataset.shape[1])
    items = sp.csr_matrix((strongest, (number[starts], item[starts])), shape=shape)
    ends = np.cumsum(np.bincount(owner, minlength=dataset.shape[0]))
    back = ends[owner] - 1 - np.arange(len(owner))
    return Moments(owner, moment_us, back.astype(np.int32), items)
