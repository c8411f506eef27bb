"""Parameters of the factor models that depend on the data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from planted_blocks import checkerboard

from recommender.candidates import factors, make
from recommender.candidates.als import Als
from recommender.candidates.factors import in_company, item_directions, scaled_factors
from recommender.history.dataset import Dataset


def test_the_penalty_grows_with_the_ties() -> None:
    """12 ties of 4 users and 9 items, alpha 2: a user's weigh 2 * 12 / 4, an item's 2 * 12 / 9."""
    ties = np.zeros((4, 9), np.float32)
    ties[:, :3] = 1
    model = Als(penalty=0.1, alpha=2.0).model(sp.csr_matrix(ties), seed=0)
    assert model.regularization == pytest.approx(0.1 * np.sqrt((2 * 12 / 4) * (2 * 12 / 9)))


def test_factors_follow_the_ties_up_to_the_most() -> None:
    assert scaled_factors(100, 128) == 8
    assert scaled_factors(800_000, 128) == 128
    assert scaled_factors(800_000, 256) == 176


def in_blocks(users: int = 3_000, blocks: int = 6, items: int = 10, seed: int = 0) -> sp.csr_matrix:
    """Users with ties to most items of their own block, each block's weaker than those of the one before."""
    rng = np.random.default_rng(seed)
    block = np.arange(users) % blocks
    dense = np.zeros((users, blocks, items), np.float32)
    dense[np.arange(users), block] = (rng.random((users, items)) < 0.9) * 0.8 ** block[:, None]
    return sp.csr_matrix(dense.reshape(users, -1))


def test_directions_are_those_of_the_singular_vectors() -> None:
    ties = in_blocks()
    values, vectors = item_directions(ties, 6, 0)
    _, expected, right = np.linalg.svd(ties.toarray(), full_matrices=False)
    np.testing.assert_allclose(values, expected[:6], rtol=1e-3)
    np.testing.assert_allclose(np.abs(np.sum(vectors * right[:6], axis=1)), 1.0, atol=1e-3)
    assert item_directions(ties[:3], 512, 0)[1].shape == (3, 60)


def test_where_users_are_many_a_draw_of_them_tells_the_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sixth of the users: the same blocks, about as strong; not fewer directions."""
    ties = in_blocks()
    values, vectors = item_directions(ties, 6, 0)
    monkeypatch.setattr(factors, "LARGEST_FACTORS", 6 * (60 + 500))
    some, drawn = item_directions(ties, 6, 0)
    assert drawn.shape == vectors.shape
    np.testing.assert_allclose(some, values, rtol=0.2)
    assert (np.abs(np.sum(vectors * drawn, axis=1)) > 0.95).all()
    np.testing.assert_array_equal(item_directions(ties, 6, 0)[1], drawn)


def test_where_items_are_many_directions_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factors, "LARGEST_FACTORS", 2 * 60 * 4)
    assert item_directions(in_blocks(), 6, 0)[1].shape == (4, 60)


def with_loner() -> tuple[Dataset, int, np.ndarray]:
    """A checkerboard, and somebody who took one thing that nobody else did: the dataset, their row, what the portraits
    say of users (they are of the first block)."""
    known = checkerboard()
    users = [known.users[row].decode() for row in known.user] + ["zoe"]
    items = [known.items[row].decode() for row in known.item] + ["strange"]
    dataset = Dataset.from_arrays(users, items, np.append(known.ts_us, 5), until_us=known.until_us)
    block = np.append(np.arange(60) // 20, 0)
    return dataset, 60, np.eye(3, dtype=np.float32)[block]


def test_company_is_something_that_somebody_else_took_too() -> None:
    ties = sp.csr_matrix(np.array([[1, 1, 0, 0], [0, 0.1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], np.float32))
    assert in_company(ties).tolist() == [True, True, False, False]


@pytest.mark.parametrize("name", ["als", "bpr", "spectral", "linear", "hybrid"])
def test_of_whom_ties_tell_nothing_a_factor_model_says_nothing(name: str) -> None:
    """And not what the draw of the factors would have it say."""
    dataset, loner, _ = with_loner()
    source = make([name])[0].fit(dataset, 0)
    assert not np.isfinite(source.scores(np.array([loner], np.int32))).any()
    assert np.isfinite(source.scores(np.array([0, 59], np.int32))[:, :8]).all()


def test_where_the_portrait_tells_something_the_hybrid_says_it() -> None:
    dataset, loner, told = with_loner()
    told_too = replace(dataset, user_features=sp.csr_matrix(told))
    found, _ = make(["hybrid"])[0].fit(told_too, 0).recommend(np.array([loner], np.int32), 8, dataset.rankable)
    first_block = sum(dataset.items[item].startswith(b"i0") for item in found[0])
    assert first_block >= 6
