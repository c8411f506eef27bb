"""Files as batches of rows with their line numbers: CSV, TSV and JSONL (gzip too), and Parquet.

`open_file` looks at the file's name and first line; `Source.batches` then streams. Whatever the format, a batch is an
Arrow table with `_line` (where the row stands in the file, from 1), `_raw` (its text; null for Parquet) and the file's
own columns: text for CSV, their own types for Parquet. JSONL rows have only `_raw`.

DuckDB's own CSV reader is not used: it cannot tell the line of an accepted row, and a long line stops it.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from portraits.errors import UnreadableFile
from portraits.history import ROW_LIMIT_BYTES
from portraits.records import SHOWN_BYTES, Block, Refused, split

DELIMITERS = {",": "a comma", "\t": "a tab", ";": "a semicolon", "|": "a bar"}
PARQUET_BATCH_ROWS = 131_072
SLICE_ROWS = 16_384
LINE, RAW = "_line", "_raw"


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How to read a file where its name does not tell. `columns` names those of a file without a header line.

    `rest` names one more column: all that follows the last of `columns`, delimiters included (rows of any length).
    """

    delimiter: str | None = None
    encoding: str = "utf-8"
    columns: tuple[str, ...] = ()
    rest: str | None = None


@dataclass(slots=True)
class Batch:
    """Rows read, and rows that cannot be read."""

    rows: pa.Table
    refused: list[Refused] = field(default_factory=list)

    @property
    def count(self) -> int:
        return int(self.rows.num_rows) + len(self.refused)


@dataclass(frozen=True, slots=True)
class Source:
    """An opened file: its format (csv, jsonl, parquet), its columns (none for JSONL) and its stream of batches."""

    path: Path
    form: str
    columns: tuple[str, ...]
    delimiter: str
    batches: Callable[[], Iterator[Batch]]


def open_file(path: Path, options: FileOptions, on_bytes: Callable[[int], None] | None = None) -> Source:
    """The file as a source. `on_bytes` hears how many bytes of the file were read so far.

    Raises UnreadableFile when there is no such file or it is not what its name says.
    """
    if not path.is_file():
        raise UnreadableFile(str(path), "no such file")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".gzip"):
        suffixes.pop()
    kind = suffixes[-1] if suffixes else ""
    if kind == ".parquet":
        return _open_parquet(path, on_bytes)
    if kind in (".jsonl", ".ndjson", ".json"):
        return Source(path, "jsonl", (), "", lambda: _json_batches(path, options, on_bytes))
    if kind in (".csv", ".tsv", ".txt", ".tab"):
        return _open_csv(path, options, "\t" if kind in (".tsv", ".tab") else ",", on_bytes)
    raise UnreadableFile(str(path), "the name must end in .csv, .tsv, .jsonl or .parquet (.gz after it for gzip)")


def _stream(path: Path, options: FileOptions, on_bytes: Callable[[int], None] | None) -> IO[bytes]:
    raw: IO[bytes] = _Counted(path.open("rb"), on_bytes)  # type: ignore[assignment]
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if zipped else raw  # type: ignore[assignment]
    if codecs.lookup(options.encoding).name in ("utf-8", "utf-8-sig", "ascii"):
        return stream
    return _Recoded(stream, options.encoding)  # type: ignore[return-value]


class _Counted(io.RawIOBase):
    """A file that tells how far it was read."""

    def __init__(self, file: IO[bytes], on_bytes: Callable[[int], None] | None) -> None:
        self._file = file
        self._on_bytes = on_bytes
        self._read = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._read += len(data)
        if self._on_bytes:
            self._on_bytes(self._read)
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


class _Recoded(io.RawIOBase):
    """A stream of another encoding as UTF-8. What cannot be decoded stays invalid, so that its row is refused."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="surrogateescape")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while data := self._stream.read(size):
            if text := self._decoder.decode(data):
                return text.encode("utf-8", "surrogatepass")
        return self._decoder.decode(b"", True).encode("utf-8", "surrogatepass")

    def close(self) -> None:
        self._stream.close()
        super().close()


def _blocks(
    path: Path, options: FileOptions, delimiter: str | None, on_bytes: Callable[[int], None] | None
) -> Iterator[Block]:
    with _stream(path, options, on_bytes) as stream:
        try:
            yield from split(stream, delimiter)
        except EOFError:
            raise UnreadableFile(str(path), "the gzip stream is cut short") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise UnreadableFile(str(path), f"broken gzip: {error}") from None


def _json_batches(path: Path, options: FileOptions, on_bytes: Callable[[int], None] | None) -> Iterator[Batch]:
    for block in _blocks(path, options, None, on_bytes):
        yield Batch(_table(block, {}), block.refused)


def _table(block: Block, columns: dict[str, Any]) -> pa.Table:
    """A block's rows as several record batches, which DuckDB reads in parallel."""
    table = pa.table({LINE: pa.array(block.lines), RAW: block.text, **columns})
    return pa.Table.from_batches(table.to_batches(max_chunksize=SLICE_ROWS), schema=table.schema)


def _open_csv(path: Path, options: FileOptions, usual: str, on_bytes: Callable[[int], None] | None) -> Source:
    delimiter = options.delimiter or usual
    names = options.columns or _header(path, options, delimiter)
    columns = (*names, options.rest) if options.rest else names
    parse = _rest_parser(names, options.rest, delimiter) if options.rest else _csv_parser(names, delimiter)
    quoting = None if options.rest else delimiter

    def batches() -> Iterator[Batch]:
        skip = not options.columns
        for block in _blocks(path, options, quoting, on_bytes):
            if skip and len(block.lines):
                block.text, block.lines, skip = block.text[1:], block.lines[1:], False
            yield parse(block)

    return Source(path, "csv", columns, delimiter, batches)


def _header(path: Path, options: FileOptions, delimiter: str) -> tuple[str, ...]:
    """Names in the first line; a column without a name is called column1, column2, ... by its place."""
    for block in _blocks(path, options, delimiter, None):
        if block.refused and (not len(block.lines) or block.refused[0].line < block.lines[0]):
            raise UnreadableFile(str(path), f"the first line holds no column names: {block.refused[0].reason}")
        names = next(csv.reader([block.text[0].as_py().rstrip("\r\n")], delimiter=delimiter))
        named = tuple(name.strip() or f"column{place}" for place, name in enumerate(names, 1))
        twice = {name for name in named if named.count(name) > 1}
        if twice:
            raise UnreadableFile(str(path), f"the first line names {', '.join(sorted(twice))} twice")
        return named
    return ()


def _csv_parser(names: tuple[str, ...], delimiter: str) -> Callable[[Block], Batch]:
    convert = pcsv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, quoted_strings_can_be_null=False
    )
    read = pcsv.ReadOptions(column_names=list(names), use_threads=False, block_size=2**31 - 1)

    def parse(block: Block) -> Batch:
        if not len(block.lines):
            return Batch(_table(block, {name: pa.array([], pa.string()) for name in names}), block.refused)
        wrong: list[int] = []

        def skip(row: pcsv.InvalidRow) -> str:
            wrong.append(row.number - 1)
            return "skip"

        options = pcsv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip)
        table = pcsv.read_csv(pa.BufferReader(_bytes(block)), read, options, convert)
        if table.num_rows + len(wrong) != len(block.lines):
            return _parse_each(block, names, delimiter)
        good, refused = _without(block, wrong, f"the row has not {len(names)} columns as the first line has")
        return Batch(_table(good, {name: table.column(name) for name in names}), refused)

    return parse


def _bytes(block: Block) -> pa.Buffer:
    """The text of a block as one buffer."""
    _, offsets, data = block.text.buffers()
    ends = np.frombuffer(offsets, np.int64)[block.text.offset :]
    return data.slice(int(ends[0]), int(ends[len(block.lines)] - ends[0]))


def _without(block: Block, wrong: list[int], reason: str) -> tuple[Block, list[Refused]]:
    """The block without the rows at these places, and all refused rows in order of lines."""
    if not wrong:
        return block, block.refused
    refused = list(block.refused)
    for place in wrong:
        text = block.text[place].as_py().rstrip("\r\n")[:SHOWN_BYTES]
        refused.append(Refused(int(block.lines[place]), "", text[:200], reason, text))
    mask = np.ones(len(block.lines), bool)
    mask[wrong] = False
    kept = Block(block.text.filter(pa.array(mask)), block.lines[mask])
    return kept, sorted(refused, key=lambda row: row.line)


def _parse_each(block: Block, names: tuple[str, ...], delimiter: str) -> Batch:
    """The same, record by record: for a block where a stray quote makes the fast parser see other records."""
    csv.field_size_limit(ROW_LIMIT_BYTES)
    values: list[list[str]] = []
    wrong = []
    for place, text in enumerate(block.text.to_pylist()):
        try:
            fields = next(csv.reader([text.rstrip("\r\n")], delimiter=delimiter))
        except csv.Error:
            fields = []
        if len(fields) == len(names):
            values.append(fields)
        else:
            wrong.append(place)
    good, refused = _without(block, wrong, f"the row has not {len(names)} columns as the first line has")
    columns = zip(*values, strict=True) if values else [()] * len(names)
    return Batch(_table(good, {n: pa.array(v, pa.string()) for n, v in zip(names, columns, strict=True)}), refused)


def _rest_parser(names: tuple[str, ...], rest: str, delimiter: str) -> Callable[[Block], Batch]:
    def parse(block: Block) -> Batch:
        text = pc.utf8_rtrim(block.text, "\r\n")
        fields = pc.split_pattern(text, delimiter, max_splits=len(names))
        found = pc.list_value_length(fields).to_numpy(zero_copy_only=False)
        short = np.flatnonzero(found < len(names)).tolist()
        good, refused = _without(block, short, f"the row has fewer than {len(names)} columns")
        fields = fields.filter(pa.array(found >= len(names)))
        starts = np.asarray(fields.offsets)[:-1]
        has_rest = pa.array(found[found >= len(names)] > len(names))
        flat = fields.values
        columns = {name: flat.take(pa.array(starts + place)) for place, name in enumerate(names)}
        last = pc.if_else(has_rest, pa.array(starts + len(names)), None)
        columns[rest] = pc.fill_null(flat.take(last), "")
        return Batch(_table(good, columns), refused)

    return parse


def _open_parquet(path: Path, on_bytes: Callable[[int], None] | None) -> Source:
    try:
        with pq.ParquetFile(path) as file:
            columns = tuple(file.schema_arrow.names)
    except (pa.ArrowInvalid, OSError) as error:
        raise UnreadableFile(str(path), f"not a Parquet file: {error}") from None
    return Source(path, "parquet", columns, "", lambda: _parquet_batches(path, on_bytes))


def _parquet_batches(path: Path, on_bytes: Callable[[int], None] | None) -> Iterator[Batch]:
    line = 1
    size = path.stat().st_size
    try:
        with pq.ParquetFile(path) as file:
            total = max(file.metadata.num_rows, 1)
            for rows in file.iter_batches(PARQUET_BATCH_ROWS):
                table = pa.Table.from_batches([rows])
                table = table.append_column(LINE, pa.array(np.arange(line, line + len(rows))))
                line += len(rows)
                yield Batch(pa.Table.from_batches(table.to_batches(max_chunksize=SLICE_ROWS), schema=table.schema))
                if on_bytes:
                    on_bytes(size * (line - 1) // total)
    except (pa.ArrowInvalid, OSError) as error:
        raise UnreadableFile(str(path), f"broken Parquet: {error}") from None
