"""User-user neighbours against the formula written out user by user."""

from __future__ import annotations

import numpy as np
import pytest
from planted_blocks import shop

from recommender.candidates.alike import Alike, faded
from recommender.history.dataset import DAY_US, Dataset

SHOP = shop()
EVERYONE = np.arange(len(SHOP.users), dtype=np.int32)


def plain(dataset: Dataset, neighbours: int, damping: float, own: float) -> np.ndarray:
    half_life = dataset.recent_us
    ties = dataset.matrix(half_life).toarray().astype(np.float64)
    takers = (ties > 0).sum(axis=0)
    telling = ties * takers**-0.25
    length = np.linalg.norm(dataset.matrix().toarray() * takers**-0.25, axis=1)
    scores = own * faded(dataset, half_life).toarray().astype(np.float64)
    for user in range(len(ties)):
        likeness = telling @ telling[user] / length[user] ** 0.7 / length**1.3
        likeness[user] = 0
        near = [other for other in np.argsort(-likeness)[:neighbours] if likeness[other] > 0]
        mean = likeness[near] @ ties[near] / likeness[near].sum()
        scores[user] += mean / (takers / takers.mean()) ** damping
    return scores


@pytest.mark.parametrize(("neighbours", "damping", "own"), [(5, 0.0, 0.1), (30, 0.5, 2.0), (1_000, 0.2, 0.5)])
def test_scores_are_the_formula(neighbours: int, damping: float, own: float) -> None:
    found = Alike(neighbours, damping=damping, own=own).fit(SHOP, seed=0).scores(EVERYONE)
    expected = plain(SHOP, neighbours, damping, own)
    np.testing.assert_allclose(np.where(np.isfinite(found), found, 0), expected, rtol=1e-3, atol=1e-5)


def test_every_time_counts_and_fades() -> None:
    """Taken now and one half-life ago: 1 + 1/2."""
    dataset = Dataset.from_arrays(["ann", "ann"], ["a", "a"], np.array([90, 100]) * DAY_US, until_us=100 * DAY_US + 1)
    np.testing.assert_allclose(faded(dataset, 10 * DAY_US).toarray(), [[1.5]], rtol=1e-6)


def test_the_most_active_of_a_draw_are_asked() -> None:
    source = Alike(references=10)
    ties = SHOP.matrix()
    asked = source.asked(ties, seed=0)
    assert len(asked) == 10
    assert (np.diff(asked) > 0).all()
    np.testing.assert_array_equal(asked, source.asked(ties, seed=0))
    assert np.diff(ties.indptr)[asked].mean() > np.diff(ties.indptr).mean()


def test_somebody_who_is_not_asked_is_answered() -> None:
    source = Alike(references=20).fit(SHOP, seed=0)
    outside = np.flatnonzero(source.place_ < 0).astype(np.int32)
    assert len(outside) == len(SHOP.users) - 20
    assert np.isfinite(source.scores(outside)).any(axis=1).all()
