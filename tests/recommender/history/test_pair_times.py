"""Times of files: whatever the unit, one clock; what cannot be compared is refused in plain words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from portraits.errors import UnreadableFile
from recommender.history.pair_times import Clock, on_one_clock, read_times

DAY = 86_400
START = 1_700_000_000
REAL = 1_700_000_000_000_000


def clock(name: str, *values: object) -> Clock:
    kind, times = read_times(Path(name), "ts", pa.chunked_array([pa.array(values)]))
    return Clock(Path(name), kind, times.drop_null().to_numpy())


@pytest.mark.parametrize(
    ("written", "real"),
    [
        ("1700000000", REAL),
        ("1700000000000", REAL),
        ("1700000000000000", REAL),
        ("1700000000000000000", REAL),
        ("1.7e9", REAL),
        ("2023-11-14T22:13:20Z", REAL),
        ("2023-11-15T06:13:20+08:00", REAL),
        ("2023-11-14 22:13:20", REAL),
        ("2023-11-14 22:13:20 UTC", REAL),
        ("2023-11-14T22:13:20.000000999", REAL),
        ("2023/11/14 22:13:20", REAL),
        ("2023-11-14", 1_699_920_000_000_000),
    ],
)
def test_times_are_understood(written: str, real: int) -> None:
    kind, (found,) = on_one_clock([clock("a.csv", written)])
    assert kind == "real"
    assert found is not None
    assert found.tolist() == pytest.approx([real], rel=1e-9)


@pytest.mark.parametrize("factor", [1, 1_000, 1_000_000, 1_000_000_000])
@pytest.mark.parametrize("other", [1, 1_000, 1_000_000, 1_000_000_000])
def test_files_in_different_units_are_on_one_clock(factor: int, other: int) -> None:
    train, test = clock("train.csv", START * factor), clock("test.csv", (START + DAY) * other)
    kind, (first, second) = on_one_clock([train, test])
    assert kind == "real"
    assert first is not None
    assert second is not None
    assert (second - first).tolist() == [DAY * 1_000_000]


def test_dates_and_numbers_are_on_one_clock() -> None:
    typed = pa.scalar(REAL, pa.timestamp("us")).as_py()
    _, (first, second) = on_one_clock([clock("train.parquet", typed), clock("test.csv", str(START))])
    assert first is not None
    assert second is not None
    assert first.tolist() == second.tolist() == [REAL]


def test_small_numbers_are_an_order() -> None:
    kind, (first, second, nothing) = on_one_clock([clock("a", 10.5, 2.0), clock("b", 30.0), Clock(Path("c"))])
    assert kind == "order"
    assert first is not None
    assert second is not None
    assert (first.tolist(), second.tolist(), nothing) == ([1, 0], [2], None)
    assert on_one_clock([Clock(Path("a")), Clock(Path("b"))]) == ("none", [None, None])


def test_zero_among_dates_is_no_time() -> None:
    for values in ([0, START, START + DAY], ["1970-01-01", "2023-11-14", "9999-12-31", "2023-11-15"]):
        assert clock("a.csv", *values).span() == "from 2023-11-14 to 2023-11-15"


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (clock("a", START, START + DAY), "from 2023-11-14 to 2023-11-15"),
        (clock("a", START), "of 2023-11-14"),
        (clock("a", 3, 500), "in an order of numbers (3 to 500)"),
        (Clock(Path("a")), "without times"),
        (Clock(Path("a"), "none", np.empty(0)), "without times"),
    ],
)
def test_the_span_is_said_as_what_it_is(file: Clock, said: str) -> None:
    assert file.span() == said


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (clock("test.csv", 3, 4), "test.csv: its rows are in an order of numbers .3 to 4., those of train.csv of 2023"),
        (clock("test.csv", "1973-06-01"), "its rows are of 1973-06-01, those of train.csv of 2023-11-14: write both"),
        (clock("test.csv", "2111-01-01"), "its rows are of 2111-01-01"),
    ],
)
def test_times_that_cannot_belong_together_are_refused(test: Clock, said: str) -> None:
    with pytest.raises(UnreadableFile, match=said):
        on_one_clock([clock("train.csv", START), test])


@pytest.mark.parametrize("absurd", [20_231_114_221_320, 50_000_000_000, "9999-12-31", "1877-03-04", 9e20])
def test_absurd_times_are_refused(absurd: object) -> None:
    with pytest.raises(UnreadableFile, match="most rows are no time between 1973 and 2200"):
        clock("a.csv", absurd)
