"""Small column tools: columns that begin as read-only views of a mapped file and become the process's own the moment
they are written, lists of codes, names, and membership."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.bundles.vocabulary import Vocabulary


def members(values: NDArray[np.integer[Any]], ascending: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Which of `values` are in `ascending` (sorted, not empty): bool, same length. A fifth of np.isin's time."""
    at = ascending.searchsorted(values)
    at[at == len(ascending)] = 0
    hit: NDArray[np.bool_] = ascending.take(at) == values
    return hit


class Column:
    """An array (rows first) that can be changed and extended; copied on the first write, grown by doubling."""

    __slots__ = ("_room", "_used", "values")

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values
        self._room: NDArray[Any] | None = None
        self._used = len(values)

    def __len__(self) -> int:
        return self._used

    def set(self, row: int, value: Any) -> None:
        """Put `value` into one row."""
        self._own(self._used)
        self.values[row] = value

    def extend(self, rows: NDArray[Any]) -> None:
        """Put `rows` at the end."""
        end = self._used + len(rows)
        room = self._own(end)
        room[self._used : end] = rows
        self._used = end
        self.values = room[:end]

    def _own(self, needed: int) -> NDArray[Any]:
        if self._room is None or len(self._room) < needed:
            room = np.empty((max(needed, 2 * self._used, 16), *self.values.shape[1:]), self.values.dtype)
            room[: self._used] = self.values
            self._room = room
            self.values = room[: self._used]
        return self._room


class Ragged:
    """Lists of codes, one a row, as compressed rows: row r holds `values[starts[r]:starts[r + 1]]`."""

    __slots__ = ("_starts", "_values")

    def __init__(self, starts: NDArray[np.int64], values: NDArray[np.int32]) -> None:
        self._starts = Column(starts)
        self._values = Column(values)

    def row(self, row: int) -> tuple[int, ...]:
        starts = self._starts.values
        return tuple(self._values.values[starts[row] : starts[row + 1]].tolist())

    def append(self, codes: Sequence[int]) -> None:
        """One more row."""
        self._values.extend(np.array(codes, np.int32))
        self._starts.extend(np.array([len(self._values)], np.int64))

    def any_of(self, rows: NDArray[Any], codes: Sequence[int], empty: bool) -> NDArray[np.bool_]:
        """For each row: does it hold one of `codes`? `empty` answers for rows that hold nothing."""
        starts = self._starts.values
        first, lengths = starts[rows], starts[rows + 1] - starts[rows]
        hit: NDArray[np.bool_] = (lengths == 0) & empty
        total = int(lengths.sum())
        if not total:
            return hit
        owner = np.repeat(np.arange(len(rows)), lengths)
        before = np.cumsum(lengths) - lengths
        values = self._values.values[np.arange(total) + (first - before)[owner]]
        matches = np.zeros(total, bool)
        for code in codes:
            matches |= values == code
        hit[owner[matches]] = True
        return hit


FEW = 16
"""Names up to which one by one is faster than all at once."""
MOST_SEEN = 50_000
"""Names whose code is remembered: what visitors touch by day are few items again and again."""


class Names:
    """Names <-> codes: a frozen vocabulary, and after its last code the names learnt since."""

    __slots__ = ("_base", "_codes", "_first", "_later", "_seen")

    def __init__(self, base: Vocabulary) -> None:
        self._base = base
        self._first = len(base)
        self._codes: dict[str, int] = {}
        self._later: list[str] = []
        self._seen: dict[str, int] = {}

    def __len__(self) -> int:
        return self._first + len(self._later)

    def code(self, name: str) -> int:
        """Code of a name, -1 when it is unknown."""
        code = self._seen.get(name)
        if code is None:
            code = self._codes.get(name, -1)
            code = code if code >= 0 else self._base.index(name)
            if code >= 0:  # what is unknown may be learnt yet
                if len(self._seen) >= MOST_SEEN:
                    self._seen.clear()
                self._seen[name] = code
        return code

    def codes(self, names: Sequence[str]) -> list[int]:
        """Codes of many names, -1 where unknown."""
        if len(names) < FEW:
            return [self.code(name) for name in names]
        found: list[int] = self._base.indices(names).tolist()
        if self._codes:
            found = [code if code >= 0 else self._codes.get(name, -1) for code, name in zip(found, names, strict=True)]
        return found

    def add(self, name: str) -> int:
        """Code of a name, which is learnt if it is new."""
        code = self.code(name)
        if code < 0:
            code = self._codes[name] = len(self)
            self._later.append(name)
        return code

    def name(self, code: int) -> str:
        """The name of a code."""
        return self._base.id(code) if code < self._first else self._later[code - self._first]

    def names(self, codes: NDArray[np.integer[Any]]) -> list[str]:
        """The names of many codes."""
        if self._later and len(codes) and codes.max() >= self._first:
            return [self.name(code) for code in codes.tolist()]
        return self._base.ids(codes)
