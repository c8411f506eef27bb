"""How candidates become one list: which order repeats have, which order new items have, and how the two are mixed.

A recipe is data (it is kept in the bundle's manifest, so that the next night can refit it on the same split and
compare). Its orders are "fused" (the ranker), "blended" (the weighted sum) or the name of a single source: what was
learnt is used for a part only where it beat every single source on the validation split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.candidates import Params
from recommender.candidates.opinions import top
from recommender.fusion.blend import Blend
from recommender.fusion.pool import Pool
from recommender.fusion.ranker import Ranker
from recommender.history.dataset import Float32, Int32, Mask

FUSED = "fused"
BLENDED = "blended"
ALL, NEW, REPEAT = "all", "new", "repeat"
REPEATS: Mapping[str, bool | None] = {NEW: False, REPEAT: True, ALL: None}
"""What each part of a pool asks of a candidate, see `Pool.part`."""
APART = 1e-6
"""Share by which a value is lowered for each equal one before it, above what float32 can tell apart."""
LEAST_WORTH = 1e-3
"""Of the largest: what a candidate is worth at least beside it, so that nothing is lost from the list."""

Blends = Mapping[str, Blend]
Likelihood = npt.NDArray[np.float64]
Worth = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Recipe:
    """sources: names, in the order of the pool's scores; params: theirs where they differ from the defaults. blends:
    the weighted sums for "new", "repeat" and "all", where they were learnt. new, repeat: "fused", "blended" or a
    source. mix: "calibrated" compares repeats and new items by the ranker's probability, "jointly" by the blend for
    all, "repeats_first" does not compare them. keep_repeats: items taken before stay in the list unless a call says
    otherwise. worth: the exponent by which an item's worth weighs beside its probability, 0 = not at all.
    """

    sources: tuple[str, ...]
    new: str = FUSED
    repeat: str = FUSED
    mix: str = "calibrated"
    keep_repeats: bool = True
    params: Params = field(default_factory=dict)
    blends: Blends = field(default_factory=dict)
    worth: float = 0.0

    @property
    def needs_ranker(self) -> bool:
        return FUSED in (self.new, self.repeat) or self.mix == "calibrated"

    def ordered(self, part: str, order: str) -> Recipe:
        """The recipe with another order for the new items, or for the repeats."""
        return replace(self, new=order) if part == NEW else replace(self, repeat=order)

    def lean(self) -> Recipe:
        """The recipe with only the sources, parameters and blends that it uses, where it needs no ranker."""
        used = {part: self.blends[part] for part, order in ((NEW, self.new), (REPEAT, self.repeat)) if order == BLENDED}
        if self.mix == "jointly":
            used[ALL] = self.blends[ALL]
        names = {self.new, self.repeat}.union(*(blend.weights for blend in used.values()))
        sources = tuple(name for name in self.sources if name in names)
        params = {name: params for name, params in self.params.items() if name in sources}
        return replace(self, sources=sources, params=params, blends=used)

    def credited(self, pool: Pool) -> npt.NDArray[np.uint8]:
        """uint8[B, C]: the source that put each candidate where it is; only what had a say in the order can be it.

        Of a part in the order of one source that one; of a blended part the one that adds most to the sum. On what
        these have no opinion, and in a fused part, it is the source that ranks the candidate highest.
        """
        credited = pool.source.copy()
        for part, order in ((REPEAT, self.repeat), (NEW, self.new)):
            if order == FUSED:
                continue
            blend = self.blends[part] if order == BLENDED else Blend({order: (1.0, 0.0)})
            within = pool.part(REPEATS[part])
            most = np.full(pool.items.shape, -np.inf, np.float32)
            for place, name in enumerate(self.sources):
                if name in blend.weights:
                    says = blend.part(name, pool.z[:, :, place])
                    more = within & np.isfinite(pool.scores[:, :, place]) & (says > most)
                    credited[more], most[more] = place, says[more]
        return credited

    def as_json(self) -> dict[str, Any]:
        return {
            **vars(self),
            "sources": list(self.sources),
            "params": {name: dict(params) for name, params in self.params.items()},
            "blends": {part: blend.as_json() for part, blend in self.blends.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        blends = {part: Blend.from_json(blend) for part, blend in value.get("blends", {}).items()}
        return cls(**{**value, "sources": tuple(value["sources"]), "blends": blends})


def likelihood(pool: Pool, features: Float32, ranker: Ranker) -> Likelihood:
    """float64[B, C]: what the ranker gives each candidate, -inf for padding. features: of the real candidates."""
    likely = np.full(pool.items.shape, -np.inf)
    likely[pool.real] = ranker.predict(features, pool.repeat[pool.real])
    return likely


def scores(pool: Pool, recipe: Recipe, likely: Likelihood | None, worth: Worth | None = None) -> Float32:
    """float32[B, C] in [0, 1], -inf for padding: the final score of each candidate.

    Without likelihoods no order may be "fused"; a place in its order is then all that a candidate has. worth:
    float64[I], see `Dataset.worth`; None where the recipe does not use it.
    """
    final = np.full(pool.items.shape, -np.inf) if likely is None else likely
    known = likely is not None
    if recipe.mix == "jointly":
        final = _reorder(final, pool.real, recipe.blends[ALL].score(pool, recipe.sources), known)
    for part, order in ((REPEAT, recipe.repeat), (NEW, recipe.new)):
        if order != FUSED or recipe.mix == "jointly":
            wanted = _wanted(pool, recipe, part, order, likely)
            final = _reorder(final, pool.part(REPEATS[part]), wanted, known or recipe.mix == "jointly")
    final = weighed(pool, final, recipe, worth)
    if recipe.mix == "repeats_first":
        final = np.where(pool.repeat, 0.5 + final / 2, final / 2)
    return final.astype(np.float32)


def weighed(pool: Pool, final: Likelihood, recipe: Recipe, worth: Worth | None) -> Likelihood:
    """float64[B, C]: scores times what the items are worth, where the recipe says so."""
    if worth is None or not recipe.worth:
        return final
    return final * relative(worth)[np.maximum(pool.items, 0)] ** recipe.worth


def relative(worth: Worth) -> Worth:
    """Worth as a share of the largest, not below LEAST_WORTH; what is not known counts as the median."""
    known = np.isfinite(worth)
    usual = float(np.median(worth[known])) if known.any() else 1.0
    whole = np.where(known, worth, usual)
    largest = float(whole.max(initial=0.0))
    return np.clip(whole / largest, LEAST_WORTH, 1.0) if largest > 0 else np.ones(len(worth))


def lists(pool: Pool, final: Float32, k: int, allowed: Mask | None = None) -> Int32:
    """int32[B, k]: the best k candidates of each user where `allowed` ([B, C]), -1 pads."""
    order, values = top(final if allowed is None else np.where(allowed, final, -np.inf).astype(np.float32), k)
    found = np.take_along_axis(pool.items, np.maximum(order, 0), axis=1)
    return np.where(np.isfinite(values), found, -1).astype(np.int32)


def _wanted(
    pool: Pool, recipe: Recipe, part: str, order: str, likely: Likelihood | None
) -> npt.NDArray[np.floating[Any]]:
    """[B, C]: what the candidates of a part are ordered by."""
    if order == FUSED and likely is not None:
        return likely
    if order == BLENDED:
        return recipe.blends[part].score(pool, recipe.sources)
    return pool.scores[:, :, recipe.sources.index(order)]


def _reorder(values: Likelihood, part: Mask, wanted: npt.NDArray[np.floating[Any]], likely: bool) -> Likelihood:
    """`values` with those inside `part` handed out in the order of `wanted`, the largest to the first.

    Candidates on which the source has no opinion follow, in the order they had. Where nothing is `likely` yet, the
    k-th of a part gets 1 / (k + 1). Equal values are told apart a little, so that the order is not lost in them.
    """
    # The last key of lexsort counts first.
    order = np.lexsort((-values if likely else np.zeros(values.shape), -wanted, ~part), axis=1)
    place = np.argsort(order, axis=1)
    if likely:
        ordered = _apart(-np.sort(-np.where(part, values, -np.inf), axis=1))
        handed: npt.NDArray[Any] = np.take_along_axis(ordered, place, axis=1)
    else:
        handed = 1.0 / (place + 2.0)
    return np.where(part, handed, values)


def _apart(ordered: Likelihood) -> Likelihood:
    """Descending rows whose equal values fall a little."""
    place = np.arange(ordered.shape[1])
    fresh = np.ones(ordered.shape, bool)
    fresh[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.maximum.accumulate(np.where(fresh, place, 0), axis=1)
    apart: Likelihood = ordered * (1.0 - APART * (place - first))
    return apart
