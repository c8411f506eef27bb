"""Items that few have met yet: who they are on a night, and in which order they are worth a look.

An item is new for 30 days (a quarter of a shorter history) from the day the catalogue says it was made, or where it
says none, from its first event; and as long as few bought it. What is known of it before anybody bought it is what it
is: items of its category stand for it, those of a category that sells best come first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recommender.history.dataset import Dataset, Int32, Mask

FEW_BUYERS = 10
MOST = 1_000
"""Newcomers of a night: filters of a request choose among them."""


def newcomers(dataset: Dataset) -> Int32:
    """Rankable items that are new and that fewer than FEW_BUYERS took: int32[<= MOST], the most promising first."""
    if dataset.time_kind != "real" or not len(dataset.items):
        return np.empty(0, np.int32)
    since = dataset.until_us - dataset.recent_us
    appeared = _appeared(dataset)
    new = dataset.rankable & (appeared >= since) & (appeared < dataset.until_us) & (dataset.popularity < FEW_BUYERS)
    items = np.flatnonzero(new)
    order = np.lexsort((items, -appeared[items], -_prior(dataset, ~new)[items]))
    return items[order][:MOST].astype(np.int32)


def _appeared(dataset: Dataset) -> npt.NDArray[np.int64]:
    """int64[I]: when each item came to the shop, microseconds; -1 unknown."""
    first = np.full(len(dataset.items), np.iinfo(np.int64).max)
    np.minimum.at(first, dataset.item, dataset.ts_us)
    first[first == np.iinfo(np.int64).max] = -1
    return np.where(dataset.facts.created >= 0, dataset.facts.created, first)


def _prior(dataset: Dataset, known: Mask) -> npt.NDArray[np.float64]:
    """float64[I]: mean recent popularity of the `known` items of the same leaf category; of an item without one, or in
    a category of newcomers alone, of all known ones."""
    paths = dataset.facts.category
    depth = (paths >= 0).sum(axis=1)
    leaf = np.where(depth > 0, paths[np.arange(len(paths)), np.maximum(depth - 1, 0)], -1) + 1
    counted = np.bincount(leaf, known)
    mean = np.bincount(leaf, np.where(known, dataset.recent_popularity, 0.0)) / np.maximum(counted, 1)
    counted[0] = 0
    overall = dataset.recent_popularity[known].mean() if known.any() else 0.0
    prior: npt.NDArray[np.float64] = np.where(counted > 0, mean, overall)[leaf]
    return prior
