"""Files of columns: opened for what they are, read by place."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraits.errors import UnreadableFile
from recommender.history.table_files import open_tables


def is_header(names: Sequence[str]) -> bool:
    return "a" in names and "b" in names


def opened(path: Path) -> tuple[list[str], str, list[list[str]]]:
    (table,) = open_tables([path], is_header)
    columns = table.read(range(len(table.names)))
    return list(table.names), table.form, [column.to_pylist() for column in columns]


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1;2,x\n3,y\n",
        "\ufeffa;b\r\n1;2,x\r\n3;y\r\n",
        '"a"|"b"\n"1;2"|x\n3|y\n',
        "a\tb\n1;2\tx\n\n3\ty\n",
        "a::b\n1;2::x\n3::y",
    ],
)
def test_the_separator_is_the_one_that_gives_the_names(content: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(content, newline="")
    names, form, columns = opened(tmp_path / "file")
    assert (names, form) == (["a", "b"], "header")
    assert [len(column) for column in columns] == [2, 2]
    assert columns[0][1] == "3"
    assert columns[1][1] == "y"


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress)])
def test_packed_files_are_unpacked(ending: str, pack: object, tmp_path: Path) -> None:
    (tmp_path / f"x.csv.{ending}").write_bytes(pack(b"a,b\n1,2\n"))  # type: ignore[operator]
    assert opened(tmp_path / f"x.csv.{ending}") == (["a", "b"], "header", [["1"], ["2"]])


def test_a_line_break_inside_quotes_is_no_end_of_a_row(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('a,b\n"1\n2","3,4"\n5,6\n')
    assert opened(tmp_path / "x.csv")[2] == [["1\n2", "5"], ["3,4", "6"]]


def test_columns_without_names_are_numbered(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("u1,2,x\nu3,4,y\n")
    assert opened(tmp_path / "x.csv") == (
        ["column 1", "column 2", "column 3"],
        "places",
        [["u1", "u3"], ["2", "4"], ["x", "y"]],
    )


def test_a_parquet_file_is_read_by_column(tmp_path: Path) -> None:
    pq.write_table(pa.table({"b": [1, 2], "c": [[1], [2]], "a": ["x", "y"]}), tmp_path / "x.parquet")
    (table,) = open_tables([tmp_path / "x.parquet"], is_header)
    assert [column.to_pylist() for column in table.read([2, 0])] == [["x", "y"], [1, 2]]


words = st.text("abcdef0123456789", min_size=1, max_size=4)


@given(users=st.lists(words, min_size=2, max_size=20, unique=True), data=st.data())
def test_lists_are_their_pairs(users: list[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    lists = [data.draw(st.lists(words, max_size=6)) for _ in users]
    lists[0] = lists[0][:4] + ["1"] * 5  # what begins like a rating, but is longer
    path = tmp_path_factory.mktemp("lists") / "x.txt"
    path.write_text("".join(" ".join([user, *items]) + " \n" for user, items in zip(users, lists, strict=True)))
    names, form, columns = opened(path)
    assert (names, form) == (["user", "item"], "lists")
    pairs = [(user, item) for user, items in zip(users, lists, strict=True) for item in items]
    assert list(zip(*columns, strict=True)) == pairs


def test_what_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK\0\0")
    with pytest.raises(UnreadableFile, match="neither text in UTF-8"):
        open_tables([tmp_path / "x.zip"], is_header)
