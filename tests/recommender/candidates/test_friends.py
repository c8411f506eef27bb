"""What friends take, against sums written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from recommender.candidates.friends import Friends, evened
from recommender.history.dataset import Dataset

NAMES = ["ann", "bob", "cid", "dan", "eve"]


def circle() -> Dataset:
    """ann knows bob (twice), bob knows cid, cid knows dan; eve nobody. Each bought the item of their initial."""
    dataset = Dataset.from_arrays(NAMES, [name[0] for name in NAMES])
    links = np.zeros((5, 5), np.float32)
    for one, other, times in ((0, 1, 2.0), (1, 2, 1.0), (2, 3, 1.0)):
        links[one, other] = links[other, one] = times
    return replace(dataset, friends=sp.csr_matrix(links))


def everyone() -> np.ndarray:
    return np.arange(5, dtype=np.int32)


def plain(links: np.ndarray, ties: np.ndarray, far: float) -> np.ndarray:
    """Links over the roots of both ends' sums; friends' ties plus `far` times their friends', never one's own."""
    sums = links.sum(axis=1)
    users, items = ties.shape
    even = np.zeros_like(links)
    for one in range(users):
        for other in range(users):
            if links[one, other]:
                even[one, other] = links[one, other] / np.sqrt(sums[one] * sums[other])
    found = np.zeros((users, items))
    for user in range(users):
        for friend in range(users):
            found[user] += even[user, friend] * ties[friend]
            for further in range(users):
                if further != user:
                    found[user] += far * even[user, friend] * even[friend, further] * ties[further]
    return found


@pytest.mark.parametrize("far", [0.0, 0.3, 1.0])
def test_friends_and_their_friends(far: float) -> None:
    dataset = circle()
    assert dataset.friends is not None
    source = Friends(far=far).fit(dataset, seed=0)
    expected = plain(dataset.friends.toarray(), dataset.matrix().toarray(), far)
    found = source.scores(everyone())
    np.testing.assert_allclose(np.where(np.isfinite(found), found, 0), expected, rtol=1e-5, atol=1e-7)


def test_own_purchases_do_not_come_back() -> None:
    """bob's friend knows bob; so what bob bought is two steps away, and yet no opinion of a friend."""
    scores = Friends(far=1.0).fit(circle(), seed=0).scores(everyone())
    assert np.isneginf(scores.diagonal()).all()
    assert np.isneginf(scores[4]).all()
    assert np.isfinite(scores[0, 2])
    assert np.isneginf(scores[0, 3])


def test_a_block_is_its_users() -> None:
    source = Friends(far=1.0).fit(circle(), seed=0)
    apart = np.concatenate([source.scores(everyone()[row : row + 1]) for row in range(5)])
    np.testing.assert_array_equal(apart, source.scores(everyone()))


def test_somebody_with_many_friends_says_less_to_each() -> None:
    links = np.zeros((4, 4), np.float32)
    links[0, 1] = links[1, 0] = 1
    links[2, :2] = links[:2, 2] = 1
    links[2, 3] = links[3, 2] = 1
    even = evened(sp.csr_matrix(links)).toarray()
    assert even[0, 1] == pytest.approx(1 / np.sqrt(2 * 2))
    assert even[0, 2] == pytest.approx(1 / np.sqrt(2 * 3))


def test_it_suits_friends_only() -> None:
    assert Friends.suits(circle())
    assert not Friends.suits(replace(circle(), friends=None))
    assert not Friends.suits(replace(circle(), friends=sp.csr_matrix((5, 5))))
