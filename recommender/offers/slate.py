"""Products and an offer in one slate, chosen together.

A slate is worth the sum of examined(position) x worth of the item there, and an offer on the item at a position adds
examined(position) x what the offer is worth to this visitor: what nobody looks at neither sells nor persuades.
Positions count as in discounted cumulative gain (Jarvelin and Kekalainen 2002). A slate carries one offer at most.

For one offer the best order of the slate is found exactly. The worth of the others falls along the slate, so with a
given item at a given place it is best to leave the order of all others alone; left to try are the item (one that the
offer covers) and its place. What the items lose by the move, `loss`, does not depend on what the offer is worth: so the
best place, and whether the offer is worth it, can be said of every draw of its worth at once, and the chance of an
offer to be chosen stays exact (`recommender.offers.decide`).

What an item's score is in money (`rate`) is known only where the night has measured it. Where it has not, items keep
their places, and an offer stands on the best placed item that it covers. Pinned and explored items keep theirs always.
Which items are in the slate is not touched: their own chance to be there stays what it was.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.offers.decide import Placing

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Places(NamedTuple):
    """Where each of k offers may stand on a slate of n. `placing`: see `decide`. best: [k], the best placed item that
    each covers. item: [k, n], the place in the slate as it was of the item that would carry the offer at each position
    (-1: none); None where no item moves."""

    placing: Placing
    best: NDArray[np.intp]
    item: NDArray[np.intp] | None = None


@lru_cache(maxsize=1_000)
def examined(positions: int) -> Floats:
    """How likely each position, from the first, is looked at, beside the first one's 1."""
    found: Floats = 1.0 / np.log2(np.arange(2, positions + 2))
    return found


@lru_cache(maxsize=1_000)
def _later(positions: int) -> Mask:
    """Whether b is a or comes after it: [a, b]."""
    at = np.arange(positions)
    found: Mask = at[None, :] >= at[:, None]
    return found


def places(covers: Mask, scores: Floats, fixed: Mask, rate: float | None = None) -> Places:
    """covers: [k, n], which items of the slate each offer covers, each at least one. scores: [n]. fixed: [n], items
    that keep their place. rate: minor units that a score of 1 at the first position is worth; None: not known, no item
    moves."""
    looked = examined(len(scores))
    everywhere = bool(covers.all())
    best = covers.argmax(axis=1)
    if rate is None or fixed.all():
        return Places(Placing(looked.take(best), looked), best)
    free = np.flatnonzero(~fixed)
    by_offer = (_moves(looked[free], scores[free]) * rate)[None]
    if not everywhere:  # what is for all items moves all of them alike
        by_offer = np.where(covers[:, None, free], by_offer, np.inf)
    loss = np.full((len(by_offer), len(scores)), np.inf)
    loss[:, free] = np.minimum.reduce(by_offer, axis=2)
    item = np.full(loss.shape, -1, np.intp)
    item[:, free] = free[by_offer.argmin(axis=2)]
    if everywhere:
        loss, item = (one.repeat(len(covers), axis=0) for one in (loss, item))
    return Places(Placing(looked.take(best), looked, loss), best, item)


def _moves(looked: Floats, scores: Floats) -> Floats:
    """What is lost when the item at b comes to a, before it, and those between go down by one: [a, b]."""
    down = np.zeros(len(scores))
    np.cumsum((looked[:-1] - looked[1:]) * scores[:-1], out=down[1:])
    lost = down[None, :] - down[:, None] - (looked[:, None] - looked[None, :]) * scores[None, :]
    return np.where(_later(len(scores)), np.maximum(lost, 0.0), np.inf)  # a mixed shelf is not by score


def lay(found: Places, fixed: Mask, offer: int, worth: float) -> tuple[list[int], int]:
    """The slate with that offer, which is worth so much: places in the slate as it was, and the position (from 0) that
    carries the offer."""
    standing, looked, loss = found.placing
    stays = [*range(len(looked))], int(found.best[offer])
    if loss is None or found.item is None:
        return stays
    worth = max(worth, 0.0)
    earned = looked * worth - loss[offer]
    position = int(earned.argmax())
    item = int(found.item[offer, position])
    if earned[position] <= standing[offer] * worth or item == position:
        return stays
    movable = np.flatnonzero(~fixed).tolist()
    order = [place for place in movable if place != item]
    order.insert(movable.index(position), item)
    rest = iter(order)
    return [place if fixed[place] else next(rest) for place in range(len(looked))], position
