"""A draw of visitors: whole visitors, by the seed, with what stands beside them; the refit still sees everybody."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from planted_blocks import shop

from recommender.backtest import refit, replay, splits
from recommender.history.dataset import Dataset
from recommender.history.exposures import Exposures
from recommender.history.sample import of_visitors, some_visitors
from recommender.plan import Plan


def rows_of(dataset: Dataset) -> set[tuple[bytes, bytes, int, int]]:
    ids = zip(dataset.users[dataset.user], dataset.items[dataset.item], strict=True)
    return {(*pair, int(ts), int(kind)) for pair, ts, kind in zip(ids, dataset.ts_us, dataset.kind, strict=True)}


def test_a_short_history_stays_as_it_is() -> None:
    dataset = shop()
    assert some_visitors(dataset, 0) is dataset
    assert some_visitors(dataset, 0, len(dataset.user)) is dataset


def test_the_draw_is_of_whole_visitors() -> None:
    dataset = shop()
    drawn = some_visitors(dataset, 3, len(dataset.user) // 3)
    assert 0.2 < len(drawn.user) / len(dataset.user) < 0.5
    assert 0 < len(drawn.users) < len(dataset.users)
    np.testing.assert_array_equal(drawn.items, dataset.items)
    own = np.isin(dataset.users[dataset.user], drawn.users)
    assert rows_of(drawn) == {row for row in rows_of(dataset) if row[0] in set(drawn.users.tolist())}
    assert len(drawn.user) == own.sum()
    assert drawn.until_us == dataset.until_us
    assert (np.diff(drawn.ts_us) >= 0).all()


def test_the_seed_draws() -> None:
    dataset = shop()
    one, same, other = (some_visitors(dataset, seed, len(dataset.user) // 3) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.users, same.users)
    assert set(one.users) != set(other.users)


def test_what_stands_beside_is_cut_alike() -> None:
    dataset = shop()
    people, items = dataset.shape
    told = sp.csr_matrix(np.arange(people, dtype=np.float32)[:, None])
    friends = sp.csr_matrix((np.ones(2, np.float32), ([0, 2], [2, 0])), shape=(people, people))
    shown = sp.csr_matrix((np.ones(2, np.float32), ([1, 2], [0, 1])), shape=dataset.shape)
    worth = np.arange(items, dtype=np.float64)
    exposures = Exposures(np.ones(1), np.ones(items), shown, shown)
    whole = replace(dataset, user_features=told, friends=friends, worth=worth, exposures=exposures)
    some = of_visitors(whole, np.array([0, 2, 5], np.int32))
    assert some.user_features is not None
    assert some.friends is not None
    assert some.exposures is not None
    assert some.user_features.toarray().ravel().tolist() == [0, 2, 5]
    assert some.friends.toarray().tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert some.exposures.looked.toarray()[:, :2].tolist() == [[0, 0], [0, 1], [0, 0]]
    assert some.exposures.appeal is exposures.appeal
    assert some.worth is worth


def test_a_sample_learns_and_the_refit_knows_everybody() -> None:
    """Half of the visitors find the planted order, and what is fitted then has ties of all of them."""
    dataset, plan = shop(), Plan()
    half = some_visitors(dataset, plan.seed, len(dataset.user) // 2)
    found = splits(half, plan)
    assert found is not None
    learnt = replay(*found, plan)
    assert learnt.ours.ndcg("new") > learnt.popular.ndcg("new")
    fitted = refit(dataset, learnt, plan)
    everyone = np.flatnonzero(np.diff(dataset.bought.indptr) > 0).astype(np.int32)
    assert len(everyone) > len(half.users)
    for pool in fitted.pooler.pools(everyone):
        assert (np.isfinite(fitted.scores(pool)).sum(axis=1) >= 10).all()
    whole = replay(*(splits(dataset, plan) or ()), plan)
    assert learnt.recipe.new == whole.recipe.new
