"""Cutting bytes into records: the same records at any block size, and as Python's own CSV reader sees them."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraits.records import split

FIELD = st.text(st.sampled_from('ab"\n,茶🍵'), max_size=6)


def records(
    data: bytes, block_bytes: int, delimiter: str | None = ","
) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """(line, text) of the records, and (line, reason) of what was refused."""
    good, bad = [], []
    for block in split(io.BytesIO(data), delimiter, block_bytes):
        good += [(int(at), text.rstrip("\r\n")) for at, text in zip(block.lines, block.text.to_pylist(), strict=True)]
        bad += [(row.line, row.reason) for row in block.refused]
    return good, bad


@given(
    st.lists(st.lists(FIELD, min_size=2, max_size=3), max_size=8), st.integers(1, 40), st.sampled_from(["\n", "\r\n"])
)
def test_well_formed_csv_is_cut_as_python_reads_it(rows: list[list[str]], block_bytes: int, line_end: str) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=line_end).writerows(rows)
    data = out.getvalue().encode()
    good, bad = records(data, block_bytes)
    assert bad == []
    assert [next(csv.reader(io.StringIO(text, newline=""))) for _, text in good] == rows
    reader = csv.reader(io.StringIO(out.getvalue(), newline=""))
    starts = [1, *(reader.line_num + 1 for _ in reader)]
    assert [at for at, _ in good] == starts[:-1]


@given(st.binary(max_size=60), st.integers(1, 30))
def test_any_bytes_give_the_same_records_at_any_block_size(data: bytes, block_bytes: int) -> None:
    assert records(data, block_bytes) == records(data, 1000)


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ('a,5" pipe\nb,6" pipe\n', [1, 2], []),
        ('a,"open\nb,c\n', [2], [1]),
        ('a,"open\nb,5" pipe\nc,d\n', [2, 3], [1]),
        ('a,"x\ny"\n\nb,c\n', [1, 4], []),
        ("a,b\n\n\r\nc,d", [1, 4], []),
        ('"a""\n""b",c\nd,e\n', [1, 3], []),
    ],
)
def test_stray_quotes_cost_no_other_row(text: str, good: list[int], bad: list[int]) -> None:
    taken, refused = records(text.encode(), 1000)
    assert ([at for at, _ in taken], [at for at, _ in refused]) == (good, bad)


def test_without_a_delimiter_every_line_is_a_record() -> None:
    assert records(b'{"a":"\n"}\n', 1000, None) == ([(1, '{"a":"'), (2, '"}')], [])


def test_nul_and_broken_utf8_are_refused_by_line() -> None:
    good, bad = records(b"a\nb\0\n\xff\n\xe8\x8c\xb6\n", 1000, None)
    assert good == [(1, "a"), (4, "茶")]
    assert bad == [(2, "not valid text: a NUL character"), (3, "not valid text: not UTF-8")]
