"""Which offer a visitor gets, if any, with the exact chance that it was this one.

Of k offers that hold, one is chosen first, or none. With the chance e (`exploration`) it is drawn: each of the k, and
none, with 1 / (k + 1). Else one of the R draws of what may be true (Thompson 1933; Russo et al. 2018), kept by the
night, is taken, each with 1 / R, and of the offers that are worth something in it the best is chosen, or none. An offer
is worth gain + shift - (1 + price of its budget + price of all) x cost. All R draws are looked at together, so the
chance of a first choice is no estimate:

    e / (k + 1) + (1 - e) x (draws in which it is the best) / R

An offer of which the night does not know what it does to this visitor (it came since, the visitor may have it only
since, or there has been no night) goes by its rule alone ("cold"): it is chosen where nothing known is worth anything,
the one that ends first before others. Whoever puts an offer into the catalogue wants it seen at once; what it changes
is learnt from that day on, from those who got none.

What stands behind the first choice is not drawn: by mean worth, and only what is worth something. All that is random
depends on `seed` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, nan
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.offers.plan_files import OfferPlan

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]
Source = Literal["learned", "rule", "explored"]
NOTHING: Numbers = np.zeros(0, np.intp)
HALF = 2**32
NOT_A_NUMBER = -1e12
"""Stands for a worth that is not a number: so low that the offer is never chosen, and finite, so that the others can
still be compared."""
_NO_DRAWS = np.zeros((1, 0), np.float32), np.zeros(1, np.intp), np.zeros(1, bool)
"""Where nothing is known: one draw, in which nothing known is best."""


class Placing(NamedTuple):
    """Where offers stand among other things. standing: [k], how likely each is looked at where it stands if nothing
    else moves. examined: [P], how likely each position is looked at; loss: [k, P], minor units that other things lose
    when the offer is moved there, inf where it cannot stand; None: nothing moves. An offer that is worth w is worth the
    most of standing x w and examined x w - loss there."""

    standing: Floats
    examined: Floats
    loss: Floats | None = None


class Choice(NamedTuple):
    """What is chosen of k offers. `order`: their places, the first choice first; empty: none. `propensity`: of each of
    the k, that it is the first choice; `none`: that none is; together 1. `source`: of the first choice, or of choosing
    none. `worth`: mean of each, minor units; nan where it is not known. `drawn`: what the first choice is worth in the
    draw that it was chosen by."""

    order: tuple[int, ...]
    propensity: Floats
    none: float
    source: Source
    worth: Floats
    drawn: float = 0.0


def decide(
    plan: OfferPlan | None,
    row: int,
    columns: Numbers,
    prices: Floats | float,
    seed: int,
    *,
    exploration: float,
    n: int,
    alone: NDArray[np.bool_] | None = None,
    placing: Placing | None = None,
) -> Choice:
    """Chooses at most `n` of k offers that hold, given in the order in which their rules alone would put them.

    `plan`: the night's; None: there was none. `row`: the visitor's row in the plan. `columns`: [k], the column of each
    offer in the plan, -1 where the plan does not have it. `prices`: [k], or one for all: what a minor unit of an
    offer's cost is worth beyond itself now. `seed`: 64 random bits of the decision. `exploration`: chance, 0 to 1, that
    the first choice is drawn evenly. `alone`: bool [k], offers of which one answer may hold only one. `placing`: where
    on a slate each may stand (each at one position at least); None: positions do not matter.
    """
    count = len(columns)
    known, cold = _knows(plan, row, columns)
    otherwise = int(cold[0]) if len(cold) else count
    wins, worth = np.zeros(count + 1), np.full(count, nan)
    if plan is not None and len(known):
        draws = _draws(plan, row, columns[known], prices if isinstance(prices, float) else prices[known])
        best, pays = _best(draws if placing is None else _placed(draws, placing, known))
        wins[known] = np.bincount(best[pays], minlength=len(known))
        wins[otherwise] = np.count_nonzero(~pays)
        worth[known] = np.add.reduce(draws, axis=0) / len(draws)
    else:
        draws, best, pays = _NO_DRAWS
        wins[otherwise] = 1
    chances = exploration / (count + 1) + (1 - exploration) * wins / len(draws)
    mixed = _mixed(seed)
    turn, which = mixed >> 32, mixed % HALF
    source: Source
    if turn < exploration * HALF:
        first, source, drawn = which * (count + 1) // HALF, "explored", nan
    else:
        draw = which * len(draws) // HALF
        won = bool(pays[draw])
        first = int(known[best[draw]]) if won else otherwise
        source = "learned" if won or (first == count and count) else "rule"
        drawn = float(draws[draw, best[draw]]) if won else nan
    rest = [*_paying(worth, known), *cold.tolist()] if first < count and n > 1 else []
    order = () if first == count else _behind(first, rest, n, alone)
    if order and isnan(drawn):
        drawn = 0.0 if isnan(worth[first]) else float(worth[first])
    return Choice(order, chances[:-1], float(chances[-1]), source, worth, drawn)


def by_rule(count: int, n: int, alone: NDArray[np.bool_] | None = None) -> Choice:
    """The same without anything personal and without a draw: the first `n` of `count` offers in the order of their
    rules."""
    worth = np.full(count, np.nan)
    chances = np.zeros(count)
    chances[:1] = 1.0
    order = _behind(0, range(count), n, alone) if count else ()
    return Choice(order, chances, 0.0 if count else 1.0, "rule", worth)


def _knows(plan: OfferPlan | None, row: int, columns: Numbers) -> tuple[Numbers, Numbers]:
    """The offers of which the night knows what they do to the visitor, and the others."""
    if plan is None or not plan.offers:
        return NOTHING, np.arange(len(columns))
    knows = (columns >= 0) & plan.eligible[row].take(columns)
    return knows.nonzero()[0], (~knows).nonzero()[0]


def _draws(plan: OfferPlan, row: int, columns: Numbers, prices: Floats | float) -> NDArray[np.float32]:
    """What each offer is worth in each draw: [R, k]."""
    mean = plan.gain[row].take(columns) - (1.0 + prices) * plan.cost[row].take(columns)
    mean = np.fmax(mean, NOT_A_NUMBER).astype(np.float32)
    draws: NDArray[np.float32] = plan.shift[:, plan.group[row]].take(columns, axis=1) + mean
    return draws


def _best(draws: NDArray[Any]) -> tuple[Numbers, NDArray[np.bool_]]:
    """The best offer of each draw, and whether it is worth anything."""
    best = draws.argmax(axis=1)
    return best, draws[np.arange(len(draws)), best] > 0


def _placed(draws: NDArray[np.float32], placing: Placing, known: Numbers) -> NDArray[Any]:
    """What each offer is worth in each draw where it stands best."""
    most: NDArray[np.float32] = draws * placing.standing[known].astype(np.float32)
    if placing.loss is None:
        return most
    there = placing.examined.astype(np.float32)[:, None, None] * draws
    there -= placing.loss[known].T.astype(np.float32, order="C")[:, None, :]
    return np.maximum(most, np.maximum.reduce(there, axis=0), out=most)


def _paying(worth: Floats, known: Numbers) -> list[int]:
    """Places of those of the `known` offers that are worth more than 0, the best first."""
    worths = worth[known].tolist()
    paying = [(-one, place) for one, place in zip(worths, known.tolist(), strict=True) if one > 0]
    return [place for _, place in sorted(paying)]


def _behind(first: int, rest: Sequence[int], n: int, alone: NDArray[np.bool_] | None) -> tuple[int, ...]:
    """The first choice, then the rest in their order."""
    order, single = [first], alone is not None and bool(alone[first])
    for place in rest:
        if len(order) >= n:
            break
        if place == first or (alone is not None and single and alone[place]):
            continue
        order.append(place)
        single = single or (alone is not None and bool(alone[place]))
    return tuple(order[:n])


def _mixed(seed: int) -> int:
    """64 bits that have nothing to do with what else is drawn by the same seed (finalizer of SplitMix64: Steele, Lea
    and Flood 2014)."""
    seed = (seed + 0x9E3779B97F4A7C15) % 2**64
    seed = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    seed = (seed ^ (seed >> 27)) * 0x94D049BB133111EB % 2**64
    return seed ^ (seed >> 31)
