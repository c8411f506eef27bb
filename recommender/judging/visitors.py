"""Visitors by how much is known of them, so that a table can say for whom a model is good.

The bounds are the data's own: terciles of the number of interactions of those who are judged. Where many have the same
number the parts are of different size, and one may be empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from recommender.history.dataset import Dataset, Int32, Mask

SEGMENTS = ("new", "regular", "loyal")


class Segments(NamedTuple):
    """masks: name -> bool[E], whom of the users it holds; empty ones are left out. words: name -> which they are."""

    masks: Mapping[str, Mask]
    words: Mapping[str, str]


def segments(train: Dataset, users: Int32) -> Segments:
    """The users (rows of the vocabulary) in terciles of their interactions in `train`."""
    known = np.bincount(train.user, minlength=train.shape[0])[users]
    if not len(known):
        return Segments({}, {})
    first, second = np.quantile(known, [1 / 3, 2 / 3], method="inverted_cdf")
    part = np.searchsorted([first, max(second, first + 1)], known, side="left")
    masks = {name: part == place for place, name in enumerate(SEGMENTS) if (part == place).any()}
    return Segments(masks, {name: _words(known[mask]) for name, mask in masks.items()})


def _words(known: np.ndarray) -> str:
    low, high = int(known.min()), int(known.max())
    return f"{low:,} to {high:,} interactions" if high > low else f"{low:,} interaction{'s' if low != 1 else ''}"
