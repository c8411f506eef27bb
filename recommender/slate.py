"""From proposals to a shelf: hard rules first, then diversity, then the ladder that keeps the shelf from being empty.

Rules look at the proposed items only. The ladder is walked in slices, most popular first, and every eligible item is
on one of its rungs: as long as n eligible items exist, n come back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.bundle import Bundle
from recommender.catalogue import Catalogue, Conditions, Removed
from recommender.columns import members
from recommender.rows import Mask, Numbers

SMALLEST_SLICE = 64
LARGEST_SLICE = 65_536
LONGEST_MERGE = 65_536


class Rules:
    """The hard rules of one request; nothing that breaks one of them is ever shown.

    `blocked`: item -> the rule that forbids it (page, cart, excluded, bought). `bought`: items forbidden because the
    visitor has them already (int32, ascending). `removed` counts what the rules took from the proposals.
    """

    __slots__ = ("_blocked", "_bought", "_ordered", "catalogue", "conditions", "removed")

    def __init__(
        self, catalogue: Catalogue, conditions: Conditions, blocked: Mapping[int, str], bought: NDArray[np.int32]
    ) -> None:
        self.catalogue = catalogue
        self.conditions = conditions
        self.removed: Removed = {}
        self._blocked = blocked
        self._ordered = np.array(sorted(blocked), np.int32)
        self._bought = bought

    def proposals(self, items: Numbers) -> Mask:
        """Which of the proposed items may be shown; what may not is counted."""
        return self._fit(items, self.removed)

    def fit(self, items: Numbers) -> Mask:
        """Which of `items` may be shown: bool, same length."""
        return self._fit(items, None)

    def _fit(self, items: Numbers, removed: Removed | None) -> Mask:
        fits = self.catalogue.allowed(items, self.conditions, removed)
        if not np.count_nonzero(fits):
            return fits
        if len(self._ordered):
            hit = members(items, self._ordered) & fits
            if removed is not None and np.count_nonzero(hit):
                for item in items[hit].tolist():
                    rule = self._blocked[item]
                    removed[rule] = removed.get(rule, 0) + 1
            fits &= ~hit
        if len(self._bought):
            hit = members(items, self._bought) & fits
            if removed is not None and (count := int(np.count_nonzero(hit))):
                removed["bought"] = removed.get("bought", 0) + count
            fits &= ~hit
        return fits


def spread(scores: NDArray[np.floating], leaves: NDArray[np.int32], n: int, strength: float) -> list[int]:
    """Positions of n items, best first, when each further item of a leaf category is worth (1 - strength) as much.

    `scores` are 0 or more and `leaves` -1 without a category, both of the same length.
    """
    worth = scores.astype(np.float64)
    waiting = np.ones(len(worth), bool)
    chosen: list[int] = []
    for _ in range(min(n, len(worth))):
        best = int(np.where(waiting, worth, -1.0).argmax())
        chosen.append(best)
        waiting[best] = False
        if leaves[best] >= 0:
            worth[leaves == leaves[best]] *= 1 - strength
    return chosen


class Rung(NamedTuple):
    """A list of items to fill from, best first. `category`: code of the category that they were looked up by."""

    items: NDArray[np.int32]
    category: int | None = None


def ladder(bundle: Bundle | None, catalogue: Catalogue, conditions: Conditions, page: int) -> Iterator[Rung]:
    """Where to fill a shelf from: the category of the item on the page (`page`, -1 for none), the night's items, what
    came or changed since. With a filter by category, brand or tag, that one's list stands for the night's items."""
    if conditions.unknown:
        return
    if bundle is not None:
        if page >= 0 and (path := catalogue.path(page)):
            yield Rung(bundle.carrying("category", path[-1]), path[-1])
        yield _narrow(bundle, conditions) or Rung(bundle.shelf_items)
    yield Rung(catalogue.later_items())


def walk(rung: Rung, rules: Rules, taken: set[int], needed: int) -> list[int]:
    """The first `needed` items of a rung that fit the rules and are not taken. Slices grow, so a long rung whose
    first items do not fit costs a few large looks instead of many small ones."""
    found: list[int] = []
    start, size = 0, max(SMALLEST_SLICE, 2 * needed)
    while start < len(rung.items) and len(found) < needed:
        part = rung.items[start : start + size]
        fitting = part[rules.fit(part)].tolist()
        found.extend([item for item in fitting if item not in taken][: needed - len(found)])
        start, size = start + size, min(4 * size, LARGEST_SLICE)
    return found


def _narrow(bundle: Bundle, conditions: Conditions) -> Rung | None:
    """The shortest list that holds every night's item that can fit, None when nothing narrows the request."""
    asked = (("category", conditions.category), ("brand", conditions.brand), ("tag", conditions.tags))
    choices = [[bundle.carrying(kind, code) for code in codes] for kind, codes in asked if codes]
    if not choices:
        return None
    lists = min(choices, key=lambda choice: sum(map(len, choice)))
    wanted = conditions.category[0] if len(conditions.category) == 1 else None
    if len(lists) == 1:
        return Rung(lists[0], wanted)
    # Several lists become one in order of popularity, unless that costs more than walking the shelf.
    if sum(map(len, lists)) > LONGEST_MERGE:
        return None
    return Rung(bundle.shelf_items[np.unique(bundle.shelf_rank[np.concatenate(lists)])], wanted)
