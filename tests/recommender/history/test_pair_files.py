"""Files of pairs: every form gives the same numbers, and what cannot be read says why."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from portraits.errors import UnreadableFile
from recommender.history.pair_files import microseconds, read_pairs

ROWS = [("ann", "007", "5"), ("bob", "7", "6"), ("ann", "tea", "8")]


def _csv(path: Path, delimiter: str = ",", header: str = "user,item,ts") -> Path:
    lines = [header.replace(",", delimiter), *(delimiter.join(row) for row in ROWS)]
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def _jsonl(path: Path) -> Path:
    path.write_text("".join(json.dumps({"user_id": u, "item_id": i, "timestamp": int(t)}) + "\n" for u, i, t in ROWS))
    return path


def _parquet(path: Path) -> Path:
    users, items, ts = zip(*ROWS, strict=True)
    coded = pa.array(users).dictionary_encode()
    pq.write_table(pa.table({"user_id": coded, "item_id": items, "timestamp": [int(one) for one in ts]}), path)
    return path


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: _csv(folder / "a.csv"),
        lambda folder: _csv(folder / "a.csv.gz"),
        lambda folder: _csv(folder / "a.tsv", "\t", "User_ID,Item_ID,Timestamp"),
        lambda folder: _csv(folder / "a.inter", "\t", "user_id:token,item_id:token,timestamp:float"),
        lambda folder: _jsonl(folder / "a.jsonl"),
        lambda folder: _parquet(folder / "a.parquet"),
    ],
)
def test_every_form_gives_the_same(write: object, tmp_path: Path) -> None:
    vocabularies, (pairs,) = read_pairs(write(tmp_path))  # type: ignore[operator]
    assert vocabularies.users.tolist() == [b"ann", b"bob"]
    assert vocabularies.items.tolist() == [b"007", b"7", b"tea"]
    assert pairs.user.tolist() == [0, 1, 0]
    assert pairs.item.tolist() == [0, 1, 2]
    assert pairs.ts is not None
    assert pairs.ts.tolist() == [5, 6, 8]


def test_two_files_share_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("user,item\nbob,tea\n")
    (tmp_path / "test.csv").write_text("user,item\nann,tea\n")
    vocabularies, (train, test) = read_pairs(tmp_path / "train.csv", tmp_path / "test.csv")
    assert vocabularies.users.tolist() == [b"ann", b"bob"]
    assert (train.user.tolist(), test.user.tolist()) == ([1], [0])
    assert train.ts is None


def test_rows_without_an_id_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,item,ts\nann,tea,1\n,tea,2\nbob,,3\ncid, ,4\ndan,tea,\n")
    _, (pairs,) = read_pairs(tmp_path / "a.csv")
    assert pairs.user.tolist() == [0]
    assert pairs.dropped == {"rows without an id": 3, "rows without a time": 1}


def test_only_an_empty_field_is_no_id(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,item\nNA,NULL\nnan,null\n,tea\n")
    vocabularies, (pairs,) = read_pairs(tmp_path / "a.csv")
    assert vocabularies.users.tolist() == [b"NA", b"nan"]
    assert vocabularies.items.tolist() == [b"NULL", b"null"]
    assert pairs.dropped == {"rows without an id": 1}


@pytest.mark.parametrize("none", ["", "inf", "-inf", "nan", "NaN", "NA", "null"])
def test_a_time_that_is_none_leaves_its_row_out(none: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"user,item,ts\nann,tea,{none}\nbob,tea,1700000000\n")
    _, (pairs,) = read_pairs(tmp_path / "a.csv")
    assert pairs.dropped == {"rows without an id": 0, "rows without a time": 1}
    _, (found,) = microseconds(pairs.ts)
    assert found is not None
    assert found.tolist() == [1_700_000_000_000_000]


def test_not_a_number_in_parquet_is_nothing(tmp_path: Path) -> None:
    nothing = float("nan")
    rows = {"user": [7.0, nothing, 8.0], "item": [1, 2, 3], "ts": [nothing, 1.0, 2.0]}
    columns = {name: pa.array(values) for name, values in rows.items()}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    vocabularies, (pairs,) = read_pairs(tmp_path / "a.parquet")
    assert [vocabularies.users[row] for row in pairs.user] == [b"8"]
    assert pairs.dropped == {"rows without an id": 1, "rows without a time": 1}


def test_numbers_with_gaps_are_whole_numbers_again(tmp_path: Path) -> None:
    """A table with a missing id comes with its ids as 7.0."""
    pq.write_table(pa.table({"user": [7.0, None], "item": [1, 2]}), tmp_path / "a.parquet")
    vocabularies, (pairs,) = read_pairs(tmp_path / "a.parquet")
    assert vocabularies.users.tolist() == [b"7"]
    assert pairs.dropped["rows without an id"] == 1


@pytest.mark.parametrize(
    ("written", "real"),
    [
        ("1700000000", 1_700_000_000_000_000),
        ("1700000000000", 1_700_000_000_000_000),
        ("1700000000000000", 1_700_000_000_000_000),
        ("1700000000000000000", 1_700_000_000_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000),
        ("2023-11-15T06:13:20+08:00", 1_700_000_000_000_000),
        ("2023-11-14 22:13:20", 1_700_000_000_000_000),
        ("2023/11/14 22:13:20", 1_700_000_000_000_000),
        ("2023-11-14", 1_699_920_000_000_000),
    ],
)
def test_times_are_understood(written: str, real: int, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"user,item,time\nann,tea,{written}\n")
    _, (pairs,) = read_pairs(tmp_path / "a.csv")
    kind, (found,) = microseconds(pairs.ts)
    assert kind == "real"
    assert found is not None
    assert found.tolist() == pytest.approx([real], rel=1e-9)


def test_small_numbers_are_an_order() -> None:
    kind, (first, second, nothing) = microseconds(np.array([10.5, 2.0]), np.array([30.0]), None)
    assert kind == "order"
    assert first is not None
    assert second is not None
    assert (first.tolist(), second.tolist(), nothing) == ([1, 0], [2], None)
    assert microseconds(None, None) == ("none", [None, None])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "user,thing\nann,tea\n", "no column item: its columns are user, thing"),
        ("a.csv", "user,item,ts\nann,tea,soon\n", "neither a number nor a date"),
        ("a.csv", "user,item,ts\nann,tea,inf\nbob,tea,nan\n", "column ts holds no time in any row"),
        ("a.csv", "user,item,user\nann,tea,bob\n", "more than one column is named user"),
        ("a.jsonl", '{"user": ["ann"], "item": "tea"}\n', "column user holds list.*one text or number a row"),
        ("a.jsonl", '{"user": "ann", "item": "tea", "ts": [1]}\n', "column ts holds list.*neither a number nor a date"),
        ("a.csv", "", "[Ee]mpty.*nothing of it was taken"),
        ("a.xlsx", "user,item\n", "must end in .csv"),
        ("a.parquet", "user,item\n", "[Pp]arquet"),
        ("a.jsonl", "user,item\n", "JSON"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(name: str, content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UnreadableFile, match=said):
        read_pairs(tmp_path / name)


def test_a_file_of_no_rows_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,item\n")
    vocabularies, (pairs,) = read_pairs(tmp_path / "a.csv")
    assert len(vocabularies.users) == len(pairs.user) == 0
