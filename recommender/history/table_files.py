"""Files of columns in the forms that public data sets come in, opened for what they are.

Parquet; JSON lines; text with a separator, with or without a header line; and lists: a line a user, who stands first,
then the items. Compressed ones too (.gz, .bz2, .zst). The name tells Parquet and JSON; of text the first lines tell
the separator. Whatever has quotes is read by Arrow's CSV reader, as text: an id "007" is not the number 7.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from portraits.errors import UnreadableFile
from recommender.history.dataset import Int32

DELIMITERS = ("::", "\t", ";", ",", "|", " ")
"""The first that a line holds separates it, where no other makes a header of it."""
PACKED = (".gz", ".bz2", ".zst")
JSON_NAMES = (".jsonl", ".ndjson", ".json")
PARQUET_NAMES = (".parquet", ".pq")
LOOKED_AT = 1 << 20
WIDEST = 4
"""More fields than a line of user, item, rating and time has."""
IsHeader = Callable[[Sequence[str]], bool]


@dataclass(frozen=True)
class TableFile:
    """An opened file. names: of its columns, as it has them; "column 1", ... without a header line. form: "header",
    "places" (no header line) or "lists" (then the columns are user and item). read: some of the columns, by place."""

    path: Path
    names: Sequence[str]
    form: str
    read: Callable[[Sequence[int]], list[pa.ChunkedArray]]


@dataclass(frozen=True)
class _Lines:
    """A file split without quotes. fields: list<string> of each line after the names, () where it has no header."""

    path: Path
    fields: pa.ChunkedArray
    names: Sequence[str] = ()

    @property
    def widths(self) -> Int32:
        return np.asarray(pc.list_value_length(self.fields), np.int32)

    @property
    def can_be_lists(self) -> bool:
        """Whether no line begins as another."""
        return len(pc.unique(pc.list_element(self.fields, 0))) == len(self.fields)

    @property
    def must_be_lists(self) -> bool:
        widths = self.widths
        return self.can_be_lists and bool(widths.min() != widths.max() or widths.max() > WIDEST)

    def as_lists(self) -> TableFile:
        chunks = [_pairs(chunk) for chunk in self.fields.chunks]
        columns = [pa.chunked_array([chunk[side] for chunk in chunks], pa.string()) for side in (0, 1)]
        return TableFile(self.path, ("user", "item"), "lists", lambda places: [columns[place] for place in places])

    def as_columns(self) -> TableFile:
        widths = self.widths
        width = len(self.names) or int(widths[0])
        if (widths != width).any():
            odd = int(np.argmax(widths != width))
            way_out = "a list of items has one line a user, anything else as many fields in every line"
            problem = f"row {odd + 1} has {widths[odd]} fields, expected {width}: {way_out}"
            raise UnreadableFile(str(self.path), problem)
        return TableFile(
            self.path,
            self.names or _by_place(width),
            "header" if self.names else "places",
            lambda places: [pc.list_element(self.fields, place) for place in places],
        )


def open_tables(paths: Sequence[Path], is_header: IsHeader) -> list[TableFile]:
    """Files that belong together: where one can only be lists, others that can be are too. is_header: whether a
    line's fields name the columns that are wanted. Raises UnreadableFile."""
    opened = []
    for path in paths:
        with _named(path):
            opened.append(_open(path, is_header))
    lists = any(isinstance(file, _Lines) and file.must_be_lists for file in opened)
    found = []
    for file in opened:
        if isinstance(file, _Lines):
            found.append(file.as_lists() if lists and file.can_be_lists else file.as_columns())
        else:
            found.append(file)
    return found


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of reading, with the name of the file."""
    try:
        yield
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as problem:
        raise UnreadableFile(str(path), first_line(problem)) from None


def first_line(problem: Exception) -> str:
    """What an error of another library says, in one line."""
    return (str(problem).splitlines() or [type(problem).__name__])[0]


def _open(path: Path, is_header: IsHeader) -> TableFile | _Lines:
    name = path.name.lower()
    for ending in PACKED:
        name = name.removesuffix(ending)
    if name.endswith(PARQUET_NAMES):
        names = pa.parquet.read_schema(path).names
        return _file(path, names, lambda wanted: pa.parquet.read_table(path, columns=wanted))
    head = _head(path)
    if name.endswith(JSON_NAMES):
        return _open_json(path, head)
    delimiter, headed = _layout(head, is_header)
    if delimiter == "::" or (delimiter in "\t " and not headed):
        return _split(path, delimiter, headed)
    names = _fields(head[0], delimiter)
    return _file(path, names, lambda wanted: _read_csv(path, delimiter, wanted, headed), headed)


def _head(path: Path) -> list[str]:
    """The first lines with something in them."""
    with pa.input_stream(path, "detect") as stream:
        start = stream.read(LOOKED_AT)
    if b"\0" in start:
        raise UnreadableFile(str(path), "neither text in UTF-8 nor named .parquet: write it as CSV, JSONL or Parquet")
    lines = start.decode("utf-8-sig", "ignore").splitlines()
    found = [line for line in lines if line.strip()]
    if not found:
        raise UnreadableFile(str(path), "it is empty")
    return found


def _layout(head: Sequence[str], is_header: IsHeader) -> tuple[str, bool]:
    """The separator, and whether the first line is a header. A line of which a field is a number, or of which every
    field has a digit, holds data."""
    for delimiter in DELIMITERS:
        if (delimiter in head[0] or delimiter == ",") and is_header(_fields(head[0], delimiter)):
            return delimiter, True
    delimiter = next((delimiter for line in head for delimiter in DELIMITERS if delimiter in line.strip()), ",")
    fields = _fields(head[0], delimiter)
    data = any(_is_number(field) for field in fields) or all(any(map(str.isdigit, field)) for field in fields)
    return delimiter, not data


def _fields(line: str, delimiter: str) -> list[str]:
    if delimiter == "::":
        return line.split(delimiter)
    return line.split() if delimiter == " " else next(csv.reader([line], delimiter=delimiter))


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _by_place(count: int) -> list[str]:
    return [f"column {place}" for place in range(1, count + 1)]


def _file(path: Path, names: Sequence[str], read: Callable[[list[str]], pa.Table], headed: bool = True) -> TableFile:
    asked = names if headed else [f"f{place}" for place in range(len(names))]  # as Arrow calls them

    def columns(places: Sequence[int]) -> list[pa.ChunkedArray]:
        wanted = [asked[place] for place in places]
        with _named(path):
            table = read(wanted)
        return [table.column(name) for name in wanted]

    return TableFile(path, names if headed else _by_place(len(names)), "header" if headed else "places", columns)


def _read_csv(path: Path, delimiter: str, wanted: Sequence[str], headed: bool) -> pa.Table:
    return pa.csv.read_csv(
        pa.input_stream(path, "detect"),
        pa.csv.ReadOptions(autogenerate_column_names=not headed),
        pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        pa.csv.ConvertOptions(column_types=dict.fromkeys(wanted, pa.string()), include_columns=wanted),
    )


def _open_json(path: Path, head: Sequence[str]) -> TableFile:
    if head[0].lstrip().startswith("["):
        way_out = "write one object a line (jq -c '.[]' does that)"
        raise UnreadableFile(str(path), f"one JSON array instead of JSON lines: {way_out}")
    table = _read_json(path, {})
    dates = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
    if dates:  # as it was written: an id that looks like a date is none
        table = _read_json(path, dict.fromkeys(dates, pa.string()))
    return _file(path, table.column_names, table.select)


def _read_json(path: Path, types: dict[str, pa.DataType]) -> pa.Table:
    parse = pa.json.ParseOptions(explicit_schema=pa.schema(list(types.items())))
    return pa.json.read_json(pa.input_stream(path, "detect"), parse_options=parse)


def _split(path: Path, delimiter: str, headed: bool) -> TableFile | _Lines:
    """Lines of text split by Arrow: without quotes, at a separator of any length."""
    lines = pa.csv.read_csv(
        pa.input_stream(path, "detect"),
        pa.csv.ReadOptions(column_names=["line"], block_size=LOOKED_AT * 16),
        pa.csv.ParseOptions(delimiter="\x1f", quote_char=False),
        pa.csv.ConvertOptions(column_types={"line": pa.string()}),
    ).column("line")
    lines = pc.utf8_trim(lines, " \ufeff\r")
    lines = lines.filter(pc.greater(pc.binary_length(lines), 0))
    names = _fields(lines[0].as_py(), delimiter) if headed else []
    lines = lines.slice(len(names) and 1)
    fields = pc.ascii_split_whitespace(lines) if delimiter == " " else pc.split_pattern(lines, delimiter)
    found = _Lines(path, fields, names)
    return found.as_columns() if delimiter == "::" else found


def _pairs(fields: pa.ListArray) -> tuple[pa.Array, pa.Array]:
    """User and item of each item of lists that begin with their user."""
    owner = pc.list_parent_indices(fields)
    first = np.concatenate([[True], np.diff(owner.to_numpy()) != 0]) if len(owner) else np.empty(0, bool)
    items = pa.array(~first)
    users = pc.list_element(fields, 0)
    return users.take(owner.filter(items)), fields.flatten().filter(items)
