"""How candidates become one list: which order repeats have, which order new items have, and how the two are mixed.

A recipe is data (it is kept in the bundle's manifest, so that the next night can refit it on the same split and
compare). Its orders are "fused" (the ranker) or the name of a single source: the ranker is used for a part only where
it beat every single source on the validation split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.candidates.opinions import top
from recommender.dataset import Float32, Int32, Mask
from recommender.pool import Pool
from recommender.ranker import Ranker

FUSED = "fused"
Likelihood = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Recipe:
    """sources: names, in the order of the pool's scores. new, repeat: "fused" or one of them. mix: "calibrated"
    compares repeats and new items by the ranker's probability, "repeats_first" does not compare them. keep_repeats:
    items taken before stay in the list unless a call says otherwise.
    """

    sources: tuple[str, ...]
    new: str = FUSED
    repeat: str = FUSED
    mix: str = "calibrated"
    keep_repeats: bool = True

    @property
    def needs_ranker(self) -> bool:
        return FUSED in (self.new, self.repeat) or self.mix == "calibrated"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        return cls(**{**value, "sources": tuple(value["sources"])})


def likelihood(pool: Pool, ranker: Ranker | None) -> Likelihood | None:
    """float64[B, C]: what the ranker gives each candidate, -inf for padding; None without a ranker."""
    if ranker is None:
        return None
    likely = np.full(pool.items.shape, -np.inf)
    likely[pool.real] = ranker.predict(pool.features[pool.real], pool.repeat[pool.real])
    return likely


def scores(pool: Pool, recipe: Recipe, likely: Likelihood | None) -> Float32:
    """float32[B, C] in [0, 1], -inf for padding: the final score of each candidate.

    Without likelihoods both orders must name a source; a place in that source's order is then all there is.
    """
    final = np.full(pool.items.shape, -np.inf) if likely is None else likely
    for part, order in ((pool.repeat, recipe.repeat), (pool.real & ~pool.repeat, recipe.new)):
        if order != FUSED:
            wanted = pool.scores[:, :, recipe.sources.index(order)]
            final = _reorder(final, part, wanted, likely is not None)
    if recipe.mix == "repeats_first":
        final = np.where(pool.repeat, 0.5 + final / 2, final / 2)
    return final.astype(np.float32)


def lists(pool: Pool, final: Float32, k: int, allowed: Mask | None = None) -> Int32:
    """int32[B, k]: the best k candidates of each user where `allowed` ([B, C]), -1 pads."""
    order, values = top(final if allowed is None else np.where(allowed, final, -np.inf).astype(np.float32), k)
    found = np.take_along_axis(pool.items, np.maximum(order, 0), axis=1)
    return np.where(np.isfinite(values), found, -1).astype(np.int32)


def _reorder(values: Likelihood, part: Mask, wanted: Float32, likely: bool) -> Likelihood:
    """`values` with those inside `part` handed out in the order of `wanted`, the largest to the first.

    Candidates on which the source has no opinion follow, in the order they had. Where nothing is `likely` yet, the
    k-th of a part gets 1 / (k + 1).
    """
    # The last key of lexsort counts first.
    order = np.lexsort((-values if likely else np.zeros(values.shape), -wanted, ~part), axis=1)
    place = np.argsort(order, axis=1)
    if likely:
        ordered = -np.sort(-np.where(part, values, -np.inf), axis=1)
        handed = np.take_along_axis(ordered, place, axis=1)
    else:
        handed = 1.0 / (place + 2.0)
    return np.where(part, handed, values)
