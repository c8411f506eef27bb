"""Who was forgotten: known by a keyed hash alone, so that what comes again is refused and nobody can be read off.

Plain Python: the online store imports this module. `portraits.erasing` takes a visitor out of the lake.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable
from typing import Any

REASON = "forgotten: this visitor was deleted, nothing of them is stored again"

_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_BETWEEN = re.compile(r"[\s,;|\"'{}\[\]]+")


class Forgotten:
    """The forgotten ids of one app, as hashes keyed with the app's salt. Without arguments: nobody."""

    def __init__(self, salt: str = "", marks: Collection[str] = ()) -> None:
        self._salt = salt
        self._marks = frozenset(marks)

    def __bool__(self) -> bool:
        return bool(self._marks)

    def among(self, ids: Iterable[str | None]) -> set[str]:
        """Those of the ids that were forgotten."""
        if not self._marks:
            return set()
        return {one for one in ids if one is not None and mark(self._salt, one) in self._marks}

    def named_in(self, text: str) -> bool:
        """Whether a row's text (a line of CSV, JSON) names one of them; see `words`."""
        return bool(self._marks) and bool(self.among(words(text)))


FREE_TEXT = ("query", "page", "properties")
"""Columns of an event in which one visitor may write of another."""


def without_ids(text: str, gone: Collection[str]) -> str | None:
    """What somebody wrote without those who are `gone`: JSON with null for every value that names one (and '-' for a
    key), other text as a whole or not at all (None). What names nobody comes back as it is."""
    if words(text).isdisjoint(gone):
        return text
    try:
        told = json.loads(text)
    except ValueError:
        return None
    return json.dumps(_without(told, gone), ensure_ascii=False) if isinstance(told, dict | list) else None


def _without(told: Any, gone: Collection[str]) -> Any:
    if isinstance(told, dict):
        return {("-" if name in gone else name): _without(value, gone) for name, value in told.items()}
    if isinstance(told, list):
        return [_without(one, gone) for one in told]
    return told if words(str(told)).isdisjoint(gone) else None


def mark(salt: str, value: str) -> str:
    """What is kept of a forgotten id: BLAKE2b keyed with the app's salt, so that no list of ids can be tried on it."""
    digest = hashlib.blake2b(value.encode(errors="replace"), digest_size=16, key=salt.encode(), person=b"forgotten")
    return digest.hexdigest()


def words(text: str) -> set[str]:
    """What may be an id in a row's text: what stands between commas, quotes, brackets and spaces.

    An id that itself holds one of these is only found where nothing else stands in its text.
    """
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    return {part.strip(":") for part in _BETWEEN.split(plain)} | {plain}
