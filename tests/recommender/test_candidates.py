"""The contract of every candidate source, over the registry."""

from __future__ import annotations

import numpy as np
import pytest
from planted_blocks import TINY, checkerboard, missing_item, tiny

from portraits.errors import UnknownName
from recommender.candidates import SOURCES, make
from recommender.candidates.hybrid import FEATURE_WEIGHT, Hybrid, with_identity
from recommender.candidates.opinions import top
from recommender.candidates.protocol import blocks
from recommender.history.dataset import DAY_US, Dataset
from recommender.history.facts import Facts

BOARD = checkerboard()
EVERYONE = np.arange(len(BOARD.users), dtype=np.int32)
PERSONAL = ("similar", "recent_similar", "linear", "spectral", "alike", "als", "bpr", "hybrid")
every_source = pytest.mark.parametrize("name", SOURCES)


@every_source
def test_lists_are_well_formed(name: str) -> None:
    """Best first, each item once, padding only at the end, no NaN."""
    source = SOURCES[name]().fit(BOARD, seed=0)
    items, scores = source.recommend(EVERYONE, 7)
    assert items.shape == scores.shape == (len(EVERYONE), 7)
    assert items.dtype == np.int32
    assert scores.dtype == np.float32
    assert not np.isnan(source.scores(EVERYONE)).any()
    assert (np.isfinite(scores) == (items >= 0)).all()
    for row in items:
        real = row[row >= 0]
        assert len(set(real.tolist())) == len(real)
        assert (row[len(real) :] == -1).all()
    assert (np.diff(np.where(np.isfinite(scores), scores, -1e30), axis=1) <= 0).all()


@every_source
def test_only_allowed_items_are_proposed(name: str) -> None:
    allowed = BOARD.bought[EVERYONE].toarray() == 0
    items, _ = SOURCES[name]().fit(BOARD, seed=0).recommend(EVERYONE, 5, allowed)
    rows, places = np.nonzero(items >= 0)
    assert allowed[rows, items[rows, places]].all()


@every_source
def test_a_block_of_users_is_each_user(name: str) -> None:
    """How users are cut into blocks does not change what they get."""
    source = SOURCES[name]().fit(BOARD, seed=0)
    together = source.scores(EVERYONE)
    apart = np.concatenate([source.scores(block) for block in blocks(EVERYONE, 7)])
    np.testing.assert_allclose(together, apart, rtol=1e-5)


@pytest.mark.law
@every_source
def test_the_same_seed_gives_the_same_scores(name: str) -> None:
    first, second = (SOURCES[name]().fit(checkerboard(), seed=3).scores(EVERYONE) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.law
@every_source
def test_planted_future_events_change_nothing(name: str) -> None:
    """Fitted on the past of a history, a source cannot know what came after it."""
    now = 60 * DAY_US
    future = checkerboard(seed=1)
    late = future.ts_us >= now
    columns = {
        name: np.concatenate([getattr(BOARD.before(now), name), getattr(future, name)[late]])
        for name in ("user", "item", "ts_us", "kind")
    }
    other = Dataset.from_codes(BOARD.users, BOARD.items, until_us=BOARD.until_us, **columns)
    first, second = (SOURCES[name]().fit(one.before(now), seed=0).scores(EVERYONE) for one in (BOARD, other))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", PERSONAL)
def test_a_personal_source_finds_the_missing_item(name: str) -> None:
    """Among what is new to the user, the one item of their own block comes first."""
    source = SOURCES[name]().fit(BOARD, seed=0)
    items, _ = source.recommend(EVERYONE, 1, BOARD.bought[EVERYONE].toarray() == 0)
    right = [missing_item(BOARD, row) for row in EVERYONE]
    assert np.mean(items[:, 0] == right) > 0.9


@every_source
@pytest.mark.parametrize("edge", TINY)
@pytest.mark.fault
def test_histories_at_the_edge(name: str, edge: str) -> None:
    dataset = tiny(edge)
    users = np.arange(len(dataset.users), dtype=np.int32)
    items, scores = SOURCES[name]().fit(dataset, seed=0).recommend(users, 3)
    assert items.shape == (len(users), 3)
    assert not np.isnan(scores).any()


@pytest.mark.parametrize("name", PERSONAL)
def test_no_opinion_about_whom_nobody_knows(name: str) -> None:
    board = Dataset.from_arrays(
        BOARD.users[BOARD.user], BOARD.items[BOARD.item], BOARD.ts_us, extra_users=["stranger"], extra_items=["unseen"]
    )
    source = SOURCES[name]().fit(board, seed=0)
    stranger = np.array([np.searchsorted(board.users, b"stranger")], np.int32)
    assert (source.recommend(stranger, 3)[0] == -1).all()
    unseen = np.searchsorted(board.items, b"unseen")
    assert np.isneginf(source.scores(EVERYONE[:5])[:, unseen]).all()


def test_popular_counts_buyers_not_orders() -> None:
    dataset = Dataset.from_arrays(["ann", "ann", "ann", "bob", "cid"], list("aaabb"), np.arange(5) * DAY_US)
    scores = SOURCES["popular"]().fit(dataset, seed=0).scores(np.array([0], np.int32))
    assert scores.tolist() == [[1.0, 2.0]]


def test_recent_popular_forgets() -> None:
    """Item a had its buyers 90 days ago, b has one yesterday: b comes first, though a has more ever."""
    ts = np.array([10, 10, 10, 99]) * DAY_US
    dataset = Dataset.from_arrays(["ann", "bob", "cid", "dan"], list("aaab"), ts, until_us=100 * DAY_US)
    items, _ = SOURCES["recent_popular"]().fit(dataset, seed=0).recommend(np.array([0], np.int32), 2)
    assert items.tolist() == [[1, 0]]


def test_again_is_frequency_then_recent_popularity() -> None:
    """Ann took b twice and a, c once; c is what others take of late."""
    users = ["ann", "ann", "ann", "ann", "bob", "cid"]
    dataset = Dataset.from_arrays(users, list("abbccc"), np.array([1, 2, 3, 4, 98, 99]) * DAY_US)
    items, _ = SOURCES["again"]().fit(dataset, seed=0).recommend(np.array([0], np.int32), 5)
    assert [dataset.items[item].decode() for item in items[0] if item >= 0] == ["b", "c", "a"]


def test_touched_is_what_was_looked_at_last() -> None:
    dataset = Dataset.from_arrays(
        ["ann"] * 3, ["old", "new", "had"], np.array([1, 29, 30]) * DAY_US, ["item_view", "item_view", "purchase"]
    )
    items, _ = SOURCES["touched"]().fit(dataset, seed=0).recommend(np.array([0], np.int32), 3)
    assert [dataset.items[item].decode() for item in items[0] if item >= 0] == ["new", "old"]


def test_hybrid_places_a_cold_item_by_its_features() -> None:
    """A new item with the brand of block 0 is for the users of block 0."""
    board = Dataset.from_arrays(
        BOARD.users[BOARD.user], BOARD.items[BOARD.item], BOARD.ts_us, extra_items=["new"], until_us=BOARD.until_us
    )
    facts = Facts.none(len(board.items))
    facts.brand[:] = [0 if item in (b"new",) else int(item[1:2]) for item in board.items]
    branded = Facts(**{**vars(facts), "brands": np.array([b"0", b"1", b"2"])})
    source = Hybrid().fit(Dataset(**{**_fields(board), "facts": branded}), seed=0)
    scores = source.scores(EVERYONE)[:, np.searchsorted(board.items, b"new")]
    assert scores[:20].mean() > scores[20:].mean()


def test_features_weigh_less_than_the_identity() -> None:
    import scipy.sparse as sp

    rows = with_identity(np.array([True, False]), sp.csr_matrix(np.array([[1, 1], [0, 1]], np.float32)))
    np.testing.assert_allclose(
        rows.toarray(), [[1, 0, FEATURE_WEIGHT / 2, FEATURE_WEIGHT / 2], [0, 0, 0, FEATURE_WEIGHT]]
    )


def test_top_breaks_ties_by_the_smaller_number() -> None:
    items, scores = top(np.array([[1.0, 2.0, 2.0, -np.inf]], np.float32), 5)
    assert items.tolist() == [[1, 2, 0, -1, -1]]
    assert scores[0, :3].tolist() == [2.0, 2.0, 1.0]


def test_an_unknown_source_is_named() -> None:
    with pytest.raises(UnknownName, match="crystal"):
        make(["popular", "crystal"])


def _fields(dataset: Dataset) -> dict[str, object]:
    return {name: getattr(dataset, name) for name in Dataset.__dataclass_fields__}
