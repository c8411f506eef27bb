"""What speaks for which item: the night's table, the day's events, the cart and the page, put together.

The night has already ranked a table of candidates for every known visitor; a visitor without one starts from the
popular items. Items that the visitor touched since, that lie in the cart or that are on the page are seeds: their
neighbours rise. A candidate's score is the sum of what speaks for it, and the part that weighs most is its cause:

    score(i) = table(u, i) + session_weight * sum_e signal(e) * FADE^age(e) * neighbour(item(e), i) + neighbour(page, i)

where e runs over the visitor's latest items, newest first. Only candidates are looked at, never the whole catalogue,
so the cost does not grow with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.bundle import Bundle
from recommender.catalogue import Catalogue
from recommender.columns import members
from recommender.types import Query, Recent, State

POPULAR_HEAD = 100
LATEST_ITEMS = 10
CART_ITEMS = 5
FADE = 0.85
STRANGER_WEIGHT = 0.5
"""Popularity beside one's own clicks, for a visitor whom the night did not know."""

SIGNALS: Mapping[str, tuple[float, str]] = {
    "purchase": (1.0, "because_bought"),
    "cart": (0.8, "because_carted"),
    "favorite": (0.8, "because_saved"),
    "group_open": (0.8, "because_viewed"),
    "group_join": (0.8, "because_viewed"),
    "share": (0.6, "because_viewed"),
    "click": (0.5, "because_viewed"),
    "item_view": (0.5, "because_viewed"),
    "cart_remove": (0.0, ""),
    "unfavorite": (0.0, ""),
    "refund": (0.0, ""),
    "order_cancel": (0.0, ""),
}
"""How much the last thing done with an item says, and the reason it becomes; 0 takes back what was said before."""


class Seed(NamedTuple):
    """An item whose neighbours rise, by how much, and the reason that makes."""

    item: int
    weight: float
    code: str


class Visitor(NamedTuple):
    """What is known of the visitor: row in the bundle (-1 none), items had at night (ascending) and had since."""

    row: int
    history: NDArray[np.int32]
    since: frozenset[int]

    def has(self, items: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of `items` the visitor has bought (or whatever else counts as success)."""
        had = members(items, self.history) if len(self.history) else np.zeros(len(items), bool)
        for item in self.since:
            had |= items == item
        return had


class Table(NamedTuple):
    """What the night proposes: items (best first), scores, and the visitor's row (-1: the popular items)."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    row: int


class Pool(NamedTuple):
    """Proposals, best first, each item once. `causes`: where the part that weighs most stands, counted through the
    table and then through the neighbours (`width` each) of one seed after the other."""

    items: NDArray[np.int32]
    scores: NDArray[Any]
    causes: NDArray[np.integer[Any]]
    width: int


NO_ITEMS = np.empty(0, np.int32)
NO_TABLE = Table(NO_ITEMS, np.empty(0, np.float32), -1)
STRANGER = Visitor(-1, NO_ITEMS, frozenset())
_TRUE = np.ones(1, bool)


def who(
    bundle: Bundle | None, catalogue: Catalogue, query: Query, state: State
) -> tuple[Visitor, list[tuple[int, str]]]:
    """The visitor, and the last thing done with each of the latest items, newest first, as (item, event type)."""
    targets = bundle.targets if bundle else ("purchase",)
    latest: dict[str, str] = {}
    had: set[str] = set()
    for event in sorted(state.recent, key=_newest_first):
        if event.item_id is None:
            continue
        if event.type in SIGNALS:
            latest.setdefault(event.item_id, event.type)
        if event.type in targets:
            had.add(event.item_id)
    ids = [*latest, *(had - latest.keys())]
    numbers = dict(zip(ids, catalogue.indices(ids), strict=True))
    acts = [(numbers[one], kind) for one, kind in latest.items() if numbers[one] >= 0]
    row = bundle.users.index(query.user_id) if bundle else -1
    history = bundle.bought(row) if bundle else NO_ITEMS
    return Visitor(row, history, frozenset(numbers[one] for one in had if numbers[one] >= 0)), acts


def _newest_first(event: Recent) -> tuple[int, str, str]:
    return -event.ts_us, event.type, event.item_id or ""


def seeds_of(
    bundle: Bundle, catalogue: Catalogue, query: Query, page: int, acts: Sequence[tuple[int, str]]
) -> list[Seed]:
    """Items whose neighbours rise: the page's, then (only for a person) the cart's and the latest, each item once."""
    seeds = {page: Seed(page, 1.0, "similar_to")}
    if query.personalized:
        weight, code = SIGNALS["cart"]
        for item in catalogue.indices(query.cart[-CART_ITEMS:]):
            seeds.setdefault(item, Seed(item, weight * bundle.session_weight, code))
        fade = bundle.session_weight
        for item, kind in acts[:LATEST_ITEMS]:
            weight, code = SIGNALS[kind]
            seeds.setdefault(item, Seed(item, weight * fade, code))
            fade *= FADE
    return [seed for seed in seeds.values() if seed.weight > 0 and 0 <= seed.item < catalogue.base]


def table_of(bundle: Bundle, row: int, popular_weight: float) -> Table:
    """The visitor's candidates, or the popular items (times `popular_weight`) for one who has none."""
    if row >= 0 and bundle.candidate_items.shape[1]:
        items = bundle.candidate_items[row]
        end = len(items) if items[-1] >= 0 else int(np.count_nonzero(items >= 0))
        if end:
            return Table(items[:end], bundle.candidate_scores[row, :end], row)
    scores = bundle.popular_scores[:POPULAR_HEAD]
    scores = scores[: int(np.count_nonzero(scores))]  # an item of score 0 is on the list and popular with nobody
    return Table(bundle.popular_items[: len(scores)], scores * np.float32(popular_weight), -1)


def blend(bundle: Bundle, table: Table, seeds: Sequence[Seed]) -> Pool:
    """The table and the neighbours of the seeds as one list: an item's parts add up, the largest is its cause."""
    if not seeds:
        return Pool(table.items, table.scores, np.arange(len(table.items)), 0)
    rows = [seed.item for seed in seeds]
    weights = np.array([[seed.weight] for seed in seeds], np.float32)
    near, parts = bundle.neighbour_items[rows].ravel(), (bundle.neighbour_scores[rows] * weights).ravel()
    items = np.concatenate([table.items, near])
    scores = np.concatenate([table.scores, parts])
    useful = np.concatenate([np.ones(len(table.items), bool), (near >= 0) & (parts > 0)])
    places = np.flatnonzero(useful)
    if not len(places):
        return Pool(NO_ITEMS, table.scores[:0], places, 0)
    items, scores = items[places], scores[places]
    by_item = np.lexsort((-scores, items))  # an item's parts together, its largest first
    ordered = items[by_item]
    firsts = np.flatnonzero(np.concatenate([_TRUE, ordered[1:] != ordered[:-1]]))
    causes = places[by_item[firsts]]
    total = np.add.reduceat(scores[by_item], firsts)
    best = np.lexsort((causes, -total))  # equals keep the night's order
    return Pool(ordered[firsts[best]], total[best], causes[best], bundle.neighbour_items.shape[1])
