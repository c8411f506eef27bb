"""The backtest: what is judged is what would have been served, and files of anybody's split work as well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planted_blocks import checkerboard, shop

from portraits.errors import NothingThere, UnreadableFile
from recommender import evaluate
from recommender.assemble import manifest_of, popular_arrays
from recommender.backtest import backtest_files, replay, splits
from recommender.bundle import Bundle, write_bundle
from recommender.candidates import SOURCES
from recommender.plan import Plan
from recommender.recipe import Recipe
from recommender.split import leave_out

BOARD = checkerboard()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkerboard of which a fifth of the pairs is in the test file."""
    folder = tmp_path_factory.mktemp("split")
    split = leave_out(BOARD, seed=0)
    train, test = folder / "train.csv", folder / "test.csv"
    pairs = zip(split.train.user, split.train.item, strict=True)
    _write(train, [(BOARD.users[user].decode(), BOARD.items[item].decode()) for user, item in pairs])
    rows, columns = split.truth.nonzero()
    users = BOARD.users[split.users[rows]]
    _write(test, [(user.decode(), item.decode()) for user, item in zip(users, BOARD.items[columns], strict=True)])
    return train, test


def _write(path: Path, pairs: list[tuple[str, str]]) -> None:
    path.write_text("user,item\n" + "".join(f"{user},{item}\n" for user, item in pairs))


def test_files_give_a_table_that_finds_the_blocks(files: tuple[Path, Path]) -> None:
    table = backtest_files(*files)
    rows = {(row.name, row.part): row for row in table.rows}
    assert rows["served", "new"].estimates["ndcg"].mean > 0.8
    assert rows["popular", "new"].estimates["ndcg"].mean < 0.5
    text = table.as_text()
    assert all(name in text for name in SOURCES)
    assert "recall@10" in text


@pytest.mark.parametrize(
    ("content", "said"), [("user,thing\nann,tea\n", "no column item"), ("user,item,ts\nann,tea,soon\n", "not a number")]
)
def test_a_file_that_cannot_be_read_says_why(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text(content)
    with pytest.raises(UnreadableFile, match=said):
        backtest_files(path, path)


def test_files_without_a_common_user_are_refused(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    _write(first, [("ann", "tea")])
    _write(second, [("bob", "tea")])
    with pytest.raises(NothingThere, match="both files"):
        backtest_files(first, second)


def test_served_is_what_the_day_would_answer(tmp_path: Path) -> None:
    """A bundle of popularity, served, is judged as the source "recent_popular" is."""
    found = splits(shop(), Plan())
    assert found is not None
    _, outer = found
    arrays = popular_arrays(outer.train, outer.users)
    write_bundle(tmp_path / "bundle", arrays, manifest_of(arrays, outer.train, Recipe((), keep_repeats=True), Plan()))
    served = evaluate.judge_served("served", outer, Bundle.open(tmp_path / "bundle"))
    (popular,) = evaluate.judge_sources(outer, [SOURCES["recent_popular"]().fit(outer.train, 0)])
    for part in evaluate.PARTS:
        np.testing.assert_array_equal(served.lists[part], popular.lists[part])
        np.testing.assert_allclose(served.values[part]["ndcg"], popular.values[part]["ndcg"])


@pytest.mark.law
def test_the_ranker_never_sees_the_future_it_is_judged_by() -> None:
    """Nothing that came after the outer split's moment changes what was learnt for it."""
    dataset = shop()
    found = splits(dataset, Plan())
    assert found is not None
    inner, outer = found
    assert inner.train.until_us < outer.train.until_us < dataset.until_us
    assert inner.train.ts_us.max() < inner.train.until_us
    assert outer.train.ts_us.max() < outer.train.until_us
    future = inner.truth.sum()
    within = (outer.train.ts_us >= inner.train.until_us) & outer.train.is_target
    assert future <= np.sum(within)


def test_a_replay_without_enough_to_learn_serves_single_sources() -> None:
    dataset = checkerboard(users_a_block=12)
    found = splits(dataset, Plan())
    assert found is not None
    result = replay(*found, Plan())
    if result.ranker is None:
        assert not result.recipe.needs_ranker
    assert result.ours.ndcg("new") >= result.popular.ndcg("new")
