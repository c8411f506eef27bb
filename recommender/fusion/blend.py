"""A weighted sum of what the sources say: each in standard deviations from the user's mean, no weight below 0.

The sum is the simplest fusion there is, and a strong one: scores of sources that err differently are better together.
Weights are found by greedy ensemble selection with replacement on the metric itself (Caruana et al. 2004, "Ensemble
selection from libraries of models"): start with nothing, add the source that helps most, again and again; the counts
are the weights. Their remedy against chance is kept: several draws of the users select apart, and the mean is taken.
Each source may enter as it is or with its peaks pressed down (asinh), because the largest of a few thousand cosines
lies dozens of deviations out and would drown the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.fusion.pool import Pool
from recommender.history.dataset import Float32, Mask

SHAPES = ("plain", "pressed")
K = 10
STEPS = 20
FIRST = 6
ALL_EVERY = 5
PROMISING = 10
BAGS = 4
FEWEST_USERS = 30
MOST_USERS = 1_000
LEAST_WEIGHT = 0.05
"""Of a source in all shapes; a smaller one is chance, and without it fewer sources are needed."""


@dataclass(frozen=True)
class Blend:
    """weights: by source, of its z and of asinh(z), none below 0, all together 1; no weights = nothing was learnt."""

    weights: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.weights)

    def score(self, pool: Pool, names: Sequence[str]) -> Float32:
        """float32[B, C]: the sum for each candidate; names: of the pool's sources. A source that is not there is 0."""
        total = np.zeros(pool.items.shape, np.float32)
        for place, name in enumerate(names):
            plain, pressed = self.weights.get(name, (0.0, 0.0))
            if plain:
                total += np.float32(plain) * pool.z[:, :, place]
            if pressed:
                total += np.float32(pressed) * np.arcsinh(pool.z[:, :, place])
        return total

    def part(self, name: str, z: Float32) -> Float32:
        """What one source adds to the sum, of its z."""
        plain, pressed = self.weights.get(name, (0.0, 0.0))
        said = np.float32(plain) * z + np.float32(pressed) * np.arcsinh(z)
        return said.astype(np.float32, copy=False)

    def as_json(self) -> dict[str, list[float]]:
        return {name: list(pair) for name, pair in self.weights.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Blend:
        return cls({name: (float(pair[0]), float(pair[1])) for name, pair in value.items()})


def learn_blend(
    pools: Sequence[Pool], truth: sp.csr_matrix, names: Sequence[str], repeats: bool | None, seed: int
) -> Blend:
    """The weights with the best NDCG@10 over the candidates of one part (see `Pool.part`).

    truth: [E, I], rows as the pools' users, what counts for this part. Nothing where too few users can be judged.
    """
    lessons = Lessons.of(pools, truth, repeats, seed)
    if lessons.users < FEWEST_USERS:
        return Blend()
    rng = np.random.default_rng(seed)
    bags = [np.sort(rng.permutation(lessons.users)[: (lessons.users + 1) // 2]) for _ in range(BAGS)]
    weights = np.mean([select(lessons.only(bag)) for bag in bags], axis=0)
    pairs = weights.reshape(len(SHAPES), len(names)).T
    pairs[pairs.sum(axis=1) < LEAST_WEIGHT] = 0.0
    if not pairs.any():
        return Blend()
    pairs = np.round(pairs / pairs.sum(), 4)
    return Blend(
        {name: (float(pair[0]), float(pair[1])) for name, pair in zip(names, pairs, strict=True) if pair.any()}
    )


@dataclass(frozen=True)
class Lessons:
    """Candidates of users who took at least one of them afterwards.

    columns: float32[M, E, C], one for each source and shape, -inf for what does not belong to the part. user, place:
    int[P] of the candidates that were taken; best: float64[E], the DCG of the ideal list.
    """

    columns: Float32
    user: npt.NDArray[np.intp]
    place: npt.NDArray[np.intp]
    best: npt.NDArray[np.float64]

    @property
    def users(self) -> int:
        return len(self.best)

    @classmethod
    def of(cls, pools: Sequence[Pool], truth: sp.csr_matrix, repeats: bool | None, seed: int) -> Lessons:
        """From the pools of all users, at most MOST_USERS of them, drawn by `seed`."""
        wide = max([K + 1, *(pool.items.shape[1] for pool in pools)])
        kept, row = [], 0
        for pool in pools:
            part = pool.part(repeats)
            taken = part & pool.among(truth[row : row + len(pool.users)])
            able = np.flatnonzero(taken.any(axis=1))
            room = ((0, 0), (0, wide - pool.items.shape[1]))
            padded = (np.pad(mask[able], room) for mask in (part, taken))
            kept.append((able + row, *padded, np.pad(pool.z[able], (*room, (0, 0)))))
            row += len(pool.users)
        if not any(len(at) for at, *_ in kept):
            nobody = np.empty(0, np.intp)
            return cls(np.empty((0, 0, 0), np.float32), nobody, nobody, np.empty(0))
        at, part, taken, z = (np.concatenate(arrays) for arrays in zip(*kept, strict=True))
        some = np.sort(np.random.default_rng(seed).permutation(len(at))[:MOST_USERS])
        at, part, taken, z = at[some], part[some], taken[some], z[some]
        columns = np.concatenate([np.moveaxis(z, 2, 0), np.arcsinh(np.moveaxis(z, 2, 0))])
        columns[:, ~part] = -np.inf
        size = np.minimum(np.diff(truth.indptr)[at], K)
        user, place = np.nonzero(taken)
        return cls(columns, user, place, np.append(0.0, np.cumsum(DISCOUNT))[size])

    @cached_property
    def tells_apart(self) -> Mask:
        """bool[M]: columns that are not the same for all candidates of everybody."""
        part = np.isfinite(self.columns[0])
        largest = self.columns.max(axis=2)
        least = np.where(part, self.columns, np.inf).min(axis=2)
        apart: Mask = (largest > least).any(axis=1)
        return apart

    def only(self, users: npt.NDArray[np.intp]) -> Lessons:
        """The lessons of some users, ascending."""
        place = np.full(self.users, -1)
        place[users] = np.arange(len(users))
        kept = place[self.user] >= 0
        return Lessons(self.columns[:, users], place[self.user[kept]], self.place[kept], self.best[users])

    def ndcg(self, scores: Float32) -> float:
        """Mean NDCG@10 of the lists that `scores` ([E, C], C > 10) make; of equals, what was taken comes last."""
        wanted = scores[self.user, self.place]
        last = scores.shape[1] - K
        largest = np.partition(scores, (last - 1, last), axis=1)
        shown = np.flatnonzero(wanted > largest[self.user, last - 1])
        user = self.user[shown]
        rank = np.sum(largest[user, last:] >= wanted[shown, None], axis=1) - 1
        return float(np.mean(np.bincount(user, DISCOUNT[rank], self.users) / self.best))


DISCOUNT = 1.0 / np.log2(np.arange(2, K + 2))


def select(lessons: Lessons) -> npt.NDArray[np.float64]:
    """float64[M]: shares of the columns, picked one after the other, each as often as it helped.

    The first picks, and every few of the others, are among all columns; in between only those are asked that came out
    best the last time.
    """
    able = np.flatnonzero(lessons.tells_apart)
    picked = np.zeros(len(lessons.columns))
    total = np.zeros(lessons.columns.shape[1:], np.float32)
    values = np.full(len(picked), -1.0)
    best_picked, best = picked, -1.0
    for step in range(STEPS if len(able) else 0):
        every = step < FIRST or step % ALL_EVERY == 0
        asked = able if every else np.argsort(-values, kind="stable")[:PROMISING]
        values[asked] = [lessons.ndcg(total + lessons.columns[column]) for column in asked]
        column = int(asked[np.argmax(values[asked])])
        total = total + lessons.columns[column]
        picked = picked.copy()
        picked[column] += 1
        if values[column] > best:
            best_picked, best = picked, values[column]
    shares: npt.NDArray[np.float64] = best_picked / max(best_picked.sum(), 1.0)
    return shares
