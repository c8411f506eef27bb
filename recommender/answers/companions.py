"""What goes with items: those bought in one order with them, and where too few were, those that are like them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recommender.answers.proposals import Proposals
from recommender.bundles.bundle import Bundle


class Companion(NamedTuple):
    """Why an item is a companion: of which item, and in how many orders they were, how many times as often as by
    chance (orders 0: it is only like it)."""

    item: int
    orders: int = 0
    lift: float = 0.0


def companions(bundle: Bundle, items: Sequence[int]) -> Proposals:
    """Companions of `items` (rows of the bundle), best first, each once; what is only like them comes after all that
    was bought with one of them. `causes` are for `companion`; scores are 0 to 1.
    """
    rows = list(items)
    near = np.concatenate([bundle.together_items[rows], bundle.neighbour_items[rows]], axis=1).ravel()
    # One order weighs more than all that can be said of likeness, which is at most 1 for each of the items.
    together = bundle.together_scores[rows] + np.float32(len(rows))
    parts = np.concatenate([together, bundle.neighbour_scores[rows]], axis=1).ravel()
    places = np.flatnonzero((near >= 0) & (parts > 0))
    found, parts = near[places], parts[places]
    by_item = np.lexsort((-parts, found))
    ordered = found[by_item]
    firsts = np.flatnonzero(np.diff(ordered, prepend=-1))
    total = np.add.reduceat(parts[by_item], firsts) if len(firsts) else parts
    causes = places[by_item[firsts]]
    best = np.lexsort((causes, -total))
    most = np.float32(max(len(rows) * (len(rows) + 1), 1))
    return Proposals(ordered[firsts[best]], total[best] / most, causes[best], near.size // max(len(rows), 1))


def companion(bundle: Bundle, items: Sequence[int], pool: Proposals, cause: int) -> Companion:
    """What a cause of the pool of `items` stands for."""
    seed, place = divmod(cause, pool.width)
    item = items[seed]
    if place >= bundle.together_items.shape[1]:
        return Companion(item)
    return Companion(item, int(bundle.together_orders[item, place]), float(bundle.together_lift[item, place]))
