"""Every kind of opinions finds what a full sort of all scores would find."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from recommender.candidates.opinions import (
    ABOVE_ZERO,
    DenseOpinions,
    Opinions,
    SharedOpinions,
    SparseOpinions,
    top,
)
from recommender.history.dataset import Float32, Int32, Mask

USERS, ITEMS, DEPTH = 40, 3_000, 20
RANDOM = np.random.default_rng(0)
RANKABLE: Mask = RANDOM.random(ITEMS) < 0.9
TAKEN = sp.random(USERS, ITEMS, 0.02, format="csr", random_state=1, dtype=np.float32)


def shared() -> tuple[Opinions, Float32]:
    """Whole numbers, so that many are equal."""
    values = RANDOM.integers(0, 30, ITEMS).astype(np.float32)
    order = np.argsort(-values, kind="stable").astype(np.int32)
    return SharedOpinions(values, order, USERS), np.tile(values, (USERS, 1))


def sparse(density: float = 0.01) -> tuple[SparseOpinions, Float32]:
    """One user in ten has none; some entries are 0."""
    values = sp.random(USERS, ITEMS, density, format="csr", random_state=2, dtype=np.float32)
    values.data = np.round(values.data * 4)
    values = (sp.diags((np.arange(USERS) % 10 > 0).astype(np.float32)) @ values).tocsr()
    values.sort_indices()
    dense = values.toarray()
    return SparseOpinions(values), np.where(dense > 0, dense, np.float32(-np.inf))


def above_zero() -> tuple[Opinions, Float32]:
    found, dense = sparse(0.3)
    return DenseOpinions(found.values.toarray(), ABOVE_ZERO), dense


def full() -> tuple[Opinions, Float32]:
    """Scores of both signs; nothing is known about the first user and the last item."""
    values = np.round(RANDOM.normal(size=(USERS, ITEMS)), 2).astype(np.float32)
    values[0], values[:, -1] = -np.inf, -np.inf
    return DenseOpinions(values.copy()), values


every_kind = pytest.mark.parametrize("kind", [shared, sparse, above_zero, full])


def sorted_out(scores: Float32, k: int) -> Int32:
    """The k best of each row by a full sort, ties by the smaller column, -1 pads."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.where(np.isfinite(np.take_along_axis(scores, order, axis=1)), order, -1).astype(np.int32)


@every_kind
def test_the_best_are_those_of_a_full_sort(kind: object) -> None:
    opinions, scores = kind()  # type: ignore[operator]
    allowed = np.where(RANKABLE, scores, np.float32(-np.inf))
    allowed[TAKEN.nonzero()] = -np.inf
    np.testing.assert_array_equal(opinions.best(DEPTH, RANKABLE, TAKEN), sorted_out(allowed, DEPTH))


@every_kind
def test_scores_of_a_few_are_those_of_all(kind: object) -> None:
    opinions, scores = kind()  # type: ignore[operator]
    items = RANDOM.integers(0, ITEMS, (USERS, 50)).astype(np.int32)
    np.testing.assert_array_equal(opinions.dense(), scores)
    np.testing.assert_array_equal(opinions.at(items), np.take_along_axis(scores, items, axis=1))


@every_kind
def test_what_was_taken_keeps_its_score(kind: object) -> None:
    opinions, scores = kind()  # type: ignore[operator]
    opinions.best(DEPTH, RANKABLE, TAKEN)
    np.testing.assert_array_equal(opinions.dense()[:, RANKABLE], scores[:, RANKABLE])


@every_kind
def test_nothing_is_left_where_everything_was_taken(kind: object) -> None:
    opinions, _ = kind()  # type: ignore[operator]
    everything = sp.csr_matrix(np.ones((USERS, ITEMS), np.float32))
    assert (opinions.best(DEPTH, RANKABLE, everything) == -1).all()
    assert (opinions.best(DEPTH, np.zeros(ITEMS, bool), TAKEN) == -1).all()


@pytest.mark.parametrize("columns", [1, 19, 2_048, 2_049, 5_000])
@pytest.mark.parametrize("k", [1, 20, 300])
def test_top_is_the_head_of_a_full_sort(columns: int, k: int) -> None:
    """Whatever the width, with many ties and rows without anything."""
    scores = np.round(np.random.default_rng(columns).normal(size=(9, columns)), 1).astype(np.float32)
    scores[3] = -np.inf
    scores[4, 1:] = -np.inf
    found, values = top(scores, k)
    width = min(k, columns)
    np.testing.assert_array_equal(found[:, :width], sorted_out(scores, k))
    assert (found[:, width:] == -1).all()
    assert (np.isfinite(values) == (found >= 0)).all()


@every_kind
def test_moments_are_those_of_the_whole_row(kind: object) -> None:
    """Of all items, those without an opinion at what silence is worth: 0, or left out."""
    opinions, scores = kind()  # type: ignore[operator]
    mean, deviation = opinions.moments()
    for row, of_user in enumerate(scores):
        silent = ~np.isfinite(of_user)
        heard = of_user[~silent] if opinions.silence is None else np.where(silent, opinions.silence, of_user)
        wanted = (heard.mean(), heard.std()) if len(heard) else (0.0, 0.0)
        assert mean[row] == pytest.approx(wanted[0], abs=1e-4)
        assert deviation[row] == pytest.approx(wanted[1] or 1.0, rel=1e-3)


def test_what_is_the_same_for_all_deviates_by_one() -> None:
    """0.1 has no exact square: rounding is not a deviation."""
    same = np.full((2, 50_000), 0.1, np.float32)
    assert DenseOpinions(same).moments()[1].tolist() == [1, 1]
    assert SharedOpinions(same[0], np.arange(50_000, dtype=np.int32), 2).moments()[1].tolist() == [1, 1]
    assert SparseOpinions(sp.csr_matrix((2, 50))).moments()[1].tolist() == [1, 1]
