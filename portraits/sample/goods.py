"""What the shop has: items in taste clusters, contents, stores.

An item's cluster is hidden; what the history and the catalogue show of it is a category, brand, price and style words
that mostly agree with it. Within a cluster demand falls like Zipf's law, between clusters more gently, so that a
popularity list is a fair baseline and a model that finds the clusters beats it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from portraits.sample import names
from portraits.sample.plan import Plan, leaf_season
from portraits.sample.rows import Array

PURPOSE = 1
NEW_SHARE = 0.3
"""Share of items that come into the catalogue during the history."""


@dataclass(frozen=True)
class Goods:
    """Items by code, sorted by cluster. The first item of each cluster is always there.

    `number` makes the public id, so that ids say nothing of clusters; `created` is a day (negative: before the
    history); an item is out of stock from day `out_from` to before `out_to`, and hidden from day `hidden_from` on;
    `level` is the log of its price over the usual price of its category; `quality` multiplies the wish to open it,
    known to nobody in advance.
    """

    number: Array
    cluster: Array
    leaf: Array
    brand: Array
    price: Array
    cost: Array
    level: Array
    quality: Array
    demand: Array
    styles: Array
    created: Array
    out_from: Array
    out_to: Array
    hidden_from: Array
    sale_phase: Array
    sale_depth: Array

    @cached_property
    def bounds(self) -> Array:
        """First item code of each cluster, and the number of items at the end."""
        return np.searchsorted(self.cluster, np.arange(self.cluster[-1] + 2))

    def alive(self, day: int) -> Array:
        """Which items can be seen and bought on a day."""
        out = (self.out_from <= day) & (day < self.out_to)
        return np.logical_and((self.created <= day) & (day < self.hidden_from), ~out)

    def demand_on(self, day: int, day_of_year: int) -> Array:
        """Relative demand for each item on a day: alive ones, with season and a push for what is new."""
        age = np.maximum(day - self.created, 0)
        fresh = np.where(self.created > 0, 1 + 2 * np.exp(-age / 7), 1.0)
        wanted: Array = self.demand * fresh * leaf_season(day_of_year)[self.leaf]
        return np.where(self.alive(day), wanted, 0.0)

    def sale(self, items: Array, day: int) -> Array:
        """Discount in force on a day as a share of the list price: sales of 14 days in every 36."""
        on = (day + self.sale_phase[items]) % 36 < 14
        return np.where(on, self.sale_depth[items], 0.0)


@dataclass(frozen=True)
class Clusters:
    """Taste clusters: demand, main leaf category, brands (clusters x 3) and price level of each."""

    demand: Array
    leaf: Array
    brands: Array
    level: Array


@dataclass(frozen=True)
class Places:
    """Stores: a city (index into CITIES) and the last letter of their geohash cell."""

    city: Array
    cell: Array


@dataclass(frozen=True)
class Contents:
    """Articles, videos and lives: the cluster each is about and three items it shows."""

    cluster: Array
    items: Array
    kind: Array


def make_clusters(plan: Plan) -> Clusters:
    rng = plan.rng(PURPOSE, 0)
    count = plan.clusters
    return Clusters(
        demand=_shares((1 + rng.permutation(count)) ** -0.5),
        leaf=rng.permutation(np.arange(count) % len(names.LEAVES)),
        brands=rng.integers(0, plan.brands, (count, 3)),
        level=rng.normal(0, 0.3, count),
    )


def make_goods(plan: Plan, clusters: Clusters) -> Goods:
    rng = plan.rng(PURPOSE, 1)
    count = plan.items
    cluster = np.sort(np.concatenate([np.arange(plan.clusters), rng.integers(0, plan.clusters, count - plan.clusters)]))
    first = np.searchsorted(cluster, np.arange(plan.clusters))
    leaf = np.where(rng.random(count) < 0.85, clusters.leaf[cluster], rng.integers(0, len(names.LEAVES), count))
    own = clusters.brands[cluster, rng.integers(0, 3, count)]
    level = clusters.level[cluster] + rng.normal(0, 0.4, count)
    usual = np.array([entry.price for entry in names.LEAVES])[leaf]
    price = np.maximum(np.round(usual * np.exp(level) / 10) * 10, 100).astype(np.int64)
    rank = _rank_within(cluster, rng.random(count))
    created = np.where(rng.random(count) < NEW_SHARE, rng.integers(1, plan.days, count), -rng.integers(1, 700, count))
    created[first] = -700
    out_from = np.where(rng.random(count) < 0.1, rng.integers(0, plan.days, count), 10**6)
    out_from[first] = 10**6
    hidden_from = np.where(rng.random(count) < 0.02, plan.days - rng.integers(0, 20, count), 10**6)
    hidden_from[first] = 10**6
    return Goods(
        number=rng.permutation(count) + 1,
        cluster=cluster,
        leaf=leaf,
        brand=np.where(rng.random(count) < 0.9, own, rng.integers(0, plan.brands, count)),
        price=price,
        cost=np.round(price * rng.uniform(0.45, 0.8, count)).astype(np.int64),
        level=level,
        quality=np.exp(rng.normal(0, 0.35, count)),
        demand=clusters.demand[cluster] * _normalised(cluster, (rank + 1.0) ** -0.9),
        styles=(cluster[:, None] * 2 + rng.integers(0, 3, (count, 2))) % len(names.STYLES),
        created=created,
        out_from=out_from,
        out_to=out_from + rng.integers(5, 30, count),
        hidden_from=hidden_from,
        sale_phase=rng.integers(0, 36, count),
        sale_depth=np.where(rng.random(count) < 0.6, rng.choice([0.1, 0.2, 0.3, 0.4], count), 0.0),
    )


def make_places(plan: Plan) -> Places:
    rng = plan.rng(PURPOSE, 2)
    return Places(rng.integers(0, len(names.CITIES), plan.stores), rng.integers(0, 10, plan.stores))


def make_contents(plan: Plan, goods: Goods) -> Contents:
    rng = plan.rng(PURPOSE, 3)
    about = rng.integers(0, plan.clusters, plan.contents)
    low, high = goods.bounds[about], goods.bounds[about + 1]
    items = low[:, None] + (rng.random((plan.contents, 3)) * (high - low)[:, None]).astype(np.int64)
    return Contents(about, items, rng.choice(3, plan.contents, p=[0.6, 0.3, 0.1]))


class DayDemand:
    """Draws items and contents on one day: `of_clusters` within taste clusters, `of_all` by demand alone."""

    def __init__(self, goods: Goods, contents: Contents, day: int, day_of_year: int) -> None:
        self._sum = np.concatenate([[0.0], np.cumsum(goods.demand_on(day, day_of_year))])
        self._bounds = goods.bounds
        self._by_cluster = np.argsort(contents.cluster, kind="stable")
        self._content_bounds = np.searchsorted(contents.cluster[self._by_cluster], np.arange(len(goods.bounds)))

    def of_clusters(self, clusters: Array, luck: Array) -> Array:
        """An item of each cluster; `luck` is uniform in [0, 1)."""
        low, high = self._sum[self._bounds[clusters]], self._sum[self._bounds[clusters + 1]]
        place: Array = np.searchsorted(self._sum, low + luck * (high - low), side="right")
        return place - 1

    def of_all(self, luck: Array) -> Array:
        """An item by demand alone."""
        place: Array = np.searchsorted(self._sum, luck * self._sum[-1], side="right")
        return place - 1

    def contents_of(self, clusters: Array, luck: Array) -> Array:
        """A content about each cluster; any content where there is none about it."""
        low, high = self._content_bounds[clusters], self._content_bounds[clusters + 1]
        none = low == high
        low, high = np.where(none, 0, low), np.where(none, len(self._by_cluster), high)
        found: Array = self._by_cluster[(low + luck * (high - low)).astype(np.int64)]
        return found


def _shares(weights: Array) -> Array:
    shares: Array = weights / weights.sum()
    return shares


def _normalised(group: Array, weights: Array) -> Array:
    shares: Array = weights / np.bincount(group, weights)[group]
    return shares


def _rank_within(group: Array, luck: Array) -> Array:
    """A random rank from 0 of each entry within its group; `group` is sorted."""
    order = np.lexsort((luck, group))
    first = np.searchsorted(group, np.arange(group[-1] + 1))
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - first[group]
    return rank
