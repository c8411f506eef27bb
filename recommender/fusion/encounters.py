"""What happened between visitors and items after a moment, and what was known of them then.

Encounters are what the response is learnt from (`recommender.fusion.response`): what visitors touched of their own
accord, beside what others did; what they were shown, and whether they opened it; whether they took what they touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recommender.fusion.pool import Pool, Pooler
from recommender.fusion.ranker import feature_names, features_of
from recommender.fusion.recipe import Blends
from recommender.fusion.tastes import NAMES, Tastes
from recommender.history.dataset import Dataset, Float32, Int32, Mask
from recommender.history.split import Split
from recommender.plan import LooksOf

Floats = npt.NDArray[np.float64]
Order = Callable[[Pool], npt.NDArray[np.floating[Any]]]

FEWEST_OPENED = 20
"""Opened items of a stretch of time from which on it is learnt from."""
MOST_VISITORS = 5_000
MOST_TOUCHED, MOST_SHOWN = 50_000, 200_000
"""Pairs that are learnt from, of all these visitors'."""
CONTRAST = 3
"""Strange items beside each touched one."""
ROWS = 256
"""Visitors of a block, at most."""
UNHEARD = ("rank_", "looked_at", "passed_over")
"""Features that say how an item came up, not how it is liked."""


class Cases(NamedTuple):
    """Pairs and what came of them: features float32[N, F], came bool[N], user int32[N], item int32[N]."""

    features: Float32
    came: Mask
    user: Int32
    item: Int32

    def some(self, chosen: Mask) -> Cases:
        """Those where `chosen`."""
        return Cases(self.features[chosen], self.came[chosen], self.user[chosen], self.item[chosen])


class Encounters(NamedTuple):
    """What happened between visitors and items new to them after a moment, with what was known of them then (names: of
    features).

    met: who touched the item, beside others who might have. shown: what was looked at as often as `looks` (float64[N])
    says, and whether that opened it; order: float64[N], by what the recipe orders it. touched: whether what was touched
    was taken; nothing where a click is all that is wanted.
    """

    names: tuple[str, ...]
    met: Cases
    shown: Cases
    touched: Cases
    looks: Floats
    order: Floats

    def of(self, side: Mask) -> Encounters:
        """The encounters of the users where `side` (bool[U])."""
        met, shown, touched = (cases.some(side[cases.user]) for cases in (self.met, self.shown, self.touched))
        chosen = side[self.shown.user]
        return Encounters(self.names, met, shown, touched, self.looks[chosen], self.order[chosen])


class Pairs:
    """Features of visitors and items as of the moment of a pooler."""

    def __init__(self, pooler: Pooler, blends: Blends) -> None:
        self.pooler = pooler
        self.blends = blends
        self.tastes = Tastes(pooler.dataset)
        told = feature_names(pooler)
        self.kept = [at for at, name in enumerate(told) if not name.startswith(UNHEARD)]
        self.names = (*(told[at] for at in self.kept), *NAMES)

    def of(self, pool: Pool) -> Float32:
        """float32[N, F] of the real candidates of a pool."""
        told = features_of(self.pooler, pool, self.blends)[:, self.kept]
        tastes = self.tastes.of(pool.users, np.maximum(pool.items, 0))[pool.real]
        return np.concatenate([told, tastes], axis=1)

    def at(self, users: Int32, items: Int32) -> Float32:
        """float32[N, F] of the pairs (users[n], items[n]), in any order."""
        found = np.empty((len(users), len(self.names)), np.float32)
        for rows, pool in self.pools(users, items):
            found[rows] = self.of(pool)
        return found

    def ordered(self, users: Int32, items: Int32, order: Order) -> Floats:
        """float64[N]: what `order` gives the pairs."""
        found = np.empty(len(users))
        for rows, pool in self.pools(users, items):
            found[rows] = order(pool)[pool.real]
        return found

    def pools(self, users: Int32, items: Int32) -> Iterator[tuple[npt.NDArray[np.intp], Pool]]:
        """Pools of the pairs, and the pair of each real candidate, row by row."""
        order = np.lexsort((items, users))
        owner, start, size = np.unique(users[order], return_index=True, return_counts=True)
        block = min(ROWS, self.pooler.rows)
        for first in range(0, len(owner), block):
            some = slice(first, first + block)
            rows = order[start[some][0] : start[some][-1] + size[some][-1]]
            place = np.arange(len(rows)) - np.repeat(start[some] - start[some][0], size[some])
            listed = np.full((len(owner[some]), int(size[some].max())), -1, np.int32)
            listed[np.repeat(np.arange(len(listed)), size[some]), place] = items[rows]
            yield rows, self.pooler.of(owner[some].astype(np.int32), listed)


def encounters_of(pairs: Pairs, split: Split, looks: LooksOf, order: Order, seed: int) -> Encounters | None:
    """What followed the moment of a split; None where too little was opened. order: by what the recipe orders a pool
    (float[B, C])."""
    train, after = split.train, split.after
    if after is None or train.time_kind != "real":
        return None
    known = np.zeros(train.shape[0], bool)
    known[train.user] = True
    shown = looks(train, train.until_us, after.until_us)
    shown = shown.some(known[shown.user] & ~_had(train, shown.user, shown.item))
    if shown.opened.sum() < FEWEST_OPENED:
        return None
    rng = np.random.default_rng(seed)
    shown = shown.some(_drawn(shown.user, rng))
    shown = shown.some(_some(len(shown.user), MOST_SHOWN, rng))
    chosen = known[after.user] & ~_had(train, after.user, after.item)
    chosen[chosen] = _drawn(after.user[chosen], rng)
    key, which = np.unique(_key(train, after.user[chosen], after.item[chosen]), return_inverse=True)
    taken, only_taken = np.zeros(len(key), bool), np.ones(len(key), bool)
    taken[which[after.is_target[chosen]]] = True
    only_taken[which[~after.is_target[chosen]]] = False
    kept = _some(len(key), MOST_TOUCHED, rng)
    touched, taken, only_taken = key, taken[kept], only_taken[kept]
    key = key[kept]
    user, item = (key // train.shape[1]).astype(np.int32), (key % train.shape[1]).astype(np.int32)
    strange_to, strange = np.tile(user, CONTRAST), np.concatenate([rng.permutation(item) for _ in range(CONTRAST)])
    free = ~np.isin(_key(train, strange_to, strange), touched) & ~_had(train, strange_to, strange)
    both = np.concatenate([user, strange_to[free]]), np.concatenate([item, strange[free]])
    met = Cases(pairs.at(*both), np.arange(len(both[0])) < len(user), *both)
    examined = np.ones(1) if train.exposures is None else train.exposures.examined
    return Encounters(
        pairs.names,
        met,
        Cases(pairs.at(shown.user, shown.item), shown.opened, shown.user, shown.item),
        Cases(met.features[: len(user)], taken, user, item).some(~only_taken & ("click" not in train.target)),
        examined[np.minimum(shown.place, len(examined) - 1)],
        pairs.ordered(shown.user, shown.item, order),
    )


def opened_above(encounters: Encounters, scores: Floats) -> Floats:
    """float64[opened]: of the other items each visitor was shown and did not open, the share (by how likely they were
    looked at) below each item that was opened; equals count half, and only visitors with both."""
    opened, user = encounters.shown.came, encounters.shown.user
    order = np.argsort(user, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(user[order]) != 0])
    found = []
    for rows in np.split(order, starts[1:]):
        hit, miss = rows[opened[rows]], rows[~opened[rows]]
        if len(hit) and len(miss):
            found.append(_above(scores[hit], scores[miss], encounters.looks[miss]))
    return np.concatenate(found) if found else np.empty(0)


def _above(mine: Floats, others: Floats, weight: Floats) -> Floats:
    """float64[len(mine)]: the share of the others' weight below each of mine, equals half."""
    order = np.argsort(others, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(weight[order])])
    first, last = (np.searchsorted(others[order], mine, side) for side in ("left", "right"))
    share: Floats = (below[first] + below[last]) / 2 / below[-1]
    return share


def _had(train: Dataset, users: Int32, items: Int32) -> Mask:
    """bool[N]: which of the pairs the visitor had taken."""
    taken = train.bought.tocoo()
    return np.isin(_key(train, users, items), _key(train, taken.row, taken.col))


def _key(train: Dataset, users: Int32, items: Int32) -> npt.NDArray[np.int64]:
    """int64[N]: a number for each pair."""
    return users.astype(np.int64) * train.shape[1] + items


def _some(rows: int, most: int, rng: np.random.Generator) -> Mask:
    """bool[rows]: at most so many of them, drawn."""
    chosen = np.zeros(rows, bool)
    chosen[rng.permutation(rows)[:most]] = True
    return chosen


def _drawn(users: Int32, rng: np.random.Generator) -> Mask:
    """Which rows are of the visitors drawn, at most MOST_VISITORS."""
    each = np.unique(users)
    if len(each) <= MOST_VISITORS:
        return np.ones(len(users), bool)
    return np.isin(users, rng.permutation(each)[:MOST_VISITORS])
