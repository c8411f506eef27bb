"""A checked row of the contract as the store keeps it: JSON text without empty columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any


def as_text(row: Mapping[str, Any]) -> str:
    """Columns in the contract's order, times as RFC 3339, decimals as text."""
    given = {name: value for name, value in row.items() if value is not None}
    return _ENCODER.encode(given)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain)
