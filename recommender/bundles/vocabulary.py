"""Ids as the merchant spells them <-> row numbers, in a form that many processes share without loading it.

The ids are UTF-8 bytes, sorted and unique, in one fixed-width array that can be memory-mapped: a lookup is a binary
search. Two traps of NumPy's `S` type are closed here: a key longer than the stored width would be cut to it (and match
its own prefix), and a key of another width makes `searchsorted` convert, hence copy, the whole array.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portraits.errors import InvalidValue


class Vocabulary:
    """A frozen, sorted set of ids. `ids` is `S[width]`, shape (n,), ascending by byte; row number = position."""

    __slots__ = ("_ids", "_width")

    def __init__(self, ids: NDArray[np.bytes_]) -> None:
        self._ids = ids
        self._width = ids.dtype.itemsize

    @classmethod
    def build(cls, ids: Iterable[str]) -> Vocabulary:
        """The vocabulary of all distinct `ids`. Raises InvalidValue for an id that holds a NUL character."""
        encoded = sorted({one.encode() for one in ids})
        for one in encoded:
            if b"\0" in one:
                raise InvalidValue("id", one.decode(), "an id without NUL characters")
        return cls(np.array(encoded, dtype=np.bytes_))

    @property
    def array(self) -> NDArray[np.bytes_]:
        """The stored array, as a bundle keeps it."""
        return self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, one: str) -> bool:
        return self.index(one) >= 0

    def index(self, one: str) -> int:
        """Row number of an id, -1 when it is unknown."""
        key = _encode(one)
        if len(key) > self._width or b"\0" in key:
            return -1
        at = int(self._ids.searchsorted(np.array(key, self._ids.dtype)))
        return at if at < len(self._ids) and self._ids[at] == key else -1

    def indices(self, ids: Sequence[str] | NDArray[Any]) -> NDArray[np.int32]:
        """Row numbers of many ids (int32, same length), -1 where unknown."""
        keys = [_encode(one) for one in ids]
        if not keys or not len(self._ids):
            return np.full(len(keys), -1, np.int32)
        wanted = np.array(keys, self._ids.dtype)
        at = self._ids.searchsorted(wanted)
        at[at == len(self._ids)] = 0
        known = self._ids[at] == wanted
        if max(map(len, keys)) > self._width or b"\0" in b"".join(keys):
            # Some were cut to fit: what was cut is not what is stored.
            known &= np.fromiter((len(key) <= self._width and b"\0" not in key for key in keys), bool, len(keys))
        return np.where(known, at, -1).astype(np.int32)

    def id(self, row: int) -> str:
        """The id of a row number. Raises IndexError outside 0 to n - 1."""
        if row < 0:
            raise IndexError(row)
        value: bytes = self._ids[row]
        return value.decode()

    def ids(self, rows: NDArray[np.integer[Any]]) -> list[str]:
        """The ids of many row numbers, in their order."""
        return [value.decode() for value in self._ids.take(rows).tolist()]


def _encode(one: Any) -> bytes:
    """UTF-8 of an id. A lone surrogate, which no stored id can hold, becomes bytes that no stored id can equal."""
    return one if isinstance(one, bytes) else one.encode("utf-8", "surrogatepass")
