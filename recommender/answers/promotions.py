"""What the merchant wants shown, with dates: pins (this item, at that place) and boosts (more of this kind of item).

They change the order of what may be shown and nothing else: hard rules come first, so a pinned item that is sold out or
filtered away is not shown, and the next best takes its place. They are the shop's will and not the model's, so every
shelf follows them, the control group's too: what the two arms differ in is the recommender alone.

A boost multiplies what speaks for an item, among the items that something speaks for. Beside them the most popular
items of the boosted kind may enter, as if they stood below the least of the proposals by their popularity: so a brand
that a visitor never met can be seen, but a factor cannot put it above what the visitor came for. A pin can.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.answers.catalogue import Catalogue
from recommender.answers.proposals import Proposals
from recommender.answers.slate import Rules
from recommender.bundles.bundle import Bundle
from recommender.types import Query

KINDS = ("item", "category", "brand", "tag")
"""What a boost may go by."""
SMALLEST_FACTOR, LARGEST_FACTOR = 0.1, 10.0
ENTRANTS = 20
"""Most items that one boost may bring in beside the proposals."""
ENTERED = -1
"""The cause of an item that a boost brought in."""
EVER = 2**63 - 1


class Pin(NamedTuple):
    """An item at a place, counted from 1."""

    item_id: str
    position: int


class Boost(NamedTuple):
    """`factor` times the score for whatever carries `name`; `by` is one of KINDS."""

    by: str
    name: str
    factor: float


class Promotion(NamedTuple):
    """A pin or boost and when it holds: on one placement or (None) all, from `starts_us` until before `ends_us` (UTC
    microseconds)."""

    rule_id: str
    does: Pin | Boost
    placement: str | None = None
    starts_us: int = 0
    ends_us: int = EVER


class Promotions:
    """The promotions of one app. What does not hold at the moment of a request is not seen by it."""

    __slots__ = ("_boosts", "_pins")

    def __init__(self, promotions: Sequence[Promotion] = ()) -> None:
        ordered = sorted(promotions, key=lambda one: one.rule_id)
        self._boosts = [(one, one.does) for one in ordered if isinstance(one.does, Boost)]
        pins = [(one, one.does) for one in ordered if isinstance(one.does, Pin)]
        self._pins = sorted(pins, key=lambda pair: pair[1].position)

    def pins(self, query: Query) -> list[Pin]:
        """Those that hold, by place, then by rule_id."""
        return [pin for one, pin in self._pins if _holds(one, query)] if self._pins else []

    def boosts(self, query: Query) -> list[Boost]:
        """Those that hold, by rule_id."""
        return [boost for one, boost in self._boosts if _holds(one, query)] if self._boosts else []


NO_PROMOTIONS = Promotions()


def _holds(one: Promotion, query: Query) -> bool:
    now_us = int(query.now.timestamp() * 1_000_000)
    return one.starts_us <= now_us < one.ends_us and one.placement in (None, query.placement)


def pinned(pins: Sequence[Pin], n: int, rules: Rules) -> list[tuple[int, int]]:
    """The place (from 0, ascending) and number of each pinned item that the rules let through on a shelf of n.

    Where a place is taken by the pin before, the next one counts; an item is pinned once.
    """
    if not pins:
        return []
    numbers = rules.catalogue.indices([pin.item_id for pin in pins])
    known = [(pin.position - 1, item) for pin, item in zip(pins, numbers, strict=True) if item >= 0]
    fits = rules.fit(np.array([item for _, item in known], np.int32)).tolist()
    found: dict[int, int] = {}
    free = 0
    for (wanted, item), fit in zip(known, fits, strict=True):
        place = max(wanted, free)
        if fit and place < n and item not in found:
            found[item] = place
            free = place + 1
    return [(place, item) for item, place in found.items()]


def boosted(pool: Proposals, boosts: Sequence[Boost], bundle: Bundle, catalogue: Catalogue) -> Proposals:
    """The pool with its scores times the factors of the boosts, in the new order, and with what the boosts bring in.

    Where several boosts meet on an item their factors are multiplied. What was brought in has the cause `ENTERED`.
    """
    entrants = _entrants(pool, boosts, bundle, catalogue)
    items = np.concatenate([pool.items, entrants])
    factors = np.ones(len(items))
    for boost in boosts:
        factors[catalogue.carrying(boost.by, boost.name, items)] *= boost.factor
    least = float(pool.scores.min()) if len(pool.items) else 1.0
    scores = np.concatenate([pool.scores, least * bundle.popularity(entrants)]) * factors
    causes = np.concatenate([pool.causes, np.full(len(entrants), ENTERED)])
    kept = factors > 1  # an entrant may have lost the brand today, or be held down by another boost
    kept[: len(pool.items)] = True
    order = np.argsort(-scores, kind="stable")
    order = order[kept[order]]
    return pool._replace(items=items[order], scores=scores[order], causes=causes[order])


def _entrants(pool: Proposals, boosts: Sequence[Boost], bundle: Bundle, catalogue: Catalogue) -> NDArray[np.int32]:
    """Popular items that the boosts may lift and nothing proposes: int32, each once."""
    lists = [_popular(boost, bundle, catalogue) for boost in boosts if boost.factor > 1]
    if not lists:
        return np.empty(0, np.int32)
    found = np.unique(np.concatenate(lists))
    return found[~np.isin(found, pool.items) & (bundle.popularity(found) > 0)]


def _popular(boost: Boost, bundle: Bundle, catalogue: Catalogue) -> NDArray[np.int32]:
    code = catalogue.code(boost.by, boost.name)
    if boost.by == "item":
        return np.array([code] if 0 <= code < catalogue.base else [], np.int32)
    return bundle.carrying(boost.by, code)[:ENTRANTS] if code >= 0 else np.empty(0, np.int32)
