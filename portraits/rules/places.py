"""Where in a JSON text a path is: only asked when there is an error to report."""

from __future__ import annotations

import re
from json.decoder import JSONDecoder

_GAP = re.compile(r"[ \t\n\r,:]*")
_DECODER = JSONDecoder()


def line_of(text: str, path: str) -> int:
    """Line (from 1) on which the value at `path` ('/and/1/value') begins, or the innermost value around it that is
    there. `text` is valid JSON."""
    at = _skip(text, 0)
    for step in path.split("/")[1:]:
        inner = _child(text, at, step)
        if inner is None:
            break
        at = inner
    return text.count("\n", 0, at) + 1


def _child(text: str, at: int, step: str) -> int | None:
    """Where the entry `step` of the object or list that begins at `at` begins; None without one."""
    opening = text[at]
    if opening not in "{[":
        return None
    at = _skip(text, at + 1)
    place = 0
    while text[at] not in "}]":
        name = str(place)
        if opening == "{":
            name, at = _DECODER.raw_decode(text, at)
            at = _skip(text, at)
        if name == step:
            return at
        at = _skip(text, _DECODER.raw_decode(text, at)[1])
        place += 1
    return None


def _skip(text: str, at: int) -> int:
    gap = _GAP.match(text, at)
    return gap.end() if gap else at
