"""Splits that somebody else made: understood for what they are, learnt at alike, judged as they stand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from planted_baskets import baskets
from planted_blocks import checkerboard

from portraits.errors import UnreadableFile
from recommender.candidates import SOURCES
from recommender.given import Given, Judgement, judge_files, understand, write_lists
from recommender.history.split import leave_out

Row = tuple[str, str, int]
DAY = 86_400
LONG_AGO = 1_600_000_000


def _write(path: Path, rows: list[Row], timed: bool = True) -> Path:
    lines = (f"{user},{item},{ts}\n" if timed else f"{user},{item}\n" for user, item, ts in rows)
    path.write_text(("user,item,ts\n" if timed else "user,item\n") + "".join(lines))
    return path


def _read(folder: Path, train: list[Row], test: list[Row], timed: bool = True) -> Given:
    return understand(_write(folder / "train.csv", train, timed), _write(folder / "test.csv", test, timed))


def walks(users: int = 200, length: int = 8, ring: int = 40) -> list[Row]:
    """Everybody walks along a ring of items, each from a day and a place of their own."""
    return [
        (f"u{number:03d}", f"i{(7 * number + step) % ring:02d}", LONG_AGO + (number + 300 * step) * DAY)
        for number in range(users)
        for step in range(length)
    ]


def last(rows: list[Row], length: int = 8, held: int = 1) -> tuple[list[Row], list[Row]]:
    past = [row for at, row in enumerate(rows) if at % length < length - held]
    return past, [row for at, row in enumerate(rows) if at % length >= length - held]


def held_a_user(found: Given, seed: int = 1) -> float:
    inner = found.ways[0](found.split.train, seed)
    return float(inner.truth.nnz / len(inner.users))


def test_a_later_test_is_a_cut_in_time(tmp_path: Path) -> None:
    rows = sorted(walks(), key=lambda row: row[2])
    found = _read(tmp_path, rows[:1200], rows[1200:])
    assert found.kind == "time"
    assert found.split.train.time_kind == "real"
    inner = found.ways[0](found.split.train, 1)
    reach = rows[-1][2] - rows[1199][2]
    assert found.split.train.until_us - inner.train.until_us == pytest.approx(reach * 1_000_000, rel=0.01)


@pytest.mark.parametrize("held", [1, 3])
def test_the_last_of_each_is_learnt_at_the_last_of_each(held: int, tmp_path: Path) -> None:
    """Everybody's years differ, so no moment parts the files; as many are held out within the training file."""
    train, test = last([(user, item, ts + int(user[1:]) * 9_000 * DAY // 40) for user, item, ts in walks()], held=held)
    found = _read(tmp_path, train, test)
    assert found.kind == "last"
    assert found.split.train.time_kind == "turns"
    assert held_a_user(found) == held


def test_last_baskets_are_learnt_at_last_baskets(tmp_path: Path) -> None:
    rows = [(user, f"{item}{side}", ts) for user, item, ts in walks() for side in "ab"]
    rows = [(user, item, ts + int(user[1:]) * 9_000 * DAY // 40) for user, item, ts in rows]
    train, test = last(rows, length=16, held=2)
    found = _read(tmp_path, train, test)
    assert found.kind == "baskets"
    assert held_a_user(found) == 2


def test_rows_without_times_are_asked_for_their_order(tmp_path: Path) -> None:
    """On a ring that is walked along, what comes next is near to the last, not to the first."""
    found = _read(tmp_path, *last(walks()), timed=False)
    assert (found.kind, found.split.train.time_kind) == ("last", "turns")


def test_a_drawn_test_is_learnt_at_a_draw(tmp_path: Path) -> None:
    rows = walks()
    aside = np.random.default_rng(0).random(len(rows)) < 0.25
    train = [row for row, out in zip(rows, aside, strict=True) if not out]
    test = [row for row, out in zip(rows, aside, strict=True) if out]
    for timed in (True, False):
        found = _read(tmp_path, train, test, timed)
        assert found.kind == "drawn"
        inner = found.ways[0](found.split.train, 1)
        assert inner.truth.nnz / found.split.train.bought.nnz == pytest.approx(0.25, abs=0.06)


def test_a_next_basket_without_any_order_is_no_draw(tmp_path: Path) -> None:
    """What is taken every time is counted, and stands first in the order of that count."""
    people = baskets(users=200)
    rows = [(*row, 0) for own in people for basket in own[:-1] for row in basket]
    train = [rows[at] for at in np.random.default_rng(0).permutation(len(rows))]
    test = [(*row, 0) for own in people for row in own[-1]]
    found = _read(tmp_path, train, test, timed=False)
    assert (found.kind, found.split.train.time_kind) == ("later", "none")
    assert found.split.train.orders.max() == 3
    served = judge_files(tmp_path / "train.csv", tmp_path / "test.csv", judged=50).served
    assert np.all(served.values["all"]["ndcg"] > 0.4)  # two of six, in the first two places


def test_what_repeats_a_training_without_repeats_is_served_first(tmp_path: Path) -> None:
    """Each item once a user: no split of it can teach that the next basket holds what the user has."""
    people = baskets(users=120, each=2)
    train = [(*row, 0) for own in people for row in sorted({row for basket in own[:-1] for row in basket})]
    test = [(*row, 0) for own in people for row in own[-1] if row[1].startswith("own")]
    found = _read(tmp_path, train, test, timed=False)
    assert found.again == 1.0
    assert found.about["repeats"].startswith("100% of the test's rows")
    judged = judge_files(tmp_path / "train.csv", tmp_path / "test.csv", judged=50)
    values = {row.name: row.estimates["ndcg"].mean for row in judged.table.rows if row.part == "all"}
    assert values["served"] >= values["again"] > 2 * values["popular"]


def test_what_is_left_out_or_out_of_reach_is_said(tmp_path: Path) -> None:
    train, test = last(walks())
    found = _read(tmp_path, [*train, ("", "i01", LONG_AGO)], [*test, ("zoe", "i99", LONG_AGO * 2)])
    assert "1 rows without an id left out" in found.about["train"]
    assert found.about["test users not in train"].startswith("1,")
    assert found.about["test items not in train"].startswith("1,")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judgement:
    """A checkerboard of which a fifth of the pairs is in the test file, and a stranger."""
    folder = tmp_path_factory.mktemp("split")
    board = checkerboard()
    split = leave_out(board, seed=0)
    pairs = zip(board.users[split.train.user], board.items[split.train.item], strict=True)
    train = [(user.decode(), item.decode(), 0) for user, item in pairs]
    rows, columns = split.truth.nonzero()
    pairs = zip(board.users[split.users[rows]], board.items[columns], strict=True)
    test = [(user.decode(), item.decode(), 0) for user, item in pairs] + [("zoe", "i00", 0), ("zoe", "i01", 0)]
    files = _write(folder / "train.csv", train, timed=False), _write(folder / "test.csv", test, timed=False)
    return judge_files(*files, ks=(5, 10))


def test_files_give_a_table_that_finds_the_blocks(judged: Judgement) -> None:
    rows = {(row.name, row.part, row.k): row for row in judged.table.rows}
    assert rows["served", "new", 10].estimates["ndcg"].mean > 0.8
    assert rows["popular", "new", 10].estimates["ndcg"].mean < 0.5
    assert rows["served", "new", 5].estimates["recall"].mean <= rows["served", "new", 10].estimates["recall"].mean
    text = judged.table.as_text()
    assert "recall@5" in text
    assert "kind of split: the test is a random share" in text
    assert {row.name for row in judged.table.rows} <= {*SOURCES, "served"}


def test_strangers_are_a_part_of_their_own(judged: Judgement) -> None:
    rows = {row.name: row for row in judged.table.rows if row.part == "unknown" and row.k == 10}
    assert {"served", "popular"} <= set(rows)
    assert "als" not in rows  # it has one answer for each user, and none for strangers
    assert rows["served"].users == 1
    assert judged.table.about["test users not in train"].startswith("1,")


def test_the_lists_served_can_be_judged_by_others(judged: Judgement, tmp_path: Path) -> None:
    write_lists(judged, tmp_path / "lists.parquet")
    rows = pq.read_table(tmp_path / "lists.parquet").to_pylist()
    assert {row["part"] for row in rows} == {"all", "new", "unknown"}
    split, found = judged.split, judged.served.values["new"]["hit"]
    new = {(row["user"], row["item_id"]) for row in rows if row["part"] == "new" and row["rank"] <= 10}
    hit = []
    for user, truth in zip(split.users, split.new_truth, strict=True):
        wanted = {item.decode() for item in split.train.items[truth.indices]}
        if wanted:
            hit.append(any((split.train.users[user].decode(), item) in new for item in wanted))
    assert np.array_equal(hit, found > 0)
    assert {row["user"] for row in rows if row["part"] == "unknown"} == {"zoe"}
    assert [row["rank"] for row in rows if row["user"] == "zoe"] == list(range(1, 11))


def test_strangers_alone_are_judged(tmp_path: Path) -> None:
    board = checkerboard()
    pairs = zip(board.users[board.user], board.items[board.item], strict=True)
    first = _write(tmp_path / "a.csv", [(user.decode(), item.decode(), 0) for user, item in pairs], timed=False)
    second = _write(tmp_path / "b.csv", [("zoe", "i00", 0)], timed=False)
    found = judge_files(first, second)
    assert {(row.part, row.users) for row in found.table.rows} == {("unknown", 1)}
    assert "served" in found.table.as_text()
    assert (found.table.about["users judged"], found.table.segments) == (0, [])
    write_lists(found, tmp_path / "lists.parquet")
    assert {row["part"] for row in pq.read_table(tmp_path / "lists.parquet").to_pylist()} == {"unknown"}


@pytest.mark.parametrize("empty", ["train", "test"])
def test_an_empty_file_is_named(empty: str, tmp_path: Path) -> None:
    rows: dict[str, list[Row]] = {"train": [("ann", "tea", 0)], "test": [("ann", "tea", 0)], empty: []}
    files = [_write(tmp_path / f"{name}.csv", some) for name, some in rows.items()]
    with pytest.raises(UnreadableFile, match=f"{empty}.csv: it holds no row with a user and an item"):
        understand(*files)


@pytest.mark.parametrize(("train_unit", "test_unit"), [(1, 1_000), (1_000_000, 1), (1_000_000_000, 1_000)])
def test_units_do_not_change_the_kind_of_split(train_unit: int, test_unit: int, tmp_path: Path) -> None:
    rows = sorted(walks(), key=lambda row: row[2])
    train = [(user, item, ts * train_unit) for user, item, ts in rows[:1200]]
    found = _read(tmp_path, train, [(user, item, ts * test_unit) for user, item, ts in rows[1200:]])
    assert found.kind == "time"
    assert found.about["test"].endswith(", from 2025-08-18 to 2026-12-30")
    assert found.split.train.until_us == rows[1199][2] * 1_000_000 + 1


def test_lists_of_items_are_split_and_said(tmp_path: Path) -> None:
    board, files = checkerboard(), []
    halves = (np.arange(len(board.user)) % 4 > 0), (np.arange(len(board.user)) % 4 == 0)
    for name, half in zip(("train.txt", "test.txt"), halves, strict=True):
        taken = [(user, board.item[half & (board.user == user)]) for user in range(len(board.users))]
        lines = (" ".join(map(str, [user, *items])) + "\n" for user, items in taken)
        files.append(tmp_path / name)
        files[-1].write_text("".join(lines))
    found = understand(*files)
    assert found.about["train"].endswith(", without times, a line a user")
    assert found.split.train.bought.nnz == int(halves[0].sum())
    assert found.split.truth.nnz == int(halves[1].sum())


def test_what_is_not_looked_at_is_said(tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text("userId,movieId,rating\n1,2,0.5\n1,3,5\n")
    about = understand(tmp_path / "train.csv", tmp_path / "test.csv").about
    assert about["columns not read"] == "rating; every row is one interaction, whatever they say (a rating, too)"
    assert not any("19" in str(words) for words in about.values())  # no time is no year, not 1970
