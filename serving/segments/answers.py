"""What the calls of `/v1/segments` answer, as JSON Schema for the OpenAPI document."""

from __future__ import annotations

from typing import Any

_COUNT = {"type": "integer"}
_SHARE = {"type": ["number", "null"]}
_WORD = {"type": "string"}
_OF_PORTRAITS = {"version": {"type": ["string", "null"]}, "as_of": {"type": ["string", "null"], "format": "date-time"}}


def _rows_of(**columns: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "object", "properties": columns}}


_DEFINED = {"name": _WORD, "version": _COUNT, "title": _WORD, "rule": {"type": "object"}, "words": _WORD}
_PART = {"type": ["integer", "null"]}
SEGMENT_ANSWERS: dict[str, dict[str, Any]] = {
    "/segments": _DEFINED | {"created": {"type": "string", "format": "date-time"}},
    "/segments/list": _OF_PORTRAITS
    | {
        "segments": _rows_of(
            **_DEFINED, ready_made={"type": "boolean"}, members=_PART, problem={"type": ["string", "null"]}
        )
    },
    "/segments/delete": {"name": _WORD, "deleted": {"type": "boolean"}},
    "/segments/preview": _OF_PORTRAITS
    | {
        "total": _COUNT,
        "base": _COUNT,
        "words": _WORD,
        "lines": _rows_of(
            number=_COUNT, path=_WORD, depth=_COUNT, parent=_COUNT, own=_COUNT, adds=_PART, leaves=_PART, words=_WORD
        ),
    },
    "/segments/match": _OF_PORTRAITS
    | {
        "user_id": _WORD,
        "at": {"type": "string", "format": "date-time"},
        "consent": {"type": "boolean"},
        "rule": {"type": "boolean"},
        "segments": {"type": "object", "additionalProperties": {"type": "boolean"}},
    },
    "/segments/compare": _OF_PORTRAITS
    | dict.fromkeys(("one", "other", "both", "base"), _COUNT)
    | dict.fromkeys(("jaccard", "share_of_one", "share_of_other", "lift"), _SHARE),
    "/segments/profile": _OF_PORTRAITS
    | {
        "members": _COUNT,
        "base": _COUNT,
        "too_small": {"type": "boolean"},
        "suppressed": {"type": "object", "additionalProperties": _COUNT},
        "cells": _rows_of(
            field=_WORD,
            value={"type": ["string", "null"]},
            members=_COUNT,
            share={"type": "number"},
            base_share={"type": "number"},
            tgi=_SHARE,
            p=_SHARE,
            q=_SHARE,
        ),
    },
}
