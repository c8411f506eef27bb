"""What a Spark trains is what is trained here: co-occurrences to float noise, ALS in what it is worth."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from planted_blocks import ITEMS_A_BLOCK, checkerboard, shop

from portraits.engine import connect
from recommender import spark_training
from recommender.candidates import SOURCES
from recommender.candidates.als import Als
from recommender.candidates.protocol import fit_here
from recommender.candidates.similar import RecentSimilar, Similar
from recommender.history.dataset import Dataset
from recommender.history.split import by_time, horizon_us
from recommender.judging.metrics import paired_bootstrap
from recommender.spark_training import fitted_by, largest_products
from recommender.tuning.rungs import ndcg

SHOP = shop()
NEIGHBOURS = [Similar(), Similar("cosine", 0.5, 0.0), Similar("bm25"), RecentSimilar("tfidf", 0.35)]

on_spark = pytest.mark.spark


def assert_same(found: sp.csr_matrix, expected: sp.csr_matrix) -> None:
    assert expected.nnz > 0
    np.testing.assert_allclose(found.toarray(), expected.toarray(), rtol=1e-5)


@pytest.mark.parametrize("source", NEIGHBOURS, ids=str)
def test_co_occurrences_are_the_kernels(source: Similar) -> None:
    there = type(source)(**{one.name: getattr(source, one.name) for one in fields(source)})
    there.fit(SHOP, 0, partial(largest_products, connect()))
    assert_same(there.similarity_, source.fit(SHOP, 0).similarity_)


def test_products_by_hand() -> None:
    """Columns (1, 2), (3, 0), (0, 1): products 5, 3, 2 with the first; the two largest of each column are kept."""
    matrix = sp.csr_matrix(np.array([[1.0, 3.0, 0.0], [2.0, 0.0, 1.0]]))
    found = largest_products(connect(), matrix, 2)
    kept = list(zip(found.row.tolist(), found.col.tolist(), found.data.tolist(), strict=True))
    assert kept == [(0, 0, 5.0), (0, 1, 3.0), (1, 1, 9.0), (1, 0, 3.0), (2, 0, 2.0), (2, 2, 1.0)]


def test_equal_products_fall_to_the_smaller_item() -> None:
    found = largest_products(connect(), sp.csr_matrix(np.ones((3, 5))), 2)
    assert found.row.tolist() == [item for item in range(5) for _ in range(2)]
    assert found.col.tolist() == [0, 1] * 5


def test_nothing_is_in_common_where_nothing_is() -> None:
    assert largest_products(connect(), sp.csr_matrix((0, 4)), 2).nnz == 0


def test_the_embedded_engine_trains_here(tmp_path: Path) -> None:
    assert fitted_by(connect(), tmp_path) is fit_here


@on_spark
@pytest.mark.parametrize("source", [NEIGHBOURS[0], NEIGHBOURS[3]], ids=str)
def test_a_spark_finds_the_same_neighbours(
    spark: Any, source: Similar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_training, "WORTH_THE_WAY", 0)
    there = fitted_by(spark, tmp_path / "spark")(type(source)(source.weighting, source.damping), SHOP, 0)
    here = type(source)(source.weighting, source.damping).fit(SHOP, 0)
    assert isinstance(there, Similar)
    assert_same(there.similarity_, here.similarity_)


@on_spark
def test_als_of_a_spark_knows_the_blocks(spark: Any, tmp_path: Path) -> None:
    """... and like the local one it says nothing of whom it does not know."""
    board = checkerboard()
    with_more = Dataset.from_arrays(
        board.users[board.user], board.items[board.item], board.ts_us, extra_users=["zoe"], extra_items=["zz"]
    )
    als = fitted_by(spark, tmp_path / "spark")(Als(factors=8), with_more, 3)
    assert isinstance(als, Als)
    assert als == Als(factors=8)
    assert (als.user_factors_.shape, als.item_factors_.shape) == ((61, 8), (25, 8))
    assert als.user_factors_.dtype == als.item_factors_.dtype == np.float32
    assert als.regularization_ > 0
    assert not (tmp_path / "spark").exists()
    users = np.arange(61, dtype=np.int32)
    items, _ = als.recommend(users, ITEMS_A_BLOCK)
    own = items[:60] // ITEMS_A_BLOCK == (users[:60] // 20)[:, None]
    assert own.mean() > 0.98
    assert (items[60] == -1).all()


@on_spark
def test_als_of_a_spark_is_worth_as_much(spark: Any, tmp_path: Path) -> None:
    """On the next month of the same visitors, within noise of the local one; and much more than popularity."""
    dataset = shop(users=600, items=120, seed=4)
    split = by_time(dataset, dataset.until_us - horizon_us(dataset))
    there, here, popular = (
        ndcg(fit(source, split.train, 0), split)
        for fit, source in (
            (fitted_by(spark, tmp_path / "spark"), Als(factors=16)),
            (fit_here, Als(factors=16)),
            (fit_here, SOURCES["popular"]()),
        )
    )
    for part in ("all", "new"):
        judged = ~np.isnan(here[part])
        lost = paired_bootstrap(here[part][judged], there[part][judged], seed=0)
        assert lost.low <= 0, f"{part}: {here[part][judged].mean():.4f} here, {there[part][judged].mean():.4f} there"
    judged = ~np.isnan(popular["all"])
    assert paired_bootstrap(there["all"][judged], popular["all"][judged], seed=0).low > 0
