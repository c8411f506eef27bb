"""One answer in the making: proposals that the rules let through, then the ladder, each item with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.bundle import Bundle
from recommender.catalogue import Catalogue
from recommender.proposals import Pool, Seed, Table, Visitor
from recommender.reasons import reason
from recommender.slate import Rules, ladder, spread, walk
from recommender.types import Answer, Query, Ranked, Reason

NEW_US = 30 * 86_400_000_000
POPULAR_SOURCES = ("popular", "recent_popular")


class Shelf:
    """Filled from the top: `propose` once, then `answer`. `page` is the item on the page, -1 for none."""

    __slots__ = ("_bundle", "_catalogue", "_floor", "_items", "_page", "_query", "_rules", "_taken")

    def __init__(self, bundle: Bundle | None, catalogue: Catalogue, query: Query, rules: Rules, page: int) -> None:
        self._bundle = bundle
        self._catalogue = catalogue
        self._query = query
        self._rules = rules
        self._page = page
        self._items: list[Ranked] = []
        self._taken: set[int] = set()
        self._floor = 1.0

    def propose(self, pool: Pool, table: Table, seeds: Sequence[Seed], visitor: Visitor) -> None:
        """Put the best proposals that the rules let through on the shelf."""
        places = np.flatnonzero(self._rules.proposals(pool.items))
        places = places[self._chosen(pool, places)]
        items, causes, scores = pool.items[places], pool.causes[places], pool.scores[places].tolist()
        by_night = causes < len(table.items)
        told = iter(self._told_by_night(items[by_night], causes[by_night], table, visitor))
        width = pool.width
        for item, score, cause in zip(items.tolist(), scores, causes.tolist(), strict=True):
            if cause < len(table.items):
                source, why = next(told)
            else:
                source, why = self._told_by_seed(seeds[(cause - len(table.items)) // width])
            self._items.append(Ranked(self._catalogue.item_id(item), score, source, why))
            self._taken.add(item)
        if scores:
            self._floor = min(scores)

    def answer(self, policy: str) -> Answer:
        """The shelf, filled from the ladder up to n."""
        for rung in ladder(self._bundle, self._catalogue, self._rules.conditions, self._page):
            needed = self._query.n - len(self._items)
            if not needed:
                break
            for item in walk(rung, self._rules, self._taken, needed):
                self._taken.add(item)
                self._items.append(self._from_ladder(item, rung.category))
        return Answer(tuple(self._items), self._bundle is None, policy, self._rules.removed)

    def _chosen(self, pool: Pool, places: NDArray[np.intp]) -> slice | list[int]:
        strength = self._query.diversity
        if strength is None:
            strength = self._bundle.diversity if self._bundle else 0.0
        if not strength:
            return slice(self._query.n)
        leaves = self._catalogue.leaves(pool.items[places])
        return spread(pool.scores[places], leaves, self._query.n, strength)

    def _told_by_seed(self, seed: Seed) -> tuple[str, Reason]:
        """Source and reason of a neighbour of the page's, the cart's or the day's items."""
        return "similar" if seed.code == "similar_to" else "session", self._because(seed.code, seed.item)

    def _told_by_night(
        self, items: NDArray[np.int32], places: NDArray[Any], table: Table, visitor: Visitor
    ) -> list[tuple[str, Reason]]:
        """Source and reason of items that stand at `places` of the table."""
        bundle = self._bundle
        if bundle is None or table.row < 0:
            return [("popular", reason("popular", self._query.lang))] * len(items)
        sources = bundle.candidate_sources[table.row].take(places).tolist()
        evidence = bundle.candidate_evidence[table.row].take(places)
        lines = zip(
            sources, evidence.tolist(), visitor.has(items).tolist(), visitor.has(evidence).tolist(), strict=True
        )
        return [(bundle.sources[source], self._night_reason(bundle, source, *rest)) for source, *rest in lines]

    def _night_reason(self, bundle: Bundle, source: int, cause: int, has_item: bool, has_cause: bool) -> Reason:
        bought = "purchase" in bundle.targets
        if has_item:
            return reason("bought_again" if bought else "liked_again", self._query.lang)
        if cause >= 0:
            return self._because("because_bought" if bought and has_cause else "because_viewed", cause)
        code = "popular" if bundle.sources[source] in POPULAR_SOURCES else "for_you"
        return reason(code, self._query.lang)

    def _from_ladder(self, item: int, category: int | None) -> Ranked:
        """An item that fills the shelf: below everything before it, and no better than its popularity."""
        popularity = self._popularity(item)
        self._floor = min(self._floor, self._floor * popularity)
        if popularity > 0:
            name = None
            if category is not None and category in self._catalogue.path(item):  # it may have moved by day
                name = self._catalogue.category_name(category)
            why = reason("popular" if name is None else "popular_in_category", self._query.lang, category=name)
        else:
            why = reason("new" if self._is_new(item) else "available", self._query.lang)
        source = "popular" if popularity > 0 else "catalogue"
        return Ranked(self._catalogue.item_id(item), self._floor, source, why)

    def _popularity(self, item: int) -> float:
        if self._bundle is None or item >= self._catalogue.base:
            return 0.0
        rank = int(self._bundle.shelf_rank[item])
        return float(self._bundle.popular_scores[rank]) if rank < len(self._bundle.popular_scores) else 0.0

    def _is_new(self, item: int) -> bool:
        created = self._catalogue.created_us(item)
        now = int(self._query.now.timestamp() * 1_000_000)
        return 0 <= created <= now < created + NEW_US

    def _because(self, code: str, item: int) -> Reason:
        return reason(code, self._query.lang, self._catalogue.item_id(item), self._catalogue.title(item))
