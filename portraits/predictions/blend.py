"""The learned score: a logistic regression, shallow trees and, for buyers, BG/NBD, averaged as log odds.

The three err differently: the regression bends least where a later month differs from the ones it was learned on, the
trees find what is not a straight line, and BG/NBD knows from its form how time without orders works. Settings were
chosen once, on earlier splits of two shops, and are the same for every app.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from portraits.predictions.moments import logit
from portraits.predictions.orders import Floats
from portraits.predictions.samples import capped

MOST_ROWS = 30_000
STRENGTH = 0.1
"""Inverse of the regression's penalty."""
TREES = {
    "max_depth": 3,
    "learning_rate": 0.08,
    "max_iter": 60,
    "min_samples_leaf": 50,
    "l2_regularization": 5.0,
    "early_stopping": False,
}


@dataclass(frozen=True, slots=True)
class Blend:
    """A fitted score. Rows come with `prior`: log odds that are known without learning, None where there are none."""

    line: Pipeline
    trees: HistGradientBoostingClassifier

    @classmethod
    def fit(cls, X: Floats, happened: Floats, seed: int) -> Blend:
        """On rows of earlier moments; both outcomes must be among them."""
        rows = capped(len(X), MOST_ROWS, seed)
        line = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, solver="newton-cholesky"))
        trees = HistGradientBoostingClassifier(**TREES, random_state=seed % 2**32)
        return cls(line.fit(X[rows], happened[rows]), trees.fit(X[rows], happened[rows]))

    def odds(self, X: Floats, prior: Floats | None) -> Floats:
        """Log odds of rows."""
        if not len(X):
            return np.empty(0)
        learned = [self.line.decision_function(X), logit(self.trees.predict_proba(X)[:, 1])]
        return np.asarray(np.mean(learned if prior is None else [*learned, prior], axis=0))
