"""A stated share of a shelf's places for items that few have seen yet, so that they can show what they are worth.

A shelf that only follows what is known keeps new items unknown. Of L places `share` x L go to newcomers: the whole part
of that number always, one more with the probability of its fraction, so that the share is exact however short the
shelf. They are drawn from the lot of those whose categories the visitor's candidates are from: measured on the
sample shop, such items bring three times the clicks of any newcomers, and as visitors differ, six times as many of them
are seen. Every newcomer of the lot has the same chance, and so has every place; what they push off the shelf is its
end, which costs least. So the probability that an item is in the answer (its propensity) is known for every item shown,
and what explored items earn can be weighed without bias (Horvitz & Thompson 1952; Bottou et al. 2013).

The draw depends on its seed alone: the same request with the same seed has the same answer.
"""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_NEWCOMERS = 10
"""Newcomers that one draw is among, or as many as it takes for the share."""
MOST_CONSIDERED = 1_000
"""Newcomers that the lot is chosen from."""
LIKED = 50
"""Of the visitor's candidates, whose categories tell which newcomers may suit."""


class Draw(NamedTuple):
    """places: of the shelf that newcomers get, from 0, ascending. picked: which newcomer each of them gets.
    propensity: of a newcomer that is shown. edge: the first item (from 0, best first) that may have had to go; kept:
    its propensity, 1 for those before it.
    """

    places: list[int]
    picked: list[int]
    propensity: float
    edge: int
    kept: float


def by_taste(
    newcomers: NDArray[np.int32], paths: NDArray[np.int32], liked: NDArray[np.int32], scores: NDArray[Any]
) -> NDArray[np.int32]:
    """`newcomers` by how much their categories weigh among the visitor's candidates, equals in the order given.

    paths: of the newcomers, liked: of the candidates, [N, D] category codes from the root padded with -1; scores: of
    the candidates, 0 or more. The deepest category of an item counts.
    """
    of_new, of_liked = _leaf(paths), _leaf(liked)
    weight = np.bincount(of_liked, scores, minlength=int(of_new.max(initial=0)) + 1)
    weight[0] = 0.0
    return newcomers[np.argsort(-weight.take(of_new), kind="stable")]


def _leaf(paths: NDArray[np.int32]) -> NDArray[np.int32]:
    """The deepest category of each path plus 1, 0 for none."""
    deepest: NDArray[np.int32] = np.full(len(paths), -1, np.int32)
    for level in range(paths.shape[1]):
        np.copyto(deepest, paths[:, level], where=paths[:, level] >= 0)
    return deepest + 1


def draw(length: int, newcomers: int, share: float, seed: int) -> Draw:
    """Places for newcomers on a shelf of `length` items that has `newcomers` to draw from."""
    whole = int(length * share)
    extra = length * share - whole
    fewer, more = min(whole, newcomers), min(whole + 1, newcomers)
    count = more if _turn(seed) < extra else fewer
    edge, kept = length - more, 1.0 - extra if more > fewer else 1.0
    if not count:
        return Draw([], [], 0.0, edge, kept)
    rng = Random(seed)
    places = sorted(rng.sample(range(length), count))
    picked = rng.sample(range(newcomers), count)
    return Draw(places, picked, (fewer + extra * (more - fewer)) / newcomers, edge, kept)


def _turn(seed: int) -> float:
    """A number from 0 to 1 for a seed, without the cost of a generator: most draws need no more (Fibonacci hashing)."""
    return (seed * 0x9E3779B97F4A7C15 % 2**64) / 2**64
