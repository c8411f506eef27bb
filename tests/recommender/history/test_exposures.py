"""What was shown: planted places and appeals come back, by chance placed or not, and thin places stay in order."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from portraits.sample.choice import EXAMINED
from recommender.history.exposures import MOST_PLACES, Shown, exposures_of, fit

PLANTED = EXAMINED / EXAMINED[0]


def shelf(
    clicks: int, favoured: bool, items: int = 200, seed: int = 1
) -> tuple[sp.csr_matrix, sp.csr_matrix, np.ndarray]:
    """Counts [I, P] of what was shown and opened, with about so many clicks, and the planted appeals. favoured: better
    items stand higher up, as in any shop that had a recommender."""
    rng = np.random.default_rng(seed)
    appeal = rng.beta(1, 20, items)
    rows = int(clicks / (appeal.mean() * PLANTED.mean()))
    item = rng.integers(0, items, rows)
    rank = np.argsort(np.argsort(-appeal))[item] / items
    drawn = rank * 10 + rng.normal(0, 3, rows) if favoured else rng.integers(0, 10, rows)
    place = np.clip(drawn, 0, 9).astype(int)
    opened = rng.random(rows) < PLANTED[place] * appeal[item]
    shown, counted = (
        sp.csr_matrix((values.astype(np.float64), (item, place)), shape=(items, 10))
        for values in (np.ones(rows), opened)
    )
    return shown, counted, appeal


@pytest.mark.parametrize("favoured", [False, True])
def test_planted_places_are_recovered(favoured: bool) -> None:
    shown, opened, appeal = shelf(5_000, favoured)
    examined, found = fit(shown, opened)
    assert np.abs(examined - PLANTED).mean() < 0.05
    assert np.corrcoef(found, appeal)[0, 1] > 0.95


def test_clicks_by_place_alone_would_blame_the_place_for_its_items() -> None:
    shown, opened, _ = shelf(5_000, favoured=True)
    naive = np.asarray(opened.sum(axis=0) / shown.sum(axis=0)).ravel()
    assert np.abs(naive / naive.max() - PLANTED).mean() > 3 * np.abs(fit(shown, opened)[0] - PLANTED).mean()


def test_few_clicks_keep_places_near_the_falling_order() -> None:
    """30 clicks, and by chance the fifth place had the most: it is not taken for the best by far."""
    shown = sp.csr_matrix(np.full((1, 5), 200.0))
    opened = sp.csr_matrix(np.array([[6.0, 6.0, 5.0, 5.0, 8.0]]))
    examined = fit(shown, opened)[0]
    assert examined.min() > 0.85
    many = fit(100 * shown, 100 * opened)[0]
    assert many.argmax() == 4
    assert many[3] == pytest.approx(5 / 8, abs=0.02)


def test_the_same_by_expectation_maximisation() -> None:
    """An independent fit of the same model, run until it stands still: places agree where there is much to go by."""
    shown, opened, _ = shelf(20_000, favoured=False, items=20)
    n, c = shown.toarray(), opened.toarray()
    place, appeal = np.full(10, 0.5), np.full(20, 0.1)
    for _ in range(3_000):
        unopened = n - c
        both = 1 - np.outer(appeal, place)
        seen = c + unopened * (1 - appeal)[:, None] * place / both
        liked = c + unopened * (1 - place) * appeal[:, None] / both
        place, appeal = seen.sum(axis=0) / n.sum(axis=0), liked.sum(axis=1) / n.sum(axis=1)
    np.testing.assert_allclose(fit(shown, opened)[0], place / place.max(), atol=0.02)


def test_what_a_visitor_looked_at_and_passed_over() -> None:
    """Two visitors, one item, places 1 and 2; only what is of late counts for visitors, all of it for places."""
    counts = Shown(
        user=np.array([0, 0, 1], np.int32),
        item=np.array([0, 0, 0], np.int32),
        place=np.array([0, 1, 0], np.int32),
        shown=np.array([4.0, 2.0, 5.0]),
        opened=np.array([1.0, 0.0, 1.0]),
        late=np.array([True, True, False]),
    )
    found = exposures_of(counts, (2, 2))
    assert found is not None
    first, second = found.examined
    assert found.looked.toarray()[0, 0] == pytest.approx(4 * first + 2 * second)
    assert found.passed.toarray()[0, 0] == pytest.approx(3 * first + 2 * second)
    assert not found.looked[1].nnz
    assert np.isnan(found.appeal).tolist() == [False, True]


def test_far_places_count_as_the_last() -> None:
    zero = np.zeros(2, np.int32)
    far = np.array([0, 10_000], np.int32)
    found = exposures_of(Shown(zero, zero, far, np.full(2, 10.0), np.array([3.0, 1.0]), np.ones(2, bool)), (1, 1))
    assert found is not None
    assert len(found.examined) == MOST_PLACES
    assert np.isfinite(found.examined).all()


def test_without_a_click_nothing_is_known() -> None:
    zero = np.zeros(1, np.int32)
    assert exposures_of(Shown(zero, zero, zero, np.ones(1), np.zeros(1), np.ones(1, bool)), (1, 1)) is None
