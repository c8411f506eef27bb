"""A cause is an own item that raised the candidate's score in the source credited with it; otherwise none is named."""

from __future__ import annotations

import numpy as np
import pytest
from planted_blocks import shop

from recommender.candidates import make
from recommender.fusion.evidence import EXPLAINING, Evidence
from recommender.fusion.pool import Pool, Pooler
from recommender.history.dataset import Dataset

SHOP = shop()
USERS = np.arange(len(SHOP.users), dtype=np.int32)


def drawn(*names: str, dataset: Dataset = SHOP) -> tuple[Pooler, Pool, Evidence]:
    sources = [source.fit(dataset, 0) for source in make(names)]
    pooler = Pooler(dataset, sources, depth=20, repeats=5)
    return pooler, pooler.draw(USERS), Evidence(sources)


@pytest.mark.parametrize("name", ["similar", "recent_similar", "follows", "linear"])
def test_without_the_cause_the_score_falls(name: str) -> None:
    """The named item's own part, similarity x tie, is in the sum that the source gave the candidate."""
    pooler, pool, evidence = drawn(name)
    cause = evidence.of(pool, pool.source)
    (source,) = pooler.sources
    similarity, ties = source.similarity_.toarray(), source.ties_[USERS].toarray()  # type: ignore[attr-defined]
    row, column = np.nonzero(cause >= 0)
    named, candidate = cause[row, column], pool.items[row, column]
    assert len(row) > 100
    assert (similarity[named, candidate] * ties[row, named] > 0).all()
    proposed = ~np.isnan(pool.ranks[row, column, 0])
    assert proposed.all()
    said = similarity[:, candidate] * (ties[row].T > 0)
    strongest = -np.sort(-similarity[:, candidate], axis=0)[EXPLAINING - 1]
    assert ((similarity[named, candidate] >= said.max(axis=0) - 1e-6) | (strongest > said.max(axis=0))).all()


@pytest.mark.parametrize("names", [("popular",), ("als",), ("popular", "als", "again")])
def test_sources_that_add_nothing_up_know_no_cause(names: tuple[str, ...]) -> None:
    _, pool, evidence = drawn(*names)
    assert (evidence.of(pool, pool.source) == -1).all()


def test_what_only_another_source_proposed_has_no_cause() -> None:
    pooler, pool, evidence = drawn("similar", "popular")
    cause = evidence.of(pool, pool.source)
    silent = np.isnan(pool.ranks[:, :, pooler.names.index("similar")])
    assert silent[pool.real].any()
    assert (cause[silent] == -1).all()
    assert (cause[pool.items < 0] == -1).all()


def test_what_another_source_is_credited_with_has_no_cause() -> None:
    """Both speak for the same candidates; of what is the factors' doing no item is the cause."""
    pooler, pool, evidence = drawn("similar", "als")
    similar, als = (np.uint8(pooler.names.index(name)) for name in ("similar", "als"))
    assert (evidence.of(pool, np.full_like(pool.source, als)) == -1).all()
    caused = evidence.of(pool, np.full_like(pool.source, similar)) >= 0
    assert caused.sum() > 100
    mixed = np.where(np.arange(pool.items.shape[1]) % 2, similar, als).astype(np.uint8)
    np.testing.assert_array_equal(evidence.of(pool, mixed) >= 0, caused & (mixed == similar))


def test_without_the_purchase_it_is_named_nowhere() -> None:
    """Retrained without what a visitor did with an item, nothing names it."""
    _, pool, evidence = drawn("similar", "linear")
    cause = evidence.of(pool, pool.source)
    user = int(np.flatnonzero((cause >= 0).any(axis=1))[0])
    named = int(cause[user][cause[user] >= 0][0])
    without = SHOP.subset((SHOP.user != user) | (SHOP.item != named), SHOP.until_us)
    _, later, told = drawn("similar", "linear", dataset=without)
    assert not (told.of(later, later.source)[user] == named).any()
