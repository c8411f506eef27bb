"""Pools: every source's candidates, each once, repeats and new items apart."""

from __future__ import annotations

import numpy as np
import pytest
from planted_blocks import TINY, checkerboard, missing_item, tiny

from recommender.candidates import SOURCES, make
from recommender.fusion.learn import fit_sources
from recommender.fusion.pool import Pooler

BOARD = checkerboard()
POOLER = Pooler(BOARD, [source.fit(BOARD, 0) for source in make(SOURCES)], depth=3, repeats=5)
USERS = np.arange(len(BOARD.users), dtype=np.int32)
POOL = POOLER.draw(USERS)


def test_each_candidate_once() -> None:
    for row in POOL.items:
        real = row[row >= 0]
        assert len(set(real.tolist())) == len(real)
        assert (row[len(real) :] == -1).all()


def test_repeats_are_what_was_taken() -> None:
    taken = np.take_along_axis(BOARD.bought[USERS].toarray() > 0, np.maximum(POOL.items, 0), axis=1)
    np.testing.assert_array_equal(POOL.repeat, taken & POOL.real)


def test_the_best_of_each_source_is_there() -> None:
    missing = np.array([missing_item(BOARD, user) for user in USERS])
    assert (POOL.items == missing[:, None]).any(axis=1).mean() > 0.95
    assert (POOL.repeat.sum(axis=1) >= 5).all()


def test_features_have_names_and_padding_has_none() -> None:
    features = POOLER.features(POOL)
    assert features.shape == (POOL.real.sum(), len(POOLER.feature_names))
    assert np.isnan(POOL.ranks[~POOL.real]).all()
    assert np.isfinite(POOL.ranks[POOL.real]).any(axis=1).all()


def test_the_source_is_the_one_that_ranks_it_highest() -> None:
    best = np.nanmin(POOL.ranks[POOL.real], axis=1)
    chosen = np.take_along_axis(POOL.ranks, POOL.source[:, :, None].astype(int), axis=2)[:, :, 0][POOL.real]
    np.testing.assert_array_equal(chosen, best)


def test_z_is_the_distance_from_the_mean_over_the_catalogue() -> None:
    """Checked against the whole rows; a source that only names a few items gives the others 0."""
    for place, source in enumerate(POOLER.sources):
        silence = source.opinions(USERS).silence
        whole = source.scores(USERS).astype(np.float64)
        heard = np.where(np.isfinite(whole), whole, 0.0)
        known = np.isfinite(whole) if silence is None else np.ones(whole.shape, bool)
        count = np.maximum(known.sum(axis=1, keepdims=True), 1)
        mean = heard.sum(axis=1, keepdims=True) / count
        deviation = np.sqrt((((heard - mean) ** 2) * known).sum(axis=1, keepdims=True) / count)
        z = np.where(known, heard - mean, 0.0) / np.where(deviation > 1e-5 * np.abs(mean), deviation, 1.0)
        wanted = np.take_along_axis(z, np.maximum(POOL.items, 0), axis=1)
        np.testing.assert_allclose(POOL.z[:, :, place][POOL.real], wanted[POOL.real], rtol=1e-2, atol=1e-2)
    assert (POOL.z[~POOL.real] == 0).all()


def test_parts_and_what_was_taken() -> None:
    np.testing.assert_array_equal(POOL.part(True) | POOL.part(False), POOL.part(None))
    assert not (POOL.part(True) & POOL.part(False)).any()
    np.testing.assert_array_equal(POOL.among(BOARD.bought[USERS]), POOL.repeat)


def test_blocks_of_users_make_no_difference() -> None:
    again = POOLER.draw(USERS[20:25])
    for row, user in enumerate(USERS[20:25]):
        whole = POOL.items[user][POOL.real[user]]
        assert again.items[row][again.real[row]].tolist() == whole.tolist()


@pytest.mark.fault
@pytest.mark.parametrize("edge", TINY)
def test_histories_at_the_edge(edge: str) -> None:
    dataset = tiny(edge)
    users = np.arange(len(dataset.users), dtype=np.int32)
    for pool in fit_sources(dataset, seed=0).pools(users):
        assert pool.items.max(initial=-1) < len(dataset.items)
