"""Some of the visitors, each with all they did.

What a past moment is asked for (weights, parameters, how good a list is) is an estimate from a few thousand visitors
who are judged, and a hundred times the rows around them would not make it surer. So a long history is cut to a draw of
its visitors before it is split, and the cost of learning and judging does not grow with it. Every item stays.

What is judged so is a little worse than what is served, since the sources were fitted on fewer ties; most of all where
few took an item, and for friends, of whom most are not in the draw.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from recommender.history.dataset import Dataset, Int32
from recommender.history.undone import Undone

MOST_INTERACTIONS = 2_000_000
"""Of one history that is learnt from and judged."""


def some_visitors(dataset: Dataset, seed: int, most: int = MOST_INTERACTIONS) -> Dataset:
    """The dataset itself, or, where it has more than `most` interactions, about so many: those of visitors drawn by
    `seed`, with a vocabulary of these visitors alone."""
    interactions = len(dataset.user)
    if interactions <= most:
        return dataset
    drawn = np.random.default_rng(seed).random(len(dataset.users)) < most / interactions
    return of_visitors(dataset, np.flatnonzero(drawn).astype(np.int32))


def of_visitors(dataset: Dataset, rows: Int32) -> Dataset:
    """The dataset of some visitors (rows of its vocabulary, ascending) and every item: what is known of others, friends
    among them, is left out."""
    number = np.full(len(dataset.users), -1, np.int32)
    number[rows] = np.arange(len(rows), dtype=np.int32)
    kept = np.flatnonzero(number[dataset.user] >= 0)
    columns = {name: getattr(dataset, name)[kept] for name in ("item", "ts_us", "kind")}
    exposures = dataset.exposures
    if exposures is not None:
        exposures = exposures._replace(looked=exposures.looked[rows], passed=exposures.passed[rows])
    return replace(
        dataset,
        users=dataset.users[rows],
        user=number[dataset.user[kept]],
        user_features=_rows(dataset.user_features, rows),
        friends=None if dataset.friends is None else dataset.friends[rows][:, rows],
        exposures=exposures,
        undone=_undone(dataset.undone, number),
        **columns,
    )


def _undone(undone: Undone | None, number: Int32) -> Undone | None:
    """What was taken back by visitors that have a new `number` (-1: none)."""
    if undone is None:
        return None
    kept = undone.where(number[undone.user] >= 0)
    return kept._replace(user=number[kept.user])


def _rows(matrix: sp.csr_matrix | None, rows: Int32) -> sp.csr_matrix | None:
    return None if matrix is None else matrix[rows]
