"""Event columns while they are numbers: collected block by block, then written as Arrow columns of the contract.

Inside the shop everything is an integer code (-1: none), so that a day of events is a handful of numpy arrays. Text
is made once per distinct code when a batch becomes Arrow; columns are dictionary encoded, which Parquet keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from portraits.history import EVENT_TYPES, EVENTS, QUANTITY_SCALE

Array = npt.NDArray[Any]
Columns = dict[str, Array]

DTYPES: Mapping[str, type[np.generic]] = {
    "event": np.int64,
    "user": np.int64,
    "at": np.int64,
    "type": np.int8,
    "item": np.int32,
    "order": np.int64,
    "quantity": np.int64,
    "amount": np.int64,
    "list_amount": np.int64,
    "discount": np.int64,
    "revenue": np.int32,
    "platform": np.int8,
    "scene": np.int16,
    "session": np.int64,
    "page": np.int8,
    "query": np.int16,
    "duration": np.int32,
    "device": np.int8,
    "content": np.int32,
    "store": np.int16,
    "offer": np.int16,
    "group": np.int64,
    "referrer": np.int64,
    "decision": np.int64,
    "position": np.int8,
    "points": np.int32,
    "place": np.int16,
}
"""Code columns. `at` is microseconds since 1970, `quantity` is in units of 10**-QUANTITY_SCALE, `place` a store."""

TYPE = {name: code for code, name in enumerate(EVENT_TYPES)}


class Rows:
    """Event blocks of one day. Columns that a block does not give are -1."""

    def __init__(self) -> None:
        self._blocks: list[tuple[int, dict[str, Array | int]]] = []

    def add(self, kind: str, user: Array, at: Array, **columns: Array | int) -> None:
        """Events of one type: one event for each entry of `user` and `at`; other columns are arrays or one value."""
        if len(user):
            self._blocks.append((len(user), {"type": TYPE[kind], "user": user, "at": at, **columns}))

    def columns(self, first_event: int) -> Columns:
        """All blocks as columns in order of time, with event numbers counted from `first_event`."""
        total = sum(size for size, _ in self._blocks)
        out = {name: np.full(total, -1, dtype) for name, dtype in DTYPES.items()}
        begin = 0
        for size, block in self._blocks:
            for name, values in block.items():
                out[name][begin : begin + size] = values
            begin += size
        order = np.argsort(out["at"], kind="stable")
        out = {name: values[order] for name, values in out.items()}
        out["event"] = first_event + np.arange(total)
        return out


def take(columns: Columns, index: Array) -> Columns:
    """The rows of `columns` at `index` (positions or a mask)."""
    return {name: values[index] for name, values in columns.items()}


def concat(parts: Sequence[Columns]) -> Columns:
    """`parts` one under another."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


_DIGITS = np.array([f"{i:04d}" for i in range(10_000)], dtype="S4").view(np.uint32)


def numbered(prefix: str, numbers: Array, blocks: int = 2) -> pa.StringArray:
    """`prefix` and each number with leading zeros to 4 * `blocks` digits, without a Python loop over rows."""
    text = np.empty((len(numbers), len(prefix) + 4 * blocks), np.uint8)
    text[:, : len(prefix)] = np.frombuffer(prefix.encode(), np.uint8)
    rest = numbers.astype(np.int64)
    for block in reversed(range(blocks)):
        rest, low = np.divmod(rest, 10_000)
        begin = len(prefix) + 4 * block
        text[:, begin : begin + 4] = _DIGITS[low].view(np.uint8).reshape(-1, 4)
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * text.shape[1]
    return pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(text))


def coded(codes: Array, words: pa.Array) -> pa.DictionaryArray:
    """Dictionary column: `words[code]`, null where the code is below 0. Words may repeat.

    Parquet gives up on a dictionary whose words repeat (and then writes bytes that differ from run to run).
    """
    distinct = words.dictionary_encode()
    if len(distinct.dictionary) < len(words):
        codes, words = np.append(distinct.indices.to_numpy(), -1)[codes], distinct.dictionary
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), words)


def _counted(codes: Array, text: Callable[[Array], pa.Array]) -> pa.DictionaryArray:
    """Dictionary column of codes from a range too large for one dictionary: only codes that occur get a word."""
    found = pa.array(codes, mask=codes < 0).dictionary_encode()
    return pa.DictionaryArray.from_arrays(found.indices, text(found.dictionary.to_numpy()))


def _whole(values: Array, kind: pa.DataType) -> pa.Array:
    return pa.array(values, kind, mask=values < 0)


def _decimals(values: Array) -> pa.Array:
    wide = np.zeros((len(values), 2), np.int64)
    wide[:, 0] = np.maximum(values, 0)
    valid = np.packbits(values >= 0, bitorder="little")
    kind = pa.decimal128(18, QUANTITY_SCALE)
    return pa.Array.from_buffers(kind, len(values), [pa.py_buffer(valid), pa.py_buffer(wide)])


class Encoder:
    """Code columns -> an Arrow table in the contract's names and order.

    `words` gives the dictionary of each bounded code column, and of `decision` where its codes are not numbers of our
    own; `user_text` makes user ids from user codes.
    """

    def __init__(self, words: Mapping[str, pa.Array], user_text: Callable[[Array], pa.Array]) -> None:
        self._words = {"type": pa.array(EVENT_TYPES), **words}
        self._text = {"user": user_text, "referrer": user_text}
        for name in ("order", "session", "group", "decision"):
            self._text[name] = partial(numbered, name[0], blocks=3)
        if "decision" in words:
            self._text["decision"] = lambda codes: words["decision"].take(pa.array(codes))

    def table(self, columns: Columns) -> pa.Table:
        """One row for each entry; dictionary columns stand for strings."""
        rows = len(columns["at"])
        made = {
            "event_id": numbered("e", columns["event"], 3),
            "user_id": _counted(columns["user"], self._text["user"]),
            "referrer_user_id": _counted(columns["referrer"], self._text["referrer"]),
            "ts": pa.array(columns["at"], pa.timestamp("us", tz="UTC")),
            "quantity": _decimals(columns["quantity"]),
            "duration_ms": _whole(columns["duration"], pa.int64()),
            "geohash5": coded(columns["place"], self._words["geohash5"]),
            "city": coded(columns["place"], self._words["city"]),
        }
        for name in ("amount", "list_amount", "discount", "revenue", "position", "points"):
            made[name] = _whole(columns[name], pa.int64())
        for name in ("order", "session", "group", "decision"):
            made[f"{name}_id"] = _counted(columns[name], self._text[name])
        for name in ("item", "content", "store", "offer"):
            made[f"{name}_id"] = coded(columns[name], self._words[name])
        for name in ("type", "platform", "scene", "page", "query", "device"):
            made[name] = coded(columns[name], self._words[name])
        schema = EVENTS.arrow_schema()
        return pa.table({f.name: made.get(f.name, pa.nulls(rows, f.type)) for f in schema})
