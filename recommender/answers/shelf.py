"""One answer in the making: proposals that the rules let through, then the ladder, each item with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.answers.catalogue import Catalogue
from recommender.answers.exploration import LIKED, MOST_CONSIDERED, MOST_NEWCOMERS, by_taste, draw
from recommender.answers.occasions import told as told_by_occasion
from recommender.answers.promotions import ENTERED, NO_PROMOTIONS, Promotions, boosted, pinned
from recommender.answers.proposals import NO_ITEMS, Proposals, Seed, Table, Visitor
from recommender.answers.reasons import reason
from recommender.answers.slate import Rules, Rung, ladder, spread, walk
from recommender.bundles.bundle import Bundle
from recommender.bundles.layout import NOTHING_OWN
from recommender.types import Answer, Query, Ranked, Reason

NEW_US = 30 * 86_400_000_000
RULE = "rule"
"""Source of what is shown because the shop said so."""
SAID = {
    "popular": "popular",
    "recent_popular": "popular",
    "crowd": "like_you",
    "friends": "like_you",
    "touched": "liked_again",
}
"""What is true of a source's items where it does not go by taste."""


class Line(NamedTuple):
    """What the reason of a row of the table depends on: source (a place in `bundle.sources`); explained: an item of the
    visitor's own explains it; has_item, has_cause: the visitor has had the item, and the one that explains it; own: at
    night the visitor had done something with some item; popular: others took the item."""

    source: int
    explained: bool
    has_item: bool
    has_cause: bool
    own: bool
    popular: bool


@lru_cache(maxsize=256)
def night_codes(sources: tuple[str, ...], targets: tuple[str, ...]) -> Mapping[tuple[Any, ...], tuple[str, bool]]:
    """For every `Line` of a bundle with these sources and targets, in the order of its fields read as one number: the
    reason, and whether it names the item that explains the row. `recommender.answers.batch` asks the same function,
    for many visitors at once."""
    flags = list(product((False, True), repeat=len(Line._fields) - 1))
    lines = (Line(source, *some) for source in range(len(sources)) for some in flags)
    return {line: _night_code(sources, "purchase" in targets, line) for line in lines}


def _night_code(sources: tuple[str, ...], bought: bool, line: Line) -> tuple[str, bool]:
    if line.has_item:
        return "bought_again" if bought else "liked_again", False
    if line.explained:
        return "because_bought" if bought and line.has_cause else "because_viewed", True
    code = SAID.get(sources[line.source], "for_you" if line.own else "like_you")
    return "available" if code == "popular" and not line.popular else code, False


class Shelf:
    """Filled from the top: `propose` once, then `answer`. `page` is the item on the page, -1 for none."""

    __slots__ = (
        "_boosts",
        "_bundle",
        "_catalogue",
        "_floor",
        "_items",
        "_liked",
        "_page",
        "_pins",
        "_query",
        "_rules",
        "_taken",
    )

    def __init__(
        self,
        bundle: Bundle | None,
        catalogue: Catalogue,
        query: Query,
        rules: Rules,
        page: int,
        *,
        promotions: Promotions = NO_PROMOTIONS,
    ) -> None:
        self._bundle = bundle
        self._catalogue = catalogue
        self._query = query
        self._rules = rules
        self._page = page
        self._items: list[Ranked] = []
        self._floor = 1.0
        self._liked: tuple[NDArray[np.int32], NDArray[Any]] = NO_ITEMS, NO_ITEMS
        self._boosts = promotions.boosts(query)
        self._pins = pinned(promotions.pins(query), query.n, rules)
        self._taken: set[int] = {item for _, item in self._pins}

    def propose(self, pool: Proposals, table: Table, seeds: Sequence[Seed], visitor: Visitor) -> None:
        """Put the best proposals that the rules let through on the shelf."""
        if self._boosts and self._bundle is not None:
            pool = boosted(pool, self._boosts, self._bundle, self._catalogue)
        self._liked = pool.items[:LIKED], pool.scores[:LIKED]
        places = self._chosen(pool)
        items, scores = pool.items.take(places), pool.scores.take(places).tolist()
        if not seeds and not self._boosts:
            told = self._told_by_night(items, pool.causes.take(places), table, visitor)
        else:
            told = self._told_by_cause(pool, places, table, seeds, visitor)
        self._put(items, scores, told)
        self._floor = min(scores, default=1.0)

    def show(self, pool: Proposals, tell: Callable[[NDArray[Any]], list[tuple[str, Reason]]]) -> None:
        """As `propose`, for a pool whose causes `tell` turns into sources and reasons."""
        places = self._chosen(pool)
        scores = pool.scores.take(places).tolist()
        self._put(pool.items.take(places), scores, tell(pool.causes.take(places)))
        self._floor = min([1.0, *scores])

    def answer(self, policy: str) -> Answer:
        """The shelf, filled from the ladder up to n."""
        if len(self._items) < self._room:
            self._fill()
        if self._query.exploration and self._query.personalized and len(self._catalogue.newcomers()):
            self._explore()
        for place, item in self._pins:
            self._insert(place, item, RULE, reason("pinned", self._query.lang))
        return Answer(tuple(self._items), self._bundle is None, policy, self._rules.removed)

    def _put(self, items: NDArray[np.int32], scores: list[float], told: Sequence[tuple[str, Reason]]) -> None:
        """Puts items at the end, best first. told: source and reason of each."""
        ids = self._catalogue.item_ids(items)
        self._items += [Ranked(one, score, *line) for one, score, line in zip(ids, scores, told, strict=True)]
        self._taken.update(items.tolist())

    def _fill(self) -> None:
        """Puts what the ladder has at the end."""
        for rung in ladder(self._bundle, self._catalogue, self._rules.conditions, self._page):
            for item in walk(rung, self._rules, self._taken, self._room - len(self._items)):
                self._taken.add(item)
                self._items.append(self._from_ladder(item, rung.category))
            if len(self._items) == self._room:
                return

    @property
    def _room(self) -> int:
        """How many items the pins leave room for."""
        return self._query.n - len(self._pins)

    def _chosen(self, pool: Proposals) -> NDArray[np.intp]:
        """Places in the pool of what goes on the shelf, best first."""
        fits = self._rules.proposals(pool.items)
        for _, item in self._pins:
            fits &= pool.items != item
        places = fits.nonzero()[0]
        if not self._query.diversity:
            return places[: self._room]
        paths = self._catalogue.paths(pool.items[places])
        return places[spread(pool.scores[places], paths, self._room, self._query.diversity)]

    def _explore(self) -> None:
        """Gives newcomers that are not on the shelf their share of it."""
        most = max(MOST_NEWCOMERS, int(len(self._items) * self._query.exploration) + 1)
        some = walk(Rung(self._catalogue.newcomers()), self._rules, self._taken, most)
        drawn = draw(len(self._items), len(some), self._query.exploration, self._query.draw)
        newcomers = self._lot(len(some)) if drawn.places else []
        del self._items[len(self._items) - len(drawn.places) :]
        self._items[drawn.edge :] = [one._replace(propensity=drawn.kept) for one in self._items[drawn.edge :]]
        for place, which in zip(drawn.places, drawn.picked, strict=True):
            why = self._told_by_age(newcomers[which])
            self._insert(place, newcomers[which], "explore", why, drawn.propensity)

    def _lot(self, size: int) -> list[int]:
        """Newcomers that one draw is among: of those that are not on the shelf the ones nearest to the visitor's
        candidates."""
        newcomers = self._catalogue.newcomers()
        first, rest = newcomers[:MOST_CONSIDERED], newcomers[MOST_CONSIDERED:]
        liked, scores = self._liked
        paths = self._catalogue.paths
        ordered = np.concatenate([by_taste(first, paths(first), paths(liked), scores), rest])
        return walk(Rung(ordered), self._rules, self._taken, size)

    def _insert(self, place: int, item: int, source: str, why: Reason, propensity: float = 1.0) -> None:
        """Puts an item at a place (of a shorter shelf: at its end) with the score of what it stands before."""
        score = self._items[min(place, len(self._items) - 1)].score if self._items else self._floor
        self._items.insert(place, Ranked(self._catalogue.item_id(item), score, source, why, propensity))

    def _told_by_cause(
        self, pool: Proposals, places: NDArray[np.intp], table: Table, seeds: Sequence[Seed], visitor: Visitor
    ) -> list[tuple[str, Reason]]:
        """Source and reason of what stands at `places` of the pool, from the table, the boosts and the seeds."""
        items, causes = pool.items.take(places), pool.causes.take(places)
        by_night = (causes >= 0) & (causes < len(table.items))
        night = iter(self._told_by_night(items[by_night], causes[by_night], table, visitor))
        told = []
        for cause in causes.tolist():
            if cause == ENTERED:
                told.append((RULE, reason("popular", self._query.lang)))
            elif cause < len(table.items):
                told.append(next(night))
            else:
                told.append(self._told_by_day(seeds, (cause - len(table.items)) // pool.width))
        return told

    def _told_by_day(self, seeds: Sequence[Seed], place: int) -> tuple[str, Reason]:
        """Source and reason of a neighbour of the page's, the cart's or the day's items; after the last seed stands
        what they say together."""
        if place == len(seeds):
            return "session", reason("for_you", self._query.lang)
        seed = seeds[place]
        return "similar" if seed.code == "similar_to" else "session", self._because(seed.code, seed.item)

    def _told_by_night(
        self, items: NDArray[np.int32], places: NDArray[Any], table: Table, visitor: Visitor
    ) -> list[tuple[str, Reason]]:
        """Source and reason of items, all of the night's, that stand at `places` of the table."""
        bundle = self._bundle
        if bundle is not None and table.origins is not None:
            origins = table.origins.take(places)
            own = origins >= 0
            told = iter(self._told_by_night(items[own], origins[own], table._replace(origins=None), visitor))
            heard = iter(told_by_occasion(bundle, -1 - origins[~own], self._query.lang))
            return [next(told if is_own else heard) for is_own in own.tolist()]
        if bundle is None or table.row < 0:
            return [("popular", reason("popular", self._query.lang))] * len(items)
        evidence = bundle.candidate_evidence[table.row].take(places)
        columns = (
            bundle.candidate_sources[table.row].take(places).tolist(),
            evidence.tolist(),
            visitor.has(items),
            visitor.has(evidence),
            (bundle.shelf_rank.take(items) < bundle.taken).tolist(),
        )
        codes = night_codes(bundle.sources, bundle.targets)
        told_by_table = []
        for source, cause, has_item, has_cause, popular in zip(*columns, strict=True):
            code, named = codes[source, cause >= 0, has_item, has_cause, cause != NOTHING_OWN, popular]
            why = self._because(code, cause) if named else reason(code, self._query.lang)
            told_by_table.append((bundle.sources[source], why))
        return told_by_table

    def _from_ladder(self, item: int, category: int | None) -> Ranked:
        """An item that fills the shelf: below everything before it, and no better than its popularity."""
        popularity = self._popularity(item)
        self._floor = min(self._floor, self._floor * popularity)
        if popularity <= 0:
            return Ranked(self._catalogue.item_id(item), self._floor, "catalogue", self._told_by_age(item))
        name = None
        if category is not None and category in self._catalogue.path(item):  # it may have moved by day
            name = self._catalogue.category_name(category)
        why = reason("popular" if name is None else "popular_in_category", self._query.lang, category=name)
        return Ranked(self._catalogue.item_id(item), self._floor, "popular", why)

    def _told_by_age(self, item: int) -> Reason:
        return reason("new" if self._is_new(item) else "available", self._query.lang)

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
