"""When the rows of a file happened: the clock of each file, and whether two files are on one.

A time is a date, a Unix time (seconds, milli-, micro- or nanoseconds: told by its size, file by file), or any number
that orders the rows. Dates and Unix times become microseconds, so that files in different units can be compared; an
order can be compared with nothing but the order of another file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from portraits.errors import UnreadableFile
from recommender.history.dataset import DAY_US, Int64

FIRST_UNIX = 1e8
"""Smaller numbers are an order, not a time: 1973 in seconds."""
UNITS = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (np.inf, 1e-3))
"""Below which number a Unix time is in which unit: microseconds in one (seconds, milli-, micro-, nanoseconds)."""
EARLIEST, LATEST = date(1973, 3, 4), date(2200, 1, 1)
"""A file's 0, 1970-01-01 or 9999-12-31 says that a row has no time."""
FAR_APART_US = 50 * 365 * DAY_US
NO_TIME = ("", "na", "n/a", "nan", "nat", "null", "none")
"""How files say that a row has no time, whatever the case."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Clock:
    """The times of one file's rows. kind: "real" (then `at`: float64[N] microseconds since 1970), "order" (numbers as
    the file has them) or "none" (then `at` is None)."""

    path: Path
    kind: str = "none"
    at: npt.NDArray[np.float64] | None = None

    def span(self) -> str:
        """From when to when, in words."""
        if self.at is None or not len(self.at):
            return "without times"
        first, last = float(self.at.min()), float(self.at.max())
        if self.kind == "order":
            return f"in an order of numbers ({first:.12g} to {last:.12g})"
        start, end = _date(first), _date(last)
        return f"of {start}" if start == end else f"from {start} to {end}"


def on_one_clock(files: Sequence[Clock]) -> tuple[str, list[Int64 | None]]:
    """The kind of time of all files together, and each file's times in its numbers: microseconds, or the rank of each
    number among those of all files. None for a file without.

    Raises UnreadableFile when the times of two files cannot belong together.
    """
    timed = [file for file in files if file.at is not None and len(file.at)]
    if not timed:
        return "none", [None] * len(files)
    first, kind = timed[0], timed[0].kind
    for other in timed[1:]:
        if other.kind != kind or _far_apart(first, other):
            way_out = "write both in the same clock, or leave the column out of both"
            problem = f"its rows are {other.span()}, those of {first.path} {first.span()}: {way_out}"
            raise UnreadableFile(str(other.path), problem)
    if kind == "real":
        return kind, [None if file.at is None else np.round(file.at).astype(np.int64) for file in files]
    ranks = np.unique(np.concatenate([file.at for file in timed if file.at is not None]))
    return kind, [None if file.at is None else np.searchsorted(ranks, file.at).astype(np.int64) for file in files]


def read_times(path: Path, name: str, column: pa.ChunkedArray) -> tuple[str, pa.ChunkedArray]:
    """The kind of time of a column and float64 values as in `Clock`; null where a row has none.

    Raises UnreadableFile when a row holds neither a number nor a date, or most of them no possible time.
    """
    try:
        dated, numbers = _numbers(column)
    except pa.ArrowException as problem:
        wanted = f"column {name} holds {column.type}, neither a number nor a date ({str(problem).splitlines()[0]})"
        raise UnreadableFile(str(path), f"{wanted}; write times like 1700000000 or 2023-11-14 22:13:20") from None
    if not len(numbers):
        return "none", numbers
    if numbers.null_count == len(numbers):
        raise UnreadableFile(str(path), f"column {name} holds no time in any row: mend it or leave it out")
    middle = float(np.median(numbers.drop_null().to_numpy()))
    if not dated and middle < FIRST_UNIX:
        return "order", numbers
    if not dated:
        factor = next(factor for below, factor in UNITS if middle < below)
        numbers = pc.multiply(numbers, factor)
    possible = pc.and_(pc.greater_equal(numbers, _us(EARLIEST)), pc.less(numbers, _us(LATEST)))
    numbers = pc.if_else(possible, numbers, None)
    if numbers.null_count > len(numbers) / 2:
        wanted = f"most rows are no time between {EARLIEST.year} and {LATEST.year} (one is {_shown(column, middle)})"
        way_out = "write times like 1700000000 or 2023-11-14 22:13:20, or leave the column out"
        raise UnreadableFile(str(path), f"column {name}: {wanted}: {way_out}")
    return "real", numbers


def is_date(column: pa.ChunkedArray) -> bool:
    """Whether a column holds dates, in words or typed."""
    try:
        dated, numbers = _numbers(column)
    except pa.ArrowException:
        return False
    return dated and numbers.null_count < len(numbers)


def holds_times(column: pa.ChunkedArray) -> bool:
    """Whether most of a column are dates or Unix times."""
    try:
        return read_times(Path(), "", column)[0] == "real"
    except UnreadableFile:
        return False


def _numbers(column: pa.ChunkedArray) -> tuple[bool, pa.ChunkedArray]:
    """Whether these are dates; float64: numbers as they are, dates as microseconds; null for what is no finite one."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return True, column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).cast(pa.float64(), safe=False)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return False, _finite(column.cast(pa.float64(), safe=False))
    words = pc.utf8_trim_whitespace(column.cast(pa.string()))
    words = pc.if_else(pc.is_in(pc.utf8_lower(words), pa.array(NO_TIME)), None, words)
    try:
        return False, _finite(words.cast(pa.float64()))
    except pa.ArrowInvalid:
        dates = pc.replace_substring_regex(words, r"^(\d{4})/(\d\d)/(\d\d)", r"\1-\2-\3")
        dates = pc.replace_substring_regex(dates, r"(\.\d{6})\d+", r"\1")
        dates = pc.replace_substring_regex(dates, r" *(UTC|GMT)$", "Z")
    try:
        read = dates.cast(pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:
        read = dates.cast(pa.timestamp("us"))
    return True, read.cast(pa.int64()).cast(pa.float64(), safe=False)


def _finite(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.is_finite(column), column, None)


def _far_apart(one: Clock, other: Clock) -> bool:
    if one.kind != "real" or one.at is None or other.at is None:
        return False
    gap = max(float(one.at.min() - other.at.max()), float(other.at.min() - one.at.max()))
    return gap > FAR_APART_US


def _us(day: date) -> float:
    return float((day - EPOCH.date()).days * DAY_US)


def _date(us: float) -> str:
    return (EPOCH + timedelta(microseconds=us)).date().isoformat()


def _shown(column: pa.ChunkedArray, middle: float) -> str:
    """A value of the column for people: the number in its middle, or its first date."""
    typed = pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)
    return str(column.drop_null()[0].as_py()) if typed else f"{middle:.20g}"
