"""Which recipe the night serves: the blend or the ranker where it beats every single source, else the best of those.

Chosen on visitors that nothing was learnt from, for repeats and for new items apart; then how the two are mixed,
whether repeats belong into the list at all (learned repeat policy), and how much an item's worth shall weigh.

The simplest comes first and the next must be better to replace it: a single source, the blend, the ranker. Blend and
ranker were learnt from other visitors, so their means are honest; the best of many single sources is partly luck, so it
is picked by both halves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import scipy.sparse as sp

from recommender.fusion.pool import Pool
from recommender.fusion.recipe import (
    ALL,
    BLENDED,
    FUSED,
    NEW,
    REPEAT,
    REPEATS,
    Likelihood,
    Recipe,
    Worth,
    lists,
    scores,
)
from recommender.history.dataset import Int32
from recommender.history.split import Split, without
from recommender.judging.evaluate import K, joined
from recommender.judging.metrics import VALUE, Values, paired_bootstrap, per_user
from recommender.plan import Plan

METRIC = "ndcg"
OWN_FIRST = ("again", "repeats_first")
"""Order of the repeats and mix where nothing about them can be learnt, but people take OFTEN_AGAIN what they have."""
OFTEN_AGAIN = 0.2
WORTHS = (0.0, 0.25, 0.5)
"""Exponents that are tried instead of 1."""
Scored = tuple[Pool, Likelihood | None]
Alone = Mapping[str, Mapping[str, Values]]
"""By part and source: each user's NDCG with the source's own order."""


def alone(pools: Sequence[Pool], sources: Sequence[str], split: Split) -> dict[str, dict[str, Values]]:
    """What every single source is worth on repeats and on new items."""
    judged = [(pool, None) for pool in pools]
    found: dict[str, dict[str, Values]] = {}
    for part in (NEW, REPEAT):
        recipes = {name: Recipe(tuple(sources), name, name, "repeats_first") for name in sources}
        found[part] = {name: _values(judged, one, split, part) for name, one in recipes.items()}
    return found


def choose(split: Split, judged: Sequence[Scored], learnt: Recipe, earlier: Alone, plan: Plan) -> Recipe:
    """The best recipe over the pools of `split.users`.

    learnt: sources, their parameters and blends. earlier: what the sources were worth alone to the other visitors.
    """
    fused = plan.again is None and bool(judged) and judged[0][1] is not None
    here = alone([pool for pool, _ in judged], learnt.sources, split)
    recipe = replace(learnt, mix="calibrated" if fused else "repeats_first")
    for part in (NEW, REPEAT):
        both = {name: np.concatenate([values, earlier[part][name]]) for name, values in here[part].items()}
        recipe = recipe.ordered(part, max(both, key=lambda name: _mean(both[name])))
    settled = OWN_FIRST if plan.again is not None and plan.again >= OFTEN_AGAIN else None
    recipe = _best_whole(split, judged, recipe, fused, settled)
    learned = plan.repeat == "auto" and settled is None
    keeps = _keeps(split, judged, recipe, plan.seed) if learned else plan.repeat != "no"
    return _weighed(split, judged, replace(recipe, keep_repeats=keeps), plan.seed)


def _best_whole(
    split: Split, judged: Sequence[Scored], recipe: Recipe, fused: bool, repeats: tuple[str, str] | None
) -> Recipe:
    """The orders of both parts and how they are mixed, judged together: over all items and over the new ones, each
    relative to the best there. Of equals the simplest, which stands first. repeats: the order of the repeats and the
    mix, where they are settled.

    Together, because probabilities compare repeats with new items only where both orders leave them in place.
    """
    steps = {
        part: [getattr(recipe, part), *([BLENDED] if recipe.blends.get(part) else []), *([FUSED] if fused else [])]
        for part in (NEW, REPEAT)
    }
    mixes = ["repeats_first", *(["jointly"] if recipe.blends.get(ALL) else []), *(["calibrated"] if fused else [])]
    if repeats is not None:
        steps[REPEAT], mixes = [repeats[0]], [repeats[1]]
    wholes = [replace(recipe, new=new, repeat=repeat, mix=mix) for new, repeat, mix in product(*steps.values(), mixes)]
    of_new = {new: _mean(_values(judged, recipe.ordered(NEW, new), split, NEW)) for new in steps[NEW]}
    of_all = [_mean(_values(judged, one, split, ALL)) for one in wholes]
    most_new, most_all = (max(values) or 1.0 for values in (of_new.values(), of_all))
    worth = [of_new[one.new] / most_new + value / most_all for one, value in zip(wholes, of_all, strict=True)]
    return wholes[int(np.argmax(worth))]


def _keeps(split: Split, judged: Sequence[Scored], recipe: Recipe, seed: int) -> bool:
    """Whether lists with repeats are better than lists without by more than a standard error: who took a thing once has
    it already, and to show it again must be earned; but a shop that repeats a little and is small loses by none."""
    kept, dropped = (_listed(judged, recipe, repeats) for repeats in (None, False))
    values = [per_user(listed, split.truth, K)[METRIC] for listed in (kept, dropped)]
    if not len(values[0]):
        return False
    difference = paired_bootstrap(values[0], values[1], seed)
    return difference.mean > (difference.high - difference.low) / 4.0


def _weighed(split: Split, judged: Sequence[Scored], recipe: Recipe, seed: int) -> Recipe:
    """The recipe with the exponent of worth. What an item is expected to earn is its probability times its worth, so 1
    is left only for an exponent that earned more on the split, beyond noise: sums of money tell little apart."""
    if split.train.worth is None or not judged:
        return recipe
    expected = replace(recipe, worth=1.0)
    earned = {one: _earned(split, judged, replace(recipe, worth=one)) for one in WORTHS}
    best = max(earned, key=lambda one: _mean(earned[one]))
    gain = paired_bootstrap(earned[best], _earned(split, judged, expected), seed)
    return replace(recipe, worth=best) if gain.low > 0 else expected


def _earned(split: Split, judged: Sequence[Scored], recipe: Recipe) -> Values:
    """What each user's hits are worth."""
    worth = split.train.worth
    return per_user(_listed(judged, recipe, None if recipe.keep_repeats else False, worth), split.truth, K, worth)[
        VALUE
    ]


def _values(judged: Sequence[Scored], recipe: Recipe, split: Split, part: str) -> Values:
    """NDCG of each user who can be judged on a part, of the recipe's lists of that part."""
    return per_user(_listed(judged, recipe, REPEATS[part]), truth_of(split, part), K)[METRIC]


def truth_of(split: Split, part: str) -> sp.csr_matrix:
    """What counts for a part: all items, those new to the user, or the repeats."""
    if part == ALL:
        return split.truth
    return split.new_truth if part == NEW else without(split.truth, split.new_truth)


def _listed(judged: Sequence[Scored], recipe: Recipe, repeats: bool | None, worth: Worth | None = None) -> Int32:
    """int32[E, K]: every user's list of one part."""
    found = []
    for pool, likely in judged:
        found.append(lists(pool, scores(pool, recipe, likely, worth), K, pool.part(repeats)))
    return joined(found, K)


def _mean(values: Values) -> float:
    return float(values.mean()) if len(values) else 0.0
