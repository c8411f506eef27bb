"""The vector of a visitor of today against the library's own answer for the same items."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares

from recommender.answers.fold import MOST_FACTORS, fold_arrays, fold_in

USERS, ITEMS = 60, 40


def trained(factors: int, regularization: float, alpha: float) -> AlternatingLeastSquares:
    taken = sp.random(USERS, ITEMS, density=0.2, random_state=1, format="csr", dtype=np.float32)
    model = AlternatingLeastSquares(
        factors=factors, regularization=regularization, alpha=alpha, iterations=5, random_state=0, num_threads=1
    )
    model.fit(taken, show_progress=False)
    return model


@pytest.mark.parametrize("items", [[3], [0, 7, 39], list(range(10))])
@pytest.mark.parametrize(("regularization", "alpha"), [(1.0, 5.0), (0.05, 1.0), (10.0, 0.4)])
def test_scores_are_those_of_implicit(items: list[int], regularization: float, alpha: float) -> None:
    model = trained(16, regularization, alpha)
    says = np.linspace(0.3, 1.0, len(items)).astype(np.float32)
    row = sp.csr_matrix((says, items, [0, len(items)]), shape=(1, ITEMS))
    golden = model.item_factors @ model.recalculate_user(0, row)
    arrays = fold_arrays(model.item_factors, regularization)
    vector = fold_in(arrays["fold_items"][items], arrays["fold_scale"], alpha * says)
    np.testing.assert_allclose(arrays["fold_items"] @ vector, golden, rtol=2e-3, atol=2e-4)


def test_of_many_axes_the_longest_are_kept() -> None:
    """Factors that really lie in few axes lose nothing."""
    rng = np.random.default_rng(0)
    low = rng.normal(size=(ITEMS, 8)) @ rng.normal(size=(8, MOST_FACTORS + 20))
    arrays = fold_arrays(low.astype(np.float32), 1.0)
    assert arrays["fold_items"].shape == (ITEMS, MOST_FACTORS)
    np.testing.assert_allclose(arrays["fold_items"] @ arrays["fold_items"].T, low @ low.T, rtol=1e-3, atol=1e-2)


def test_the_same_factors_give_the_same_arrays() -> None:
    factors = trained(16, 1.0, 5.0).item_factors
    first, second = fold_arrays(factors, 1.0), fold_arrays(factors.copy(), 1.0)
    assert all((first[name] == second[name]).all() for name in first)
    assert (first["fold_scale"] > 0).all()
