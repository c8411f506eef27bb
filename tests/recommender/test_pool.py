"""Pools: every source's candidates, each once, repeats and new items apart."""

from __future__ import annotations

import numpy as np
import pytest
from planted_blocks import TINY, checkerboard, missing_item, tiny

from recommender.backtest import fit_sources
from recommender.candidates import SOURCES, make
from recommender.pool import Pooler

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
    assert POOL.features.shape == (*POOL.items.shape, len(POOLER.feature_names))
    ranks = POOL.features[:, :, [name.startswith("rank_") for name in POOLER.feature_names]]
    assert np.isnan(ranks[~POOL.real]).all()
    assert np.isfinite(ranks[POOL.real]).any(axis=1).all()


def test_the_source_is_the_one_that_ranks_it_highest() -> None:
    ranks = POOL.features[:, :, [name.startswith("rank_") for name in POOLER.feature_names]]
    best = np.nanmin(ranks[POOL.real], axis=1)
    chosen = np.take_along_axis(ranks, POOL.source[:, :, None].astype(int), axis=2)[:, :, 0][POOL.real]
    np.testing.assert_array_equal(chosen, best)


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
