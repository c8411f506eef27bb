"""What was shown, and what came of it: how likely a place is looked at, and how appealing an item is.

The position-based click model (Richardson, Dominowska, Ragno 2007, "Predicting clicks"; Chuklin, Markov, de Rijke
2015, "Click models for web search"): an item is opened when its place is looked at and it appeals,

    P(click) = examined(place) x appeal(item).

Expectation maximisation creeps where clicks are one in a hundred (each round moves the estimates by that share). The
mean of the model is all that is needed, so places and items are matched to their clicks in turn, which converges in a
dozen rounds and to the same means (the quasi-likelihood of a product: Gourieroux, Monfort, Trognon 1984).

Only products are known; the best place stands at 1, and an item's appeal is how often it is opened there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.isotonic import isotonic_regression

Floats = npt.NDArray[np.float64]

MOST_PLACES = 50
"""Places further down count as the last of these."""
PLACE_CLICKS = 25.0
"""Clicks from which on a place speaks for itself rather than for the rule that places further down are seen less."""
ITEM_CLICKS, FITTING_CLICKS = 3.0, 0.3
"""Clicks that the average counts for in an item's appeal; and while places are fitted, where a strong pull would take
good items that stand above for an effect of their places."""
ROUNDS, STILL = 200, 1e-6


class Exposures(NamedTuple):
    """What a history tells about what was shown.

    examined: float64[P], how likely each place (from the first) is looked at, beside the best one's 1. appeal:
    float64[I], how often an item is opened where it is looked at as the best place is; NaN = never shown. looked:
    [U, I], how often the visitor will have looked at the item of late (a sum of `examined`); passed: the part of it
    after which it was not opened.
    """

    examined: Floats
    appeal: Floats
    looked: sp.csr_matrix
    passed: sp.csr_matrix


class Shown(NamedTuple):
    """Counts of each visitor, item and place (from 0): how often it was shown there, and then opened. late: this row
    is of late, for `looked` and `passed`. Arrays of one length."""

    user: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    place: npt.NDArray[np.int32]
    shown: Floats
    opened: Floats
    late: npt.NDArray[np.bool_]


class Looks(NamedTuple):
    """What was shown in a stretch of time: int32[N] user, item and place (from 0), bool[N] opened."""

    user: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    place: npt.NDArray[np.int32]
    opened: npt.NDArray[np.bool_]

    @classmethod
    def none(cls) -> Looks:
        """Nothing was shown."""
        nothing = np.empty(0, np.int32)
        return cls(nothing, nothing, nothing, np.empty(0, bool))

    def some(self, chosen: npt.NDArray[np.bool_]) -> Looks:
        """Those where `chosen`."""
        return Looks(self.user[chosen], self.item[chosen], self.place[chosen], self.opened[chosen])


def exposures_of(counts: Shown, shape: tuple[int, int]) -> Exposures | None:
    """What counts of `shape` (users, items) tell; None where nothing was opened."""
    user, item, place, shown, opened, late = counts
    if not opened.sum():
        return None
    place = np.minimum(place, MOST_PLACES - 1).astype(np.int32)
    size = (shape[1], int(place.max()) + 1)
    examined, appeal = fit(*(sp.csr_matrix((values, (item, place)), shape=size) for values in (shown, opened)))
    of_late = user[late], item[late]
    looked, passed = (
        sp.csr_matrix((values[late] * examined[place[late]], of_late), shape=shape, dtype=np.float32)
        for values in (shown, shown - opened)
    )
    return Exposures(examined, appeal, looked, passed)


def fit(shown: sp.csr_matrix, opened: sp.csr_matrix) -> tuple[Floats, Floats]:
    """examined float64[P] and appeal float64[I], from counts [I, P]: see `Exposures`."""
    of_place, of_item = (np.asarray(opened.sum(axis=axis), np.float64).ravel() for axis in (0, 1))
    times = np.asarray(shown.sum(axis=1)).ravel()
    examined: Floats = np.ones(shown.shape[1])
    for _ in range(ROUNDS):
        appeal = _appeal(of_item, shown @ examined, FITTING_CLICKS)
        found = _places(of_place, appeal @ shown)
        moved = np.abs(found - examined).max()
        examined = found
        if moved < STILL:
            break
    return examined, np.where(times > 0, _appeal(of_item, shown @ examined, ITEM_CLICKS), np.nan)


def _appeal(opened: Floats, looks: Floats, pull: float) -> Floats:
    """Opened of looks, shrunk to the average of all items, which counts for so many clicks."""
    average = opened.sum() / max(looks.sum(), 1e-12)
    shrunk: Floats = (opened + pull) / (looks + pull / average)
    return shrunk


def _places(opened: Floats, expected: Floats) -> Floats:
    """Opened beside what is expected of the items shown, the best place at 1.

    Shrunk towards the nearest shape that falls from place to place; so thin places are in order, and a shop with much
    to go by may have its best place in the middle.
    """
    seen = expected > 0
    ratio = np.divide(opened, expected, out=np.zeros(len(opened)), where=seen)
    falling = isotonic_regression(ratio, sample_weight=np.maximum(expected, 1e-9), increasing=False)
    least = 1e-3 * falling.max()
    falling = np.maximum(falling, least)
    shrunk = (opened + PLACE_CLICKS) / (expected + PLACE_CLICKS / falling)
    even: Floats = shrunk / shrunk.max()
    return even
