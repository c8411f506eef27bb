"""A stream of bytes cut into records, each with the number of its first line, in bounded memory.

A record is a line, or several lines when a quoted CSV field holds line breaks (RFC 4180). What cannot be a record is
told apart here, before any parser sees it: longer than the row limit, not UTF-8, holding a NUL, or beginning a quoted
field that never ends. numpy finds the line ends; Python looks only at lines with an odd number of quotes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from portraits.history import ROW_LIMIT_BYTES

BLOCK_BYTES = 16 * 2**20
SHOWN_BYTES = 1_000
NEWLINE, RETURN, QUOTE = 10, 13, 34
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that cannot be read: its line number from 1, the column if one is to blame, the value, why, its text."""

    line: int
    column: str
    value: str
    reason: str
    row: str


@dataclass(slots=True)
class Block:
    """Whole records in file order: their text (line ends included) and the number of the first line of each."""

    text: pa.LargeStringArray
    lines: NDArray[np.int64]
    refused: list[Refused] = field(default_factory=list)


@dataclass(slots=True)
class _Span:
    """Records found in a buffer, as offsets into it. `used` is where the first unfinished record begins."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    lines: NDArray[np.int64]
    used: int
    next_line: int


def split(stream: IO[bytes], delimiter: str | None = None, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Cuts a stream into blocks of records. With `delimiter` quotes may hold line breaks (CSV), else every line is one.

    Blank lines are no records. Errors of the stream itself (a gzip file cut short) pass through.
    """
    line = 1
    carry = stream.read(len(BYTE_ORDER_MARK)).removeprefix(BYTE_ORDER_MARK)
    at_end = False
    while not at_end:
        chunk = stream.read(block_bytes)
        at_end = not chunk
        buffer = carry + chunk
        span, unclosed = _find(buffer, line, delimiter, at_end)
        block = _block(buffer, span, unclosed)
        if block.refused or len(block.lines):
            yield block
        carry, line = buffer[span.used :], span.next_line
        if len(carry) > ROW_LIMIT_BYTES:
            yield Block(pa.array([], pa.large_string()), np.empty(0, np.int64), [_too_long(carry, line)])
            carry = _skip_line(stream, block_bytes)
            line += 1


def _skip_line(stream: IO[bytes], block_bytes: int) -> bytes:
    """Reads on to the end of a line that is too long to keep; what follows it."""
    while chunk := stream.read(block_bytes):
        _, newline, rest = chunk.partition(b"\n")
        if newline:
            return rest
    return b""


def _find(buffer: bytes, line: int, delimiter: str | None, at_end: bool) -> tuple[_Span, set[int]]:
    """Finds the whole records of a buffer; also the lines that begin a quoted field without an end."""
    codes = np.frombuffer(buffer, np.uint8)
    ends = np.flatnonzero(codes == NEWLINE).astype(np.int64)
    if at_end and len(buffer) and (not len(ends) or ends[-1] != len(buffer) - 1):
        ends = np.append(ends, len(buffer))
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1]) if len(ends) else ends
    last = int(ends[-1]) + 1 if len(ends) else 0
    span = _Span(starts, ends, line + np.arange(len(ends)), min(last, len(buffer)), line + len(ends))
    if delimiter is None or not len(ends) or b'"' not in buffer:
        return span, set()
    return _join_quoted(buffer, codes, span, delimiter, at_end)


def _join_quoted(
    buffer: bytes, codes: NDArray[np.uint8], span: _Span, delimiter: str, at_end: bool
) -> tuple[_Span, set[int]]:
    """Joins lines that a quoted field runs across. Only a line with an odd number of quotes opens or closes one."""
    quotes = np.searchsorted(np.flatnonzero(codes == QUOTE), span.ends)
    odd = np.flatnonzero(np.diff(quotes, prepend=0) % 2)
    inner = np.zeros(len(span.ends), bool)
    unclosed: set[int] = set()
    index = 0
    whole = len(span.ends)
    while index < len(odd):
        first = int(odd[index])
        index += 1
        if not _opens(buffer[span.starts[first] : span.ends[first]], delimiter.encode()):
            continue
        closing = int(odd[index]) if index < len(odd) else None
        if closing is not None and _closes(buffer, span, first, closing, delimiter.encode()):
            inner[first + 1 : closing + 1] = True
            index += 1
        elif closing is None and not at_end and len(buffer) - span.starts[first] <= ROW_LIMIT_BYTES:
            whole = first
            break
        else:
            unclosed.add(first)
    return _joined(span, inner, whole, unclosed)


def _closes(buffer: bytes, span: _Span, first: int, closing: int, delimiter: bytes) -> bool:
    """Whether the field left open on one line ends properly on another: at a quote before a delimiter or line end."""
    if span.ends[closing] - span.starts[first] > ROW_LIMIT_BYTES:
        return False
    line = buffer[span.starts[closing] : span.ends[closing]].rstrip(b"\r")
    position = line.find(b'"')
    while line[position + 1 : position + 2] == b'"':
        position = line.find(b'"', position + 2)
    return line[position + 1 : position + 2] in (delimiter, b"")


def _joined(span: _Span, inner: NDArray[np.bool_], whole: int, unclosed: set[int]) -> tuple[_Span, set[int]]:
    heads = np.flatnonzero(~inner[:whole])
    tails = np.append(heads[1:], whole) - 1 if len(heads) else heads
    used, next_line = span.used, span.next_line
    if whole < len(span.ends):
        used, next_line = int(span.starts[whole]), int(span.lines[whole])
    positions = set(np.flatnonzero(np.isin(heads, list(unclosed))).tolist()) if unclosed else set()
    return _Span(span.starts[heads], span.ends[tails], span.lines[heads], used, next_line), positions


def _opens(line: bytes, delimiter: bytes) -> bool:
    """Whether a line ends inside a quoted field. A quote that does not begin a field is an ordinary character."""
    position = 0
    while True:
        if line[position : position + 1] == b'"':
            position = line.find(b'"', position + 1)
            while position >= 0 and line[position + 1 : position + 2] == b'"':
                position = line.find(b'"', position + 2)
            if position < 0:
                return True
        position = line.find(delimiter, position) + len(delimiter)
        if position < len(delimiter):
            return False


def _block(buffer: bytes, span: _Span, unclosed: set[int]) -> Block:
    """The records of a span that can be read, and why the others cannot."""
    lengths = span.ends - span.starts
    blank = lengths == 0
    short = np.flatnonzero(lengths == 1)
    blank[short] = [buffer[start] == RETURN for start in span.starts[short].tolist()]
    refused = {
        int(i): _too_long(buffer[span.starts[i] : span.ends[i]], int(span.lines[i]))
        for i in np.flatnonzero(lengths > ROW_LIMIT_BYTES)
    }
    for i in unclosed:
        refused.setdefault(i, _refuse(buffer, span, i, "a quoted field begins and never ends"))
    if b"\0" in buffer:
        for i in np.unique(np.searchsorted(span.ends, np.flatnonzero(np.frombuffer(buffer, np.uint8) == 0))).tolist():
            if i < len(span.ends) and not blank[i]:
                refused.setdefault(i, _refuse(buffer, span, i, "not valid text: a NUL character"))
    kept = np.flatnonzero(~blank & ~np.isin(np.arange(len(blank)), list(refused)))
    if not _is_utf8(buffer[: span.used]):
        for i in kept.tolist():
            if not _is_utf8(buffer[span.starts[i] : span.ends[i]]):
                refused[i] = _refuse(buffer, span, i, "not valid text: not UTF-8")
        kept = np.flatnonzero(~blank & ~np.isin(np.arange(len(blank)), list(refused)))
    rows = [refused[i] for i in sorted(refused)]
    return Block(_texts(buffer, span, kept), span.lines[kept], rows)


def _texts(buffer: bytes, span: _Span, kept: NDArray[np.int64]) -> pa.LargeStringArray:
    """The kept records, one after another, each ending in a newline."""
    if not len(kept):
        return pa.array([], pa.large_string())
    ends = span.ends + 1
    if len(kept) < len(span.ends) or ends[-1] > len(buffer):
        pieces = [buffer[s:e] for s, e in zip(span.starts[kept].tolist(), span.ends[kept].tolist(), strict=True)]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(piece) + 1 for piece in pieces])])
        buffer = b"\n".join(pieces) + b"\n"
    else:
        offsets = np.concatenate([span.starts[:1], ends])
    return pa.LargeStringArray.from_buffers(len(kept), pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(buffer))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _too_long(data: bytes, line: int) -> Refused:
    shown = data[:SHOWN_BYTES].decode("utf-8", "replace")
    return Refused(line, "", shown[:200], f"a row longer than {ROW_LIMIT_BYTES} bytes", shown)


def _refuse(buffer: bytes, span: _Span, index: int, reason: str) -> Refused:
    data = buffer[span.starts[index] : span.ends[index]][:SHOWN_BYTES]
    shown = data.decode("utf-8", "replace").replace("\0", "\ufffd")
    return Refused(int(span.lines[index]), "", shown[:200], reason, shown)
