"""JSON of requests and answers.

msgspec reads and writes five to ten times as fast as the standard library, whose ways are kept where the two differ: a
text that is no valid Unicode is read (and then refused by the field that holds it), and written escaped.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from portraits.errors import InvalidValue

_DECODER = msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder()


def parse(body: bytes) -> dict[str, Any]:
    """The object that a body holds. Raises InvalidValue for anything else."""
    try:
        value = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = _parse_leniently(body)
    if not isinstance(value, dict):
        raise InvalidValue("body", value, "a JSON object")
    return value


def encode(value: Any) -> bytes:
    """The JSON of an answer: keys as they stand, no spaces, not-a-number as null."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def _parse_leniently(body: bytes) -> Any:
    try:
        # As text: the standard library would guess at the encoding of bytes. Lone surrogates are left to the fields.
        return json.loads(body.decode("utf-8-sig", "surrogatepass"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InvalidValue("body", body[:80].decode("utf-8", "replace"), "a JSON object") from None


def _no_constant(name: str) -> float:
    raise ValueError(name)
