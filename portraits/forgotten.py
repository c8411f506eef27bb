"""Who was forgotten: known by a keyed hash alone, so that what comes again is refused and nobody can be read off.

Plain Python: the online store imports this module. `portraits.erasing` takes a visitor out of the lake.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from portraits.identity import KINDS

REASON = "forgotten: this visitor was deleted, nothing of them is stored again"
REFERRER = "referrer_user_id"
ID_COLUMNS = (*KINDS, REFERRER)
"""Columns of a record that hold a visitor's id and nothing else."""
NAMES_OTHERS = "brought_by"
"""The one field of a portrait that names another visitor."""
SOMEBODY = "somebody"
"""What a visitor is told in place of another visitor's id."""
FREE_TEXT = ("query", "page", "properties")
"""Columns of an event in which one visitor may write of another."""

_ID = re.compile(rf'"({"|".join(ID_COLUMNS)})"\s*:\s*("(?:[^"\\]|\\.)*"|-?[0-9]+)')
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_CODE = re.compile(r"%[0-9A-F]{2}")
_AROUND = re.compile(r"([/?&=#])")


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


def refused_ids(column: str, value: str, row: str, columns: Collection[str] = ID_COLUMNS) -> set[str]:
    """Whom a refused row names in one of `columns`, as it is kept: `row` is the start of its text, `value` what
    `column` held.

    In JSON, cut off or whole, ids are what stands in columns of ids. Where there is no such column (a line of CSV, or
    columns by other names) every value may be one, but no part of a value.
    """
    named = {value} - {""} if column in columns else set()
    found = _ID.findall(row)
    if found:
        return named | {_unquoted(text) for name, text in found if name in columns}
    try:
        told = json.loads(row)
    except ValueError:
        return named | _fields(row)
    if isinstance(told, str):
        return named | refused_ids("", "", told, columns)
    return named | {str(one) for one in _values(told) if isinstance(one, str | int)}


def mentions(column: str, text: str) -> set[str]:
    """What in a free text of an event may be a visitor's id: the text as a whole; in `page`, and in every text of
    `properties`, also what stands alone between the marks of a URL. Never a word of a sentence, never a number."""
    if column == "query":
        return {text}
    if column == "page":
        return _url_parts(text)
    try:
        told = json.loads(text)
    except ValueError:
        return _url_parts(text)
    return {part for one in _values(told, keys=True) if isinstance(one, str) for part in _url_parts(one)}


def without_ids(column: str, text: str, gone: Collection[str]) -> str | None:
    """A free text without those who are `gone`: what is one of them is null (None; '-' for a key and in a URL). What
    names nobody comes back as it is."""
    if mentions(column, text).isdisjoint(gone):
        return text
    if column == "properties":
        try:
            return json.dumps(_without(json.loads(text), gone), ensure_ascii=False)
        except ValueError:
            pass
    return _without(text, gone)  # type: ignore[no-any-return]  # a text stays one, or goes


def spellings(one: str) -> set[str]:
    """How an id may be written in the text of an event or of its row: for a first look, before the text is parsed."""
    coded = {quote(one), quote(one, safe=""), quote_plus(one)}
    forms = {one} | coded | {_CODE.sub(lambda found: found[0].lower(), form) for form in coded}
    for _ in range(2):  # properties are JSON within a row of JSON
        forms |= {json.dumps(form, ensure_ascii=ascii_)[1:-1] for form in forms for ascii_ in (False, True)}
    return forms


def _without(told: Any, gone: Collection[str]) -> Any:
    if isinstance(told, dict):
        return {("-" if name in gone else name): _without(value, gone) for name, value in told.items()}
    if isinstance(told, list):
        return [_without(one, gone) for one in told]
    if not isinstance(told, str):
        return told
    if told in gone:
        return None
    return "".join("-" if _decoded(part) & set(gone) else part for part in _AROUND.split(told))


def _url_parts(text: str) -> set[str]:
    return {text}.union(*map(_decoded, _AROUND.split(text)))


def _decoded(part: str) -> set[str]:
    return {part, unquote(part), unquote_plus(part)} if "%" in part or "+" in part else {part}


def _values(told: Any, *, keys: bool = False) -> Iterator[Any]:
    """Every value, however deep it lies."""
    if isinstance(told, dict):
        if keys:
            yield from told
        told = list(told.values())
    if isinstance(told, list):
        for one in told:
            yield from _values(one, keys=keys)
    else:
        yield told


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        return text[1:-1]


def _fields(line: str) -> set[str]:
    """Of a line of CSV, or of JSON that was cut off."""
    strings = {_unquoted(text) for text in _STRING.findall(line)}
    try:
        return strings.union(*csv.reader(line.splitlines()))
    except csv.Error:
        return strings.union(line.split(","))


def mark(salt: str, value: str) -> str:
    """What is kept of a forgotten id: BLAKE2b keyed with the app's salt, so that no list of ids can be tried on it."""
    digest = hashlib.blake2b(value.encode(errors="replace"), digest_size=16, key=salt.encode(), person=b"forgotten")
    return digest.hexdigest()
