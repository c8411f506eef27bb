"""What visitors declared of themselves (`attributes` of the users catalogue, and the member tier) as numbers.

Numbers, yes or no, and words where there are few; lists are left out, and words of which there are many. float32, nan
for unknown. How words become numbers is learnt once (`Encoding`) from the catalogue true at a moment: up to
MOST_COLUMNS words get a column each (0 or 1; two words one column), more, up to MOST_WORDS, their place in the order of
the first number in them, then of the text ("19-24", "25-34", ...). A text that is a number is one. Same catalogue, same
columns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from ibis.backends import BaseBackend

from portraits.engine import connect
from portraits.people import Persons
from portraits.snapshot import Snapshot

Float32 = npt.NDArray[np.float32]

MOST_COLUMNS = 6
MOST_WORDS = 50
MOST_ATTRIBUTES = 60
TIER = "member_tier"


@dataclass(frozen=True)
class Encoding:
    """How what is known becomes columns. words: of the member tier and of each attribute that is a word, in their
    order; numbers: attributes that are numbers."""

    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return (*self.numbers, *(name for key, words in self.words.items() for name in _columns(key, words)))


@dataclass(frozen=True)
class Declared:
    """What visitors declared, as numbers. users: sorted; X: float32 [users, declared columns]."""

    users: pa.Array
    X: Float32
    encoding: Encoding

    @classmethod
    def read(cls, users: pa.Table) -> Declared:
        """From rows of the users catalogue (user_id, attributes, member_tier)."""
        users = users.sort_by("user_id").combine_chunks()
        texts = _attributes(users["attributes"]) | {TIER: users[TIER].combine_chunks()}
        numbers: dict[str, Float32] = {}
        words: dict[str, tuple[str, ...]] = {}
        coded: dict[str, Float32] = {}
        for name, column in texts.items():
            known = column.dictionary_encode()
            places = known.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            told = known.dictionary.to_pylist()
            values = _as_numbers(told)
            if name != TIER and values is not None:
                numbers[name] = np.append(values, np.nan).astype(np.float32)[places]
            elif 1 < len(told) <= MOST_WORDS:
                words[name] = tuple(sorted(told, key=_by_number))
                coded[name] = _coded(words[name], told, places)
        encoding = Encoding(words, tuple(numbers))
        columns = [*(one[:, None] for one in numbers.values()), *coded.values()]
        X = np.hstack(columns) if columns else np.empty((len(users), 0), np.float32)
        return cls(users["user_id"].combine_chunks(), X.astype(np.float32), encoding)

    def of(self, user_ids: pa.Array) -> Float32:
        """float32 [user_ids, declared columns]; nan for who declared nothing."""
        at = pc.index_in(user_ids, self.users).fill_null(-1).to_numpy(zero_copy_only=False)
        X: Float32 = np.vstack([self.X, np.full((1, self.X.shape[1]), np.nan, np.float32)])[at]
        return X


def declared(snapshot: Snapshot, as_of: datetime, con: BaseBackend) -> Declared:
    """What visitors who do not refuse had declared as of a moment, under the ids of their persons."""
    users = Persons(snapshot, con, as_of).users(snapshot.catalogue(con, "users", as_of))
    users = users.filter(users.consent.fill_null(True))
    return Declared.read(users.select("user_id", "attributes", TIER).to_pyarrow())


def _attributes(texts: pa.ChunkedArray) -> dict[str, pa.Array]:
    """Each key of JSON objects as a column of texts, null where an object has none, or no plain value."""
    con = connect()
    con.con.register("told", pa.table({"n": np.arange(len(texts)), "text": texts}))
    keys = con.con.execute(
        "SELECT key, count(*) AS n FROM (SELECT unnest(json_keys(text)) AS key FROM told "
        "WHERE text IS NOT NULL AND json_type(text) = 'OBJECT') GROUP BY key ORDER BY n DESC, key LIMIT ?",
        [MOST_ATTRIBUTES],
    ).fetchall()
    names = sorted(key for key, _ in keys if key != TIER)
    paths = ['$."' + name.replace('"', '\\"') + '"' for name in names]
    if not names:
        return {}
    lists = con.con.execute(
        "SELECT json_extract_string(text, ?) AS told FROM told ORDER BY n", [paths]
    ).fetch_arrow_table()["told"]
    con.disconnect()
    flat = pc.list_flatten(pc.if_else(pc.is_valid(lists), lists, pa.scalar([None] * len(names), lists.type)))
    flat = pc.if_else(pc.match_substring_regex(flat, r"^\s*([\[{]|$)"), pa.scalar(None, pa.string()), flat)
    each = flat.combine_chunks() if isinstance(flat, pa.ChunkedArray) else flat
    rows = np.arange(len(texts)) * len(names)
    return {name: each.take(pa.array(rows + place)) for place, name in enumerate(names)}


def _as_numbers(words: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """Texts as numbers (true is 1, false 0), None where one is none."""
    if not words:
        return None
    try:
        found = np.array([_TRUTH[word] if word in _TRUTH else float(word) for word in words])
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None


_TRUTH = {"true": 1.0, "false": 0.0}


def _by_number(word: str) -> tuple[float, str]:
    found = re.search(r"\d+(\.\d+)?", word)
    return (float(found.group()) if found else inf, word)


def _columns(key: str, words: Sequence[str]) -> list[str]:
    if len(words) > MOST_COLUMNS:
        return [key]
    return [f"{key}={word}" for word in (words[1:] if len(words) == 2 else words)]


def _coded(words: Sequence[str], told: Sequence[str], places: npt.NDArray[Any]) -> Float32:
    """float32 [places, columns] of words by their places in `told`, -1 for none."""
    code = np.append([words.index(word) for word in told], -1)[places]
    if len(words) > MOST_COLUMNS:
        return np.where(code < 0, np.nan, code).astype(np.float32)[:, None]
    wanted = np.arange(1 if len(words) == 2 else 0, len(words))
    return np.where(code[:, None] < 0, np.nan, code[:, None] == wanted).astype(np.float32)


NOBODY = pa.table({name: pa.array([], pa.string()) for name in ("user_id", "attributes", TIER)})
"""No rows of the users catalogue."""
