"""How likely each action was, where the log does not say: estimated, cross-fitted, clipped.

A row's probability is told by a model that did not see the row (Chernozhukov et al. 2018, "Double/debiased machine
learning"): a multinomial logistic regression or boosted trees, whichever foretells held-out actions better. What was
logged is taken as it is; what is estimated is as good as the features, and its effects are only as causal as they are
complete: whatever moved both the action and the outcome must be among them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from recommender.effects.means import BINS, Bins, Scale, Table
from recommender.effects.rows import FEW, Floats, Ints, Rows, capped, folds

FOLDS = 3
LOWEST = 0.01
"""An estimated probability below this is taken as this."""
ENOUGH_FOR_TREES = 600
MOST_ROWS = 60_000
"""Rows that chances are learnt from."""
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
    """The chance of each row's action, from rows of other folds; shares of the actions where rows are few."""
    fold = folds(rows.unit, FOLDS, seed)
    actions = np.unique(rows.action)
    names = ["shares", *(["line"] if len(rows) >= FEW and len(actions) > 1 and rows.X.shape[1] else [])]
    names += ["trees"] if len(rows) >= ENOUGH_FOR_TREES and len(names) > 1 else []
    found = {name: np.full((len(rows), len(actions)), LOWEST) for name in names}
    for one in range(FOLDS):
        held = fold == one
        past = capped(rows.take(~held) if (~held).any() else rows, MOST_ROWS, seed)
        for name, chance in found.items():
            if held.any():
                chance[held] = _chances(name, past, rows.X[held], actions, seed)
    place = np.searchsorted(actions, rows.action)
    if len(actions) == 1:
        return np.ones(len(rows)), "shares"
    losses = {name: log_loss(place, chance, labels=range(len(actions))) for name, chance in found.items()}
    best = min(losses, key=lambda name: losses[name])
    return found[best][np.arange(len(rows)), place], best


def _chances(name: str, past: Rows, X: Table, actions: Ints, seed: int) -> Floats:
    """[n, actions], summing to 1, also where an action is not among the rows learnt from."""
    shares = np.array([past.weight[past.action == action].sum() for action in actions]) + 1.0
    chance = np.broadcast_to(shares / shares.sum(), (len(X), len(actions))).copy()
    seen = np.unique(past.action)
    if name == "shares" or len(seen) < 2:
        return chance
    if name == "line":
        scale = Scale.of(past.X)
        line = LogisticRegression(C=0.1, max_iter=300).fit(scale(past.X), past.action, past.weight)
        known = line.predict_proba(scale(X))
    else:
        bins = Bins.of(past.X)
        trees = HistGradientBoostingClassifier(**TREES, early_stopping=False, random_state=seed % 2**32)
        known = trees.fit(bins(past.X), past.action, past.weight).predict_proba(bins(X))
    smallest = 1e-4
    chance[:] = smallest
    chance[:, np.searchsorted(actions, seen)] = np.maximum(known, smallest)
    return np.asarray(chance / chance.sum(axis=1, keepdims=True))
