"""Files of pairs: every form that public sets come in gives the same numbers, and what cannot be read says why."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from portraits.errors import UnreadableFile
from recommender.history.pair_files import read_pairs, read_users

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
        lambda folder: _csv(folder / "a.txt", ";", "User-ID,ISBN,Date"),
        lambda folder: _csv(folder / "a.csv", ",", '"reviewer id","ASIN",unixReviewTime'),
        lambda folder: _csv(folder / "a.dat", "::", "UserID,MovieID,Timestamp"),
        lambda folder: _csv(folder / "a.csv", " ", "customer_id,article_id,t_dat"),
        lambda folder: _csv(folder / "a.csv", "|", "\ufeffvisitorid,itemid,timestamp"),
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
    assert pairs.clock.kind == "order"
    assert pairs.clock.at is not None
    assert pairs.clock.at.tolist() == [5, 6, 8]
    assert pairs.unread == []


MOVIELENS = "userId,movieId,rating,timestamp\n1,296,5.0,1147880044\n1,306,3.5,1147868817\n"
ATOMIC = "user_id:token\titem_id:token\trating:float\n7\t07\t5\n8\t7\t1\n"
REVIEW = '{"user_id": 7, "parent_asin": "2020-01-01", "rating": 5}\n'


@pytest.mark.parametrize(
    ("name", "content", "pairs", "said"),
    [
        ("ratings.csv", MOVIELENS, "1-296 1-306", ("real", ["rating"])),
        ("ratings.dat", "1::1193::5::978300760\n1::661::3::978302109\n", "1-1193 1-661", ("real", ["column 3"])),
        ("u.data", "196\t242\t3\t881250949\n186\t302\t3\t891717742\n", "196-242 186-302", ("real", ["column 3"])),
        ("a.txt", "196 242 3 881250949\n186 302 3 891717742\n", "196-242 186-302", ("real", ["column 3"])),
        ("a.tsv", "u1\ti7\nu2\ti8\nu1\ti8\n", "u1-i7 u2-i8 u1-i8", ("none", [])),
        ("a.csv", "A3,B2,5.0,1390435200\nA1,B4,1.0,1390435201\n", "A3-B2 A1-B4", ("real", ["column 3"])),
        ("a.csv", "1,2,9,pv,1511544070\n1,3,9,buy,1511561733\n", "1-2 1-3", ("real", ["column 3", "column 4"])),
        ("a.csv", "1;2;4.5\n1;3;2\n", "1-2 1-3", ("none", ["column 3"])),
        ("train.txt", "0 5 1 2\n1 4\n2\n3 7 0 1\n", "0-5 0-1 0-2 1-4 3-7 3-0 3-1", ("none", [])),
        ("train.txt", "2\n0 5 1 2 \n1 4\n", "0-5 0-1 0-2 1-4", ("none", [])),
        ("train.txt", "0 1 2 3 4\n1 2 3 4 5\n", "0-1 0-2 0-3 0-4 1-2 1-3 1-4 1-5", ("none", [])),
        ("a.inter", ATOMIC, "7-07 8-7", ("none", ["rating:float"])),
        ("a.jsonl", REVIEW, "7-2020-01-01", ("none", ["rating"])),
    ],
)
def test_the_usual_public_files_are_read(
    name: str, content: str, pairs: str, said: tuple[str, list[str]], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    ids, (found,) = read_pairs(tmp_path / name)
    taken = zip(ids.users[found.user], ids.items[found.item], strict=True)
    assert [f"{user.decode()}-{item.decode()}" for user, item in taken] == pairs.split()
    assert (found.clock.kind, found.unread) == said


def test_lists_make_lists_of_what_belongs_to_them(tmp_path: Path) -> None:
    """Lines of three fields could be ratings; beside a file of lists they are none."""
    (tmp_path / "train.txt").write_text("0 1 2 3\n1 4 5\n")
    (tmp_path / "test.txt").write_text("0 4 5\n1 2 3\n")
    vocabularies, (_, test) = read_pairs(tmp_path / "train.txt", tmp_path / "test.txt")
    assert [vocabularies.items[row].decode() for row in test.item] == ["4", "5", "2", "3"]
    _, (alone,) = read_pairs(tmp_path / "test.txt")
    assert (len(alone.item), alone.unread) == (2, ["column 3"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "user_id\n lin \nwang\nlin\n\n007\n"),
        ("a.csv", 'user_id\n"lin"\nwang\n"007"\n'),
        ("a.csv", "CustomerID;city\nlin;x\nwang;y\n007;\n;z\n"),
        ("a.jsonl", '{"user_id": "lin"}\n{"user_id": "wang"}\n{"user_id": null}\n{"user_id": "007"}\n'),
    ],
)
def test_users_alone_can_be_read(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    assert read_users(tmp_path / name).to_pylist() == ["lin", "wang", "007"]


def test_no_users_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user_id\n")
    assert read_users(tmp_path / "a.csv").to_pylist() == []


def test_numbers_are_ids_of_users(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"user_id": 7}\n{"user_id": 12345678901234567}\n')
    assert read_users(tmp_path / "a.jsonl").to_pylist() == ["7", "12345678901234567"]


def test_a_file_without_users_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name\nlin\n")
    with pytest.raises(UnreadableFile, match="no column user: its columns are name; wanted are user_id"):
        read_users(tmp_path / "a.csv")


def test_two_files_share_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("user,item\nbob,tea\n")
    (tmp_path / "test.csv").write_text("user,item\nann,tea\n")
    vocabularies, (train, test) = read_pairs(tmp_path / "train.csv", tmp_path / "test.csv")
    assert vocabularies.users.tolist() == [b"ann", b"bob"]
    assert (train.user.tolist(), test.user.tolist()) == ([1], [0])
    assert train.clock.kind == "none"
    assert train.clock.at is None


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
    assert pairs.clock.at is not None
    assert pairs.clock.at.tolist() == [1_700_000_000_000_000]


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
    ("name", "content", "said"),
    [
        ("a.csv", "user,thing\nann,tea\n", "no column item: its columns are user, thing"),
        ("a.csv", "user,item,ts\nann,tea,soon\n", "neither a number nor a date"),
        ("a.csv", "user,item,ts\nann,tea,inf\nbob,tea,nan\n", "column ts holds no time in any row"),
        ("a.csv", "user,item,user\nann,tea,bob\n", "more than one column is named user"),
        ("a.jsonl", '{"user": ["ann"], "item": "tea"}\n', "column user holds list.*one text or number a row"),
        ("a.jsonl", '{"user": "ann", "item": "tea", "ts": [1]}\n', "column ts holds list.*neither a number nor a date"),
        ("a.csv", "", "it is empty; nothing of it was taken"),
        ("a.csv", "ann,tea\nbob,tea\n", "no column user and item: its columns are ann, tea"),
        ("a.csv", "1\n2\n", "one column and no header line"),
        ("a.tsv", "0\t2010-10-19T23:55:27Z\t30.2\t22847\n", "a time where the item is looked for"),
        ("a.txt", "1 2 3\n1 2\n", "row 2 has 2 fields, expected 3"),
        ("a.csv", "user,item\nann,tea,5\n", "Expected 2 columns, got 3"),
        ("a.xlsx", "PK\0\0user", "neither text in UTF-8 nor named .parquet"),
        ("a.json", ' [{"user": "ann", "item": "tea"}]', "one JSON array.*one object a line"),
        ("a.parquet", "user,item\n", "[Pp]arquet"),
        ("a.jsonl", "user,item\n", "JSON"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(name: str, content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UnreadableFile, match=said):
        read_pairs(tmp_path / name)


@pytest.mark.parametrize("delimiter", ["::", "\t", ";", ",", "|", " "])
def test_a_file_of_no_rows_is_read(delimiter: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"user{delimiter}item\n")
    vocabularies, (pairs,) = read_pairs(tmp_path / "a.csv")
    assert len(vocabularies.users) == len(pairs.user) == 0
