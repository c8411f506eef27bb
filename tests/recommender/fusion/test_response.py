"""What being shown leads to, on a shop whose law is known: taste and not popularity, fatigue, needs that are back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import planted_shown
import pytest
import scipy.sparse as sp
from planted_shown import ITEMS, TRAP, UNMET
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from recommender.backtest import refit, replay, splits
from recommender.fusion.assemble import bundle_arrays
from recommender.fusion.encounters import Encounters, Pairs, encounters_of
from recommender.fusion.learn import fit_sources
from recommender.fusion.pool import Pool, Pooler
from recommender.fusion.response import PULL, SHAPES, Responding, Response, fitted_shape, logistic, proven
from recommender.history.dataset import DAY_US, Dataset, Float32
from recommender.history.exposures import Exposures
from recommender.plan import Plan

SOURCES = ["popular", "recent_popular", "similar", "again"]


def by_popularity(pool: Pool) -> Float32:
    return pool.scores[:, :, 0]


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return Pairs(fit_sources(planted_shown.split().train, 0, SOURCES), {})


@pytest.fixture(scope="module")
def encounters(pairs: Pairs) -> Encounters:
    found = encounters_of(pairs, planted_shown.split(), planted_shown.looks, by_popularity, 0)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def response(encounters: Encounters) -> Response:
    return Response(encounters.names, ITEMS, 0).fit([encounters])


def everything(pairs: Pairs, users: int = 20) -> Pool:
    return pairs.pooler.of(np.arange(users, dtype=np.int32), np.tile(np.arange(ITEMS, dtype=np.int32), (users, 1)))


def test_taste_orders_and_not_popularity(response: Response, pairs: Pairs) -> None:
    """Everybody looks at the trap, and nobody opens it: it stands behind the visitor's own kind."""
    pool = everything(pairs)
    opened = np.where(
        pool.repeat, np.nan, response.opened(pairs.of(pool), pool.items.ravel()).reshape(pool.items.shape)
    )
    own = (pool.users[:, None] % 2 == pool.items % 2) & (pool.items != TRAP)
    other = ~own & (pool.items != TRAP)
    kinds = [np.nanmean(np.where(kind, opened, np.nan), axis=1) for kind in (own, other)]
    assert (kinds[0] > 2 * kinds[1]).mean() > 0.9
    assert (opened[:, TRAP] < kinds[0]).mean() > 0.9


def test_it_is_as_likely_as_it_happened(response: Response, encounters: Encounters) -> None:
    told = response.opened(encounters.shown.features, encounters.shown.item) @ encounters.looks
    assert told == pytest.approx(encounters.shown.came.sum(), rel=0.15)


def test_an_item_that_appeals_more_than_tastes_foretell(encounters: Encounters) -> None:
    """Opened by everybody who was shown it, or by many though nobody met it before: it appeals more."""
    shown = encounters.shown
    star = 7
    charming = encounters._replace(shown=shown._replace(came=shown.came | (shown.item == star)))
    appeal = Response(encounters.names, ITEMS, 0).fit([charming]).appeal_
    usual = [item for item in range(ITEMS) if item not in (star, UNMET)]
    assert min(appeal[star], appeal[UNMET]) > 2 * appeal[usual].max()
    assert appeal[TRAP] == appeal.min()


def test_the_same_encounters_teach_the_same(response: Response, encounters: Encounters) -> None:
    again = Response(encounters.names, ITEMS, 0).fit([encounters])
    np.testing.assert_array_equal(again.weights_, response.weights_)
    asked = encounters.shown.features, encounters.shown.item
    np.testing.assert_array_equal(again.opened(*asked), response.opened(*asked))


def test_it_is_used_where_it_is_better_than_the_recipe(encounters: Encounters) -> None:
    shape = planted_shown.VISITORS, ITEMS
    figures = proven([encounters], encounters.names, shape, 0)
    assert figures["used"]
    assert figures["response"] > 0.75 > figures["recipe"]
    truth = (encounters.shown.user % 2 == encounters.shown.item % 2) & (encounters.shown.item != TRAP)
    assert not proven([encounters._replace(order=truth.astype(float))], encounters.names, shape, 0)["used"]
    nothing = np.zeros(shape[0], bool)
    assert proven([encounters.of(nothing)], encounters.names, shape, 0) == {}


@pytest.mark.parametrize("shape", [0.5, 2.0, np.inf])
def test_the_spread_of_what_was_opened_tells_how_wrong_the_expectation_is(shape: float) -> None:
    rng = np.random.default_rng(3)
    pair, expected = np.repeat(np.arange(4_000), 20), np.full(80_000, 0.1)
    factor = np.ones(4_000) if np.isinf(shape) else rng.gamma(shape, 1 / shape, 4_000)
    opened = rng.poisson(expected * factor[pair]).astype(float)
    found = fitted_shape(pair, expected, opened)
    assert abs(SHAPES.index(found) - SHAPES.index(shape)) <= 1


def test_what_was_passed_over_falls_and_what_was_never_shown_does_not(response: Response, pairs: Pairs) -> None:
    features, items = pairs.of(everything(pairs, 1)), np.arange(ITEMS, dtype=np.int32)
    wrong = Response(response.names, ITEMS, 0)
    wrong.__dict__.update(response.__dict__, shape_=1.0)
    passed = np.arange(ITEMS, dtype=np.float64) % 5
    before, after = (wrong.predict(features, items, looks) for looks in (0.0 * passed, passed))
    assert (after[passed > 0] < before[passed > 0]).all()
    np.testing.assert_array_equal(after[passed == 0], before[passed == 0])
    likely = wrong.opened(features, items)
    np.testing.assert_allclose(after / before, 1 / (1 + likely * passed))


def rhythm(last: int) -> Dataset:
    """Ann takes tea every ten days, the last time `last` days ago, among others who do."""
    rows = [(f"u{user}", "tea", day) for user in range(20) for day in range(user % 3, 80, 10)]
    rows += [("ann", "tea", 100 - last - 10 * back) for back in range(5)]
    users, items, days = zip(*rows, strict=True)
    return Dataset.from_arrays(users, items, np.array(days) * DAY_US, until_us=100 * DAY_US, extra_items=["cup"])


def test_who_has_it_wants_it_when_the_need_is_back(response: Response) -> None:
    found = []
    for last in (1, 10):
        pairs = Pairs(fit_sources(rhythm(last), 0, SOURCES), {})
        pool = pairs.pooler.of(np.array([0], np.int32), np.array([[0, 1]], np.int32))
        assert pool.repeat.tolist() == [[False, True]]
        found.append(Responding(response, pairs).likely(pool)[0, 1])
    assert found[1] > 10 * found[0]
    assert found[1] > 0.1


def test_passed_over_by_the_visitor_and_nobody_else(response: Response, pairs: Pairs) -> None:
    pool = everything(pairs, 2)
    wrong = Response(response.names, ITEMS, 0)
    wrong.__dict__.update(response.__dict__, shape_=1.0)
    new = np.flatnonzero(~pool.repeat[0] & ~pool.repeat[1])[0]
    data = pairs.pooler.dataset
    passed = sp.csr_matrix(([3.0], ([0], [new])), shape=data.shape)
    shown = Exposures(np.ones(1), np.full(ITEMS, np.nan), passed, passed)
    heard = Pairs(replace_dataset(pairs, replace(data, exposures=shown)), {})
    before, after = (Responding(wrong, one).likely(pool) for one in (pairs, heard))
    assert after[0, new] < before[0, new]
    assert after[1, new] == before[1, new]


def test_a_night_that_knows_what_was_shown_orders_by_it() -> None:
    """The visitor's own kind stands on top of every table, and the trap nowhere near."""
    plan = Plan(looks=planted_shown.looks)
    shop = planted_shown.shop()
    both = splits(shop, plan)
    assert both is not None
    found = replay(*both, plan)
    assert found.response["used"]
    assert found.response["response"] > found.response["recipe"]
    assert {"by recipe", "served"} <= {row.name for row in found.table.rows}
    fitted = refit(shop, found, plan)
    table = bundle_arrays(fitted, np.arange(20, dtype=np.int32))["candidate_items"][:, :3]
    assert not (table == TRAP).any()
    assert (table % 2 == np.arange(20)[:, None] % 2).mean() > 0.9


def replace_dataset(pairs: Pairs, dataset: Dataset) -> Pooler:
    return Pooler(dataset, pairs.pooler.sources, pairs.pooler.depth, pairs.pooler.repeats)


@pytest.mark.parametrize("spread", [0.5, 2.0, 6.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_regression_is_that_of_another_library(spread: float, seed: int) -> None:
    """However far tastes are apart, also where nearly all are sure."""
    rng = np.random.default_rng(seed)
    columns = np.column_stack([spread * rng.normal(size=400), rng.normal(size=400)])
    label = rng.random(400) < expit(2 * columns[:, 0] - 3)
    weight = np.where(label, 1.0, rng.random(400))
    other = LogisticRegression(C=1 / PULL, tol=1e-9, max_iter=10_000).fit(columns, label, sample_weight=weight)
    found = logistic(columns, label, weight, np.zeros(3))
    np.testing.assert_allclose(found, [*other.intercept_, *other.coef_[0]], atol=2e-3)


def test_a_regression_on_nothing_but_opened_items_is_finite() -> None:
    found = logistic(np.zeros((5, 1)), np.ones(5, bool), np.ones(5), np.array([0.0, 1.0]))
    assert np.isfinite(found).all()
    assert found[1] == 1.0
