"""Popularity among one's like: planted tastes by store, the shrinkage by hand, and groups that mean nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from recommender.candidates.crowd import Crowd, most_taken, precisions
from recommender.history.dataset import DAY_US, Dataset

USERS, ITEMS = 400, 20


def town(seed: int = 0) -> Dataset:
    """Visitors of two stores; each store takes its own half of the items, nine times of ten. Two more groups are drawn
    by lot. The last ten visitors bought nothing yet, and of the very last nothing is known."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(USERS - 10), 3)
    own = rng.random(len(user)) < 0.9
    rank = np.minimum(rng.geometric(0.3, len(user)) - 1, ITEMS // 2 - 1)
    item = 2 * rank + np.where(own, user % 2, 1 - user % 2)
    dataset = Dataset.from_arrays(
        [f"u{number:03d}" for number in user],
        [f"i{number:02d}" for number in item],
        rng.integers(0, 100 * DAY_US, len(user)),
        extra_users=[f"u{number:03d}" for number in range(USERS)],
    )
    groups = np.column_stack([np.arange(USERS) % 2 == 0, np.arange(USERS) % 2, rng.integers(0, 2, (USERS, 2))])
    groups[-1] = 0
    return replace(dataset, user_features=sp.csr_matrix(groups.astype(np.float32)))


def test_a_visitor_without_a_purchase_gets_what_the_store_takes() -> None:
    dataset = town()
    strangers = np.arange(USERS - 10, USERS - 1, dtype=np.int32)
    items, _ = Crowd().fit(dataset, seed=0).recommend(strangers, 5)
    assert np.mean(items % 2 == strangers[:, None] % 2) > 0.9


def test_groups_by_lot_add_nothing() -> None:
    dataset = town()
    found = precisions(dataset.user_features, dataset.bought, seed=0)
    assert (found[:2] < 100).all()
    assert (found[2:] >= 300).all()


def test_the_lift_by_hand() -> None:
    """score = log share + trusted x log(1 + buyers in the group / (k x share)); the group is ann and bob."""
    dataset = Dataset.from_arrays(["ann", "bob", "cid", "dan"], ["a", "a", "b", "c"])
    dataset = replace(dataset, user_features=sp.csr_matrix(np.array([[1], [1], [0], [0]], np.float32)))
    source = Crowd(trusted=0.5)
    source.fit(dataset, seed=0)
    buyers = np.array([2, 1, 1])
    tied = buyers + buyers / (2 * (2 + 1))
    share = tied / tied.sum()
    lift = np.log1p(np.array([2, 0, 0]) / (source.precisions_[0] * share))
    np.testing.assert_allclose(source.scores(np.array([0, 2], np.int32))[0], np.log(share) + 0.5 * lift, rtol=1e-5)


def test_no_opinion_of_whom_the_portrait_says_nothing_nor_of_what_nobody_took() -> None:
    dataset = town()
    source = Crowd().fit(dataset, seed=0)
    assert np.isneginf(source.scores(np.array([USERS - 1], np.int32))).all()
    unseen = Dataset.from_arrays(["ann", "bob"], ["a", "b"], extra_items=["c"])
    unseen = replace(unseen, user_features=sp.csr_matrix(np.ones((2, 1), np.float32)))
    assert np.isneginf(Crowd().fit(unseen, seed=0).scores(np.array([0], np.int32))[0, 2])


@pytest.mark.law
def test_the_same_seed_gives_the_same_scores() -> None:
    everyone = np.arange(USERS, dtype=np.int32)
    first, second = (Crowd().fit(town(), seed=3).scores(everyone) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_most_taken_keeps_the_largest_of_each_row() -> None:
    counts = sp.csr_matrix(np.array([[1, 3, 3, 2], [0, 1, 0, 0]], np.float32))
    assert most_taken(counts, 2).toarray().tolist() == [[0, 3, 3, 0], [0, 1, 0, 0]]
    assert most_taken(counts, 1).toarray().tolist() == [[0, 3, 0, 0], [0, 1, 0, 0]]


def test_it_suits_portraits_only() -> None:
    assert Crowd.suits(town())
    assert not Crowd.suits(replace(town(), user_features=None))
