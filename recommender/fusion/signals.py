"""What the ranker looks at beside the sources' scores: the user's own history of the item, the item, the user.

Everything is computed from one dataset, and a dataset holds nothing after its `until_us`; so the signals of a past
moment are those of that moment. Ages are in units of the recent window, so that the same numbers mean the same in a
grocery and in a furniture shop, and with an order instead of a time. NaN = not known.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.history.dataset import Dataset, Float32, Int32, Mask
from recommender.history.facts import Facts, leaf_codes

PAIR_SIGNALS = (
    "times_taken",
    "share_of_orders",
    "last_taken",
    "first_taken",
    "waiting_share",
    "interest",
    "last_touched",
    "category_share",
    "brand_share",
    "looked_at",
    "passed_over",
    "price_distance",
)
ITEM_SIGNALS = ("log_buyers", "log_recent_buyers", "trend", "first_seen", "taken_again", "appeal")
USER_SIGNALS = ("orders", "items", "last_order", "first_order", "repeat_share", "items_an_order")

Floats = npt.NDArray[np.float64]


class PairTable:
    """Values of user-item pairs, looked up by the pair."""

    def __init__(self, user: Int32, item: Int32, ts_us: npt.NDArray[np.int64], weight: Floats, items: int) -> None:
        self.items = items
        key = user.astype(np.int64) * items + item
        order = np.lexsort((ts_us, key))
        key, ts, weight = key[order], ts_us[order], weight[order]
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(key) else np.empty(0, np.int64)
        ends = np.append(starts[1:], len(key)) - 1
        self.keys = key[starts]
        self.values: Floats = np.full((4, len(starts) + 1), np.nan)
        if len(starts):
            moments = np.concatenate([[True], (key[1:] != key[:-1]) | (ts[1:] != ts[:-1])])
            self.values[0, :-1] = np.add.reduceat(moments.astype(np.float64), starts)
            self.values[1, :-1] = ts[starts]
            self.values[2, :-1] = ts[ends]
            self.values[3, :-1] = np.add.reduceat(weight, starts)

    def lookup(self, users: Int32, items: Int32) -> Floats:
        """float64[4, B, C]: moments, first ts, last ts, summed weight of (users[b], items[b, c]); NaN if none."""
        wanted = users[:, None].astype(np.int64) * self.items + items
        # Neighbouring users lie close together, and a short table is searched in the processor's cache.
        first, last = np.searchsorted(self.keys, [wanted.min(initial=0), wanted.max(initial=0) + 1])
        at = first + np.searchsorted(self.keys[first:last], wanted)
        found = at < len(self.keys)
        found[found] = self.keys[at[found]] == wanted[found]
        return self.values[:, np.where(found, at, -1)]


class Signals:
    """Signals of one dataset."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.unit = float(dataset.recent_us)
        self.now = np.nan if dataset.time_kind == "none" else float(dataset.until_us)

    @property
    def names(self) -> tuple[str, ...]:
        return (*PAIR_SIGNALS, *ITEM_SIGNALS, *USER_SIGNALS)

    def of(self, users: Int32, items: Int32) -> Float32:
        """float32[B, C, F] of the pairs (users[b], items[b, c])."""
        of_items, of_users = len(PAIR_SIGNALS), len(PAIR_SIGNALS) + len(ITEM_SIGNALS)
        whole = np.empty((*items.shape, len(self.names)), np.float32)
        for place, values in enumerate(self._pairs(users, items)):
            whole[:, :, place] = values
        whole[:, :, of_items:of_users] = self._items[items]
        whole[:, :, of_users:] = self._users[users][:, None, :]
        whole[~np.isfinite(whole)] = np.nan
        return whole

    def _pairs(self, users: Int32, items: Int32) -> list[Floats]:
        """float64[B, C] each, in the order of PAIR_SIGNALS."""
        count, first, last, _ = self._taken.lookup(users, items)
        _, _, touched_last, touched = self._touched.lookup(users, items)
        now = self.now
        with np.errstate(divide="ignore", invalid="ignore"):
            # An item taken every g days and last taken g days ago has waited its whole gap: 1.
            waiting = np.where(count > 1, (now - last) * (count - 1) / (last - first), np.nan)
            share = count / self._users[users, 0][:, None]
        return [
            count,
            share,
            (now - last) / self.unit,
            (now - first) / self.unit,
            waiting,
            touched,
            (now - touched_last) / self.unit,
            self._affinity(users, items, self._leaf, len(self.dataset.facts.categories)),
            self._affinity(users, items, self.dataset.facts.brand, len(self.dataset.facts.brands)),
            *self._shown(users, items),
            self._price_distance(users, items),
        ]

    def _shown(self, users: Int32, items: Int32) -> list[Floats]:
        """How often the user will have looked at the item of late, and not opened it; NaN where it was not shown."""
        shown = self.dataset.exposures
        if shown is None:
            return [np.full(items.shape, np.nan)] * 2
        return [_stored(shown.looked, users, items), _stored(shown.passed, users, items)]

    def _affinity(self, users: Int32, items: Int32, code: Int32, size: int) -> Floats:
        """Share of the user's taken items that carry the same code; NaN where the item has none."""
        if size == 0:
            return np.full(items.shape, np.nan)
        bought = self.dataset.bought[users]
        coded = np.flatnonzero(code >= 0)
        one_hot = sp.csr_matrix((np.ones(len(coded)), (coded, code[coded])), shape=(len(code), size))
        taken = (bought @ one_hot).toarray()
        share = taken / np.maximum(taken.sum(axis=1, keepdims=True), 1.0)
        of_items = code[items]
        found: Floats = np.take_along_axis(share, np.maximum(of_items, 0), axis=1)
        return np.where(of_items >= 0, found, np.nan)

    def _price_distance(self, users: Int32, items: Int32) -> Floats:
        """How far the item's price level lies from that of what the user took; NaN where either is not known."""
        known = np.isfinite(self._price_level)
        bought = self.dataset.bought[users]
        with np.errstate(divide="ignore", invalid="ignore"):
            usual = (bought @ np.where(known, self._price_level, 0.0)) / (bought @ known.astype(np.float64))
        distance: Floats = np.abs(self._price_level[items] - usual[:, None])
        return distance

    @cached_property
    def _price_level(self) -> Floats:
        return price_levels(self.dataset.facts)

    @cached_property
    def _leaf(self) -> Int32:
        return leaf_codes(self.dataset.facts)

    def _table(self, chosen: Mask, weight: Floats) -> PairTable:
        data = self.dataset
        return PairTable(data.user[chosen], data.item[chosen], data.ts_us[chosen], weight[chosen], data.shape[1])

    @cached_property
    def _taken(self) -> PairTable:
        return self._table(self.dataset.is_target, np.ones(len(self.dataset.user)))

    @cached_property
    def _touched(self) -> PairTable:
        data = self.dataset
        return self._table(~data.is_target, data.strength[data.kind] * data.age(self.unit))

    @cached_property
    def _items(self) -> Float32:
        """float32[I, 6] in the order of ITEM_SIGNALS."""
        data = self.dataset
        ever, lately = data.popularity, data.recent_popularity
        share = lately.sum() / max(ever.sum(), 1.0)
        first = np.full(data.shape[1], np.inf)
        np.minimum.at(first, data.item, data.ts_us.astype(np.float64))
        again = np.bincount(data.orders.indices, data.orders.data > 1, minlength=data.shape[1])
        return np.column_stack(
            [
                np.log1p(ever),
                np.log1p(lately),
                (lately + 5 * share) / (share * ever + 5 * share) if share > 0 else np.full(len(ever), np.nan),
                (self.now - first) / self.unit,
                (again + 1) / (ever + 10),
                np.full(len(ever), np.nan) if data.exposures is None else data.exposures.appeal,
            ]
        ).astype(np.float32)

    @cached_property
    def _users(self) -> Floats:
        """float64[U, 6] in the order of USER_SIGNALS."""
        data = self.dataset
        chosen, total = data.is_target, data.shape[0]
        pairs = np.unique(np.stack([data.user[chosen].astype(np.int64), data.ts_us[chosen]]), axis=1)
        owner = pairs[0]
        orders = np.bincount(owner, minlength=total).astype(np.float64)
        first, last = np.full(total, np.inf), np.full(total, -np.inf)
        np.minimum.at(first, owner, pairs[1].astype(np.float64))
        np.maximum.at(last, owner, pairs[1].astype(np.float64))
        items = np.diff(data.orders.indptr).astype(np.float64)
        row = np.repeat(np.arange(total), np.diff(data.orders.indptr))
        again = np.bincount(row, data.orders.data > 1, minlength=total)
        lines = np.bincount(row, data.orders.data, minlength=total)
        now = self.now
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.column_stack(
                [orders, items, (now - last) / self.unit, (now - first) / self.unit, again / items, lines / orders]
            )


def price_levels(facts: Facts) -> Floats:
    """float64[I]: log of the price over the mean log of its leaf category (of all, without one); NaN = no price."""
    priced = np.flatnonzero(facts.price > 0)
    group = leaf_codes(facts)[priced] + 1
    level, of_priced = np.full(len(facts.price), np.nan), np.log(facts.price[priced])
    each = np.maximum(np.bincount(group), 1)
    level[priced] = of_priced - (np.bincount(group, of_priced) / each)[group]
    return level


def _stored(matrix: sp.csr_matrix, users: Int32, items: Int32) -> Floats:
    """float64[B, C]: what `matrix` [U, I] stores at (users[b], items[b, c]); NaN where nothing."""
    rows = matrix[users].tocoo()
    keys = rows.row.astype(np.int64) * matrix.shape[1] + rows.col
    order = np.argsort(keys)
    keys, values = keys[order], np.append(rows.data[order], np.nan)
    wanted = np.arange(len(users), dtype=np.int64)[:, None] * matrix.shape[1] + items
    at = np.searchsorted(keys, wanted)
    found = at < len(keys)
    found[found] = keys[at[found]] == wanted[found]
    stored: Floats = values[np.where(found, at, -1)].astype(np.float64)
    return stored
