"""Whom a stored row names: a row of a catalogue by its ids, an event by who brought it about or in free text."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from portraits.forgotten import FREE_TEXT, REFERRER, without_ids
from portraits.identity import KINDS, USER

NAMED: Mapping[str, tuple[str, ...]] = {"users": (USER,), "identities": KINDS}
"""Columns of the catalogues whose rows are a visitor's."""
REFERRED = f'"{REFERRER}":"'
"""What the payload of an event holds that somebody brought about (`rows.as_text` writes no spaces)."""


def ids_in(name: str, row: Mapping[str, Any]) -> set[str]:
    """The visitors' ids that a row of a catalogue names."""
    return {str(row[column]) for column in NAMED.get(name, ()) if row.get(column) is not None}


def without_referrer(payload: str, gone: Collection[str]) -> str:
    """An event's text without who brought it about, if that is one of `gone`."""
    if REFERRED not in payload:
        return payload
    row = json.loads(payload)
    if row.get(REFERRER) not in gone:
        return payload
    del row[REFERRER]
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def without_mentions(payload: str, gone: Collection[str]) -> str:
    """An event's text without who brought it about, if that is one of `gone`, and what is their id in free text."""
    row = json.loads(payload)
    kept = {name: value for name, value in row.items() if name != REFERRER or value not in gone}
    for name in FREE_TEXT:
        if isinstance(kept.get(name), str):
            kept[name] = without_ids(name, kept[name], gone)
    kept = {name: value for name, value in kept.items() if value is not None}
    return payload if kept == row else json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
