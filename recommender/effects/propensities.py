"""How likely each action was, where the log does not say: estimated, cross-fitted, clipped.

A row's probability is told by a model that did not see the row (Chernozhukov et al. 2018, "Double/debiased machine
learning"): a multinomial logistic regression or boosted trees, whichever foretells held-out actions better. What was
logged is taken as it is; what is estimated is as good as the features, and its effects are only as causal as they are
complete: whatever moved both the action and the outcome must be among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from recommender.effects.means import BINS, Bins, Scale, Table
from recommender.effects.rows import FEW, Floats, Ints, Rows, capped, folds

FOLDS = 3
LOWEST = 0.01
"""An estimated probability below this is taken as this."""
ENOUGH_FOR_TREES = 600
MOST_ROWS = 60_000
"""Rows that chances are learnt from."""
BLOCK = 1 << 14
"""Rows that are told together: as many chances each as there are actions."""
SMALLEST = 1e-4
"""What an action has at least, beside the others."""
TREES = {
    "max_iter": 60,
    "learning_rate": 0.08,
    "max_leaf_nodes": 8,
    "l2_regularization": 5.0,
    "min_samples_leaf": 30,
    "max_bins": BINS + 1,
}


def with_propensities(rows: Rows, seed: int) -> tuple[Rows, dict[str, Any]]:
    """The rows with every propensity known, and an account: how many were estimated, by what, how many clipped."""
    unknown = np.isnan(rows.propensity)
    if not unknown.any():
        return rows, {"estimated": 0}
    asked = rows.take(unknown)
    chance, model = _crossfitted(asked, seed)
    clipped = int(np.count_nonzero(chance < LOWEST))
    whole = rows.propensity.copy()
    whole[unknown] = np.clip(chance, LOWEST, 1.0)
    return replace(rows, propensity=whole), {"estimated": int(unknown.sum()), "by": model, "clipped": clipped}


def _crossfitted(rows: Rows, seed: int) -> tuple[Floats, str]:
    """The chance of each row's action, from rows of other folds; shares of the actions where rows are few. By line or
    trees: whose chances of what was done are the higher, of held-out rows; where a fold has more than chances are
    learnt from, the first one tells."""
    fold = folds(rows.unit, FOLDS, seed)
    actions = np.unique(rows.action)
    if len(actions) == 1:
        return np.ones(len(rows)), "shares"
    names = ["shares", *(["line"] if len(rows) >= FEW and rows.X.shape[1] else [])]
    names += ["trees"] if len(rows) >= ENOUGH_FOR_TREES and len(names) > 1 else []
    found = {name: np.full(len(rows), LOWEST) for name in names}
    for one in range(FOLDS):
        held = np.flatnonzero(fold == one)
        past = capped(rows.take(fold != one) if len(held) < len(rows) else rows, MOST_ROWS, seed)
        for name in names if len(held) else ():
            tell = _told_by(name, past, actions, seed)
            for start in range(0, len(held), BLOCK):
                some = held[start : start + BLOCK]
                place = np.searchsorted(actions, rows.action[some])
                found[name][some] = tell(rows.X[some])[np.arange(len(some)), place]
        if one == FOLDS - 1 or len(held) > MOST_ROWS:
            losses = {name: -np.log(found[name][fold <= one]).mean() for name in names}
            names = [min(names, key=lambda name: losses[name])]
    return found[names[0]], names[0]


def _told_by(name: str, past: Rows, actions: Ints, seed: int) -> Callable[[Table], Floats]:
    """[n, F] -> [n, actions], summing to 1, also where an action is not among the rows learnt from."""
    shares = np.array([past.weight[past.action == action].sum() for action in actions]) + 1.0
    seen = np.unique(past.action)

    def alike(X: Table) -> Floats:
        return np.tile(shares / shares.sum(), (len(X), 1))

    if name == "shares" or len(seen) < 2:
        return alike
    known: Scale | Bins = Bins.of(past.X) if name == "trees" else Scale.of(past.X)
    if isinstance(known, Bins) and not len(known.columns):
        return alike
    if name == "line":
        model = LogisticRegression(C=0.1, max_iter=300).fit(known(past.X), past.action, past.weight)
    else:
        trees = HistGradientBoostingClassifier(**TREES, early_stopping=False, random_state=seed % 2**32)
        model = trees.fit(known(past.X), past.action, past.weight)
    place = np.searchsorted(actions, seen)

    def tell(X: Table) -> Floats:
        chance = np.full((len(X), len(actions)), SMALLEST)
        chance[:, place] = np.maximum(model.predict_proba(known(X)), SMALLEST)
        return np.asarray(chance / chance.sum(axis=1, keepdims=True))

    return tell
