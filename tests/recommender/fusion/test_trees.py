"""Trees asked column by column answer exactly what the library answers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from recommender.fusion.trees import CHUNK_ROWS, MOST_LEAVES, Trees
from recommender.history.dataset import Float32

RANDOM = np.random.default_rng(0)


def rows(count: int, holes: float) -> Float32:
    """Five features: one of whole numbers, and holes in all."""
    features = RANDOM.normal(size=(count, 5)).astype(np.float32)
    features[:, 0] = RANDOM.integers(0, 4, count)
    features[RANDOM.random(features.shape) < holes] = np.nan
    return features


@pytest.mark.parametrize("leaves", [2, 5, MOST_LEAVES])
@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_the_same_as_the_library(leaves: int, holes: float) -> None:
    learnt = rows(3_000, holes)
    taken = np.nan_to_num(learnt[:, 0] - learnt[:, 1] * learnt[:, 2]) + np.isnan(learnt[:, 3]) > 1
    model = HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=leaves, random_state=0).fit(learnt, taken)
    asked = np.concatenate([learnt, rows(CHUNK_ROWS, 0.5)])
    np.testing.assert_array_equal(Trees(model).predict(asked), model.predict_proba(asked)[:, 1])


def test_nothing_asked() -> None:
    learnt = rows(200, 0.0)
    model = HistGradientBoostingClassifier(max_iter=2, max_leaf_nodes=4).fit(learnt, learnt[:, 0] > 1)
    assert Trees(model).predict(learnt[:0]).shape == (0,)
