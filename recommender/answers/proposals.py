"""What speaks for which item: the night's table, the day's events, the cart and the page, put together.

The night has already ranked a table of candidates for every known visitor; a visitor without one starts from the
popular items. Items that the visitor touched since, that lie in the cart or that are on the page are seeds: their
neighbours rise. A candidate's score is the sum of what speaks for it, and the part that weighs most is its cause:

    score(i) = table(u, i) + weight * sum_e signal(e) * fade^age(e) * near(item(e), i)
               + rate * neighbour(page, i) + folded(i)

where e runs over the visitor's latest items, near is the night's neighbours (of an item that came since the night: its
kin, `recommender.answers.kin`), rate makes the best neighbours of a page weigh as much, on average, as
the best candidates of a visitor, and folded is what the factors say of the same events (`recommender.answers.fold`).
The night learns these weights (`recommender.bundles.today`). Only candidates are looked at, never the whole
catalogue, so the cost does not grow with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.answers.catalogue import Catalogue
from recommender.answers.columns import members
from recommender.answers.fold import fold_in
from recommender.answers.kin import Near, kin
from recommender.answers.returns import CANCEL, PURCHASE, SENT_BACK, Returns
from recommender.bundles.bundle import Bundle
from recommender.bundles.today import SIGNALS
from recommender.types import Query, Recent, State

POPULAR_HEAD = 100
LATEST_ITEMS = 10
CART_ITEMS = 5
TAKEN_BACK = frozenset(kind for kind, (weight, _) in SIGNALS.items() if not weight)


class Seed(NamedTuple):
    """An item whose neighbours rise, by how much, the reason that makes, and how much the event itself says (0: the
    page, which is none). near: what stands for the neighbours of an item that came since the night."""

    item: int
    weight: float
    code: str
    trust: float = 0.0
    near: Near | None = None


class Act(NamedTuple):
    """Something done today with an item. age: how many later moments there were at which something was done."""

    item: int
    kind: str
    age: int


class Visitor(NamedTuple):
    """What is known of the visitor: row in the bundle (-1 none), items had at night (ascending), and when items had
    since were had last (UTC microseconds)."""

    row: int
    history: NDArray[np.int32]
    since: Mapping[int, int]

    def has(self, items: NDArray[np.int32]) -> list[bool]:
        """Which of `items` the visitor has bought (or whatever else counts as success)."""
        if not len(self.history) and not self.since:
            return [False] * len(items)
        had = members(items, self.history) if len(self.history) else np.zeros(len(items), bool)
        for item in self.since:
            had |= items == item
        return had.tolist()


class Table(NamedTuple):
    """What the night proposes: items (best first), scores, and the visitor's row (-1: the popular items).

    `origins`: where the largest part of each score comes from, when lists of an occasion speak too (`occasions.hear`).
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    row: int
    origins: NDArray[np.int64] | None = None


class Proposals(NamedTuple):
    """Proposals, best first, each item once. `causes`: where the part that weighs most stands, counted through the
    table and then through the neighbours (`width` each) of one seed after the other; then come the factors."""

    items: NDArray[np.int32]
    scores: NDArray[Any]
    causes: NDArray[np.integer[Any]]
    width: int


NO_ITEMS = np.empty(0, np.int32)
NO_TABLE = Table(NO_ITEMS, np.empty(0, np.float32), -1)
STRANGER = Visitor(-1, NO_ITEMS, {})
_TRUE = np.ones(1, bool)


def who(bundle: Bundle | None, catalogue: Catalogue, query: Query, state: State) -> tuple[Visitor, list[Act]]:
    """The visitor, and what was done with each of the latest items, newest first.

    Of several things done with an item the one that says most counts, at the time of the newest. What was taken back
    (out of the cart, off the favourites) takes everything before it along but a purchase, for a checkout empties the
    cart. What was sent back takes that along, too, and is not had any more; of orders from before the night, whose
    lines are not known by day, only where the event names the item.
    """
    row = bundle.users.index(query.user_id) if bundle else -1
    history = bundle.bought(row) if bundle else NO_ITEMS
    if not state.recent:
        return Visitor(row, history, {}), []
    targets = bundle.targets if bundle else ("purchase",)
    signals = bundle.today.signals if bundle else {}
    done: dict[str, str] = {}
    when: dict[str, int] = {}
    had: dict[str, int] = {}
    put_away, sent_back = set[str](), set[str]()
    returns = Returns.of(state.recent)
    for event in _newest_first(state.recent):
        one, kind = event.item_id, CANCEL if returns.has(event) else event.type
        if one is None or returns.in_part(event):
            continue
        if kind in targets:
            had.setdefault(one, event.ts_us)
        if kind not in SIGNALS or one in sent_back or (one in put_away and kind != PURCHASE):
            continue
        if kind in TAKEN_BACK:
            (sent_back if kind in SENT_BACK else put_away).add(one)
            done.setdefault(one, kind)
        elif signals.get(kind, 0.0) > signals.get(done.setdefault(one, kind), 0.0):
            done[one] = kind
        when.setdefault(one, event.ts_us)
    ids = [*done, *(had.keys() - done.keys())]
    numbers = dict(zip(ids, catalogue.indices(ids), strict=True))
    acts = _aged([(numbers[one], kind, when[one]) for one, kind in done.items() if numbers[one] >= 0])
    if sent_back:
        history = history[~np.isin(history, [numbers[one] for one in sent_back])]
    return Visitor(row, history, {numbers[one]: ts for one, ts in had.items() if numbers[one] >= 0}), acts


def _aged(done: Sequence[tuple[int, str, int]]) -> list[Act]:
    """What was done (item, event type, time), newest first, by age: the lines of one order are equally old."""
    acts: list[Act] = []
    age, last = -1, None
    for item, kind, ts in done:
        age, last = (age, last) if ts == last else (age + 1, ts)
        acts.append(Act(item, kind, age))
    return acts


def _newest_first(recent: Sequence[Recent]) -> Sequence[Recent]:
    """Of events at one moment (many clients tell whole seconds) the one that takes back is the later one."""
    if all(one.ts_us > other.ts_us for one, other in pairwise(recent)):
        return recent
    return sorted(recent, key=lambda one: (-one.ts_us, one.type not in TAKEN_BACK, one.type, one.item_id or ""))


def seeds_of(
    bundle: Bundle, catalogue: Catalogue, query: Query, page: int, acts: Sequence[Act], *, weight: float
) -> list[Seed]:
    """Items whose neighbours rise: the page's, then (only for a person) the cart's and the latest, each item once; none
    that came since the night and has no kin.

    weight: what a similarity of 1 to the newest of them is worth."""
    if page < 0 and not acts and not query.cart:
        return []
    seeds = {page: Seed(page, bundle.today.page, "similar_to")}
    if query.personalized:
        today = bundle.today
        trust = today.signals["cart"]
        for item in catalogue.indices(query.cart[-CART_ITEMS:]):
            seeds.setdefault(item, Seed(item, trust * weight, SIGNALS["cart"][1], trust))
        for item, kind, age in acts[:LATEST_ITEMS]:
            trust = today.signals[kind] * today.fade**age
            seeds.setdefault(item, Seed(item, trust * weight, SIGNALS[kind][1], trust))
    wanted = [seed for seed in seeds.values() if seed.weight > 0 and seed.item >= 0]
    if all(seed.item < catalogue.base for seed in wanted):
        return wanted
    return [seed for seed in (_with_kin(bundle, catalogue, one) for one in wanted) if seed is not None]


def _with_kin(bundle: Bundle, catalogue: Catalogue, seed: Seed) -> Seed | None:
    """The seed, with its kin where it came since the night; None where it has none."""
    if seed.item < catalogue.base:
        return seed
    table = bundle.neighbour_scores if seed.code == "similar_to" else bundle.session_scores
    near = kin(bundle, catalogue, seed.item, table)
    return None if near is None else seed._replace(near=near)


def has_table(bundle: Bundle, row: int) -> bool:
    """Whether the night ranked candidates for the visitor of a row (-1: unknown)."""
    return row >= 0 and bundle.candidate_items.shape[1] > 0 and bool(bundle.candidate_items[row, 0] >= 0)


def table_of(bundle: Bundle, row: int, popular_weight: float) -> Table:
    """The visitor's candidates, or the popular items (times `popular_weight`) for one who has none."""
    if has_table(bundle, row):
        items = bundle.candidate_items[row]
        end = len(items) if items[-1] >= 0 else int(np.count_nonzero(items >= 0))
        return Table(items[:end], bundle.candidate_scores[row, :end], row)
    scores = bundle.popular_scores[:POPULAR_HEAD]
    scores = scores[: int(np.count_nonzero(scores))]  # an item of score 0 is on the list and popular with nobody
    return Table(bundle.popular_items[: len(scores)], scores * np.float32(popular_weight), -1)


def proposed(bundle: Bundle, table: Table, seeds: Sequence[Seed]) -> Proposals:
    """The table and the neighbours of the seeds as one list: an item's parts add up, the largest is its cause."""
    if not seeds:
        return Proposals(table.items, table.scores, np.arange(len(table.items)), 0)
    near, parts = _near(bundle, seeds)
    items = np.concatenate([table.items, near.ravel()])
    scores = np.concatenate([table.scores, parts.ravel()])
    useful = (items >= 0) & (scores > 0)
    useful[: len(table.items)] = True
    places = np.flatnonzero(useful)
    if not len(places):
        return Proposals(NO_ITEMS, table.scores[:0], places, 0)
    items, scores = items[places], scores[places]
    by_item = np.lexsort((-scores, items))  # an item's parts together, its largest first
    ordered = items[by_item]
    firsts = np.flatnonzero(np.concatenate([_TRUE, ordered[1:] != ordered[:-1]]))
    causes = places[by_item[firsts]]
    total = np.add.reduceat(scores[by_item], firsts)
    items = ordered[firsts]
    if table.row < 0 and bundle.today.fold and bundle.fold_items.shape[1]:
        folded = _folded(bundle, items, seeds)
        total += folded
        causes[folded > scores[by_item[firsts]]] = len(table.items) + near.size
    best = np.lexsort((causes, -total))  # equals keep the night's order
    return Proposals(items[best], total[best], causes[best], near.shape[1])


def _near(bundle: Bundle, seeds: Sequence[Seed]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """What each seed speaks for, and how much: [seeds, neighbours], -1 pads. The page speaks for what is like it, the
    visitor's items for what follows from them."""
    rows = [0 if seed.near else seed.item for seed in seeds]
    items, parts = bundle.session_items[rows], bundle.session_scores[rows]
    if seeds[0].code == "similar_to":
        items[0], parts[0] = bundle.neighbour_items[rows[0]], bundle.neighbour_scores[rows[0]]
    for at, seed in enumerate(seeds):
        if seed.near:
            items[at], parts[at] = -1, 0.0
            items[at, : len(seed.near.items)], parts[at, : len(seed.near.items)] = seed.near
    parts *= np.array([[seed.weight] for seed in seeds], np.float32)
    return items, parts


def _folded(bundle: Bundle, items: NDArray[np.int32], seeds: Sequence[Seed]) -> NDArray[np.float32]:
    """What the factors say of `items` (ascending) to whom did what the seeds are: float32, 0 or more, 0 for the seeds,
    of which they say most and nothing new. A visitor with a table has had the factors' word in it."""
    own = [seed for seed in seeds if seed.trust and not seed.near]
    if not own:
        return np.zeros(len(items), np.float32)
    trust = np.array([seed.trust for seed in own])
    taken = [seed.item for seed in own]
    vector = fold_in(bundle.fold_items[taken], bundle.fold_scale, trust * bundle.today.confidence)
    said = bundle.fold_items.take(items, axis=0) @ vector.astype(np.float32)
    said[members(items, np.array(sorted(taken), np.int32))] = 0
    return np.maximum(said, np.float32(0.0)) * np.float32(bundle.today.fold * own[0].weight / own[0].trust)
