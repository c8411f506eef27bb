"""Which recipe the night serves: the fusion where it beats every single source, else the best single source.

Chosen on the validation split, for repeats and for new items apart; then whether the ranker's probabilities mix the
two better than "repeats first", and whether repeats belong into the list at all (learned repeat policy).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import scipy.sparse as sp

from recommender.evaluate import K, joined
from recommender.metrics import per_user
from recommender.pool import Pool
from recommender.ranker import Ranker
from recommender.recipe import FUSED, Likelihood, Recipe, likelihood, lists, scores
from recommender.split import Split, without

METRIC = "ndcg"
Scored = tuple[Pool, Likelihood | None]


def choose(split: Split, pools: Sequence[Pool], sources: Sequence[str], ranker: Ranker | None, repeat: str) -> Recipe:
    """The best recipe over `pools` of `split.users`. repeat: "auto" (learned), "yes" or "no"."""
    judged = [(pool, likelihood(pool, ranker)) for pool in pools]
    orders = ([FUSED] if ranker else []) + list(sources)
    recipe = Recipe(tuple(sources), mix="calibrated" if ranker else "repeats_first")
    new = _best_order(judged, orders, recipe, split.new_truth, repeats=False)
    old = _best_order(judged, orders, recipe, without(split.truth, split.new_truth), repeats=True)
    recipe = replace(recipe, new=new, repeat=old)
    mixes = [recipe, replace(recipe, mix="repeats_first")] if ranker else [recipe]
    recipe = max(mixes, key=lambda one: _value(judged, one, split.truth, None))
    kept = _value(judged, recipe, split.truth, None) >= _value(judged, recipe, split.truth, False)
    return replace(recipe, keep_repeats=kept if repeat == "auto" else repeat == "yes")


def _best_order(
    judged: Sequence[Scored], orders: Sequence[str], recipe: Recipe, truth: sp.csr_matrix, repeats: bool
) -> str:
    """The order with the best mean of the metric on one part; the first of equals, so the fusion if there is one."""
    values = {}
    for order in orders:
        tried = replace(recipe, repeat=order, new=order)
        values[order] = _value(judged, tried, truth, repeats)
    return max(values, key=lambda order: values[order])


def _value(judged: Sequence[Scored], recipe: Recipe, truth: sp.csr_matrix, repeats: bool | None) -> float:
    """Mean NDCG of the lists of a recipe. repeats: True = only repeats, False = only new items, None = both."""
    found = []
    for pool, likely in judged:
        allowed = None if repeats is None else pool.repeat == repeats
        found.append(lists(pool, scores(pool, recipe, likely), K, allowed))
    values = per_user(joined(found, K), truth, K)[METRIC]
    return float(values.mean()) if len(values) else 0.0
