"""A type of an answer as JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest

from serving.shapes import components, reference


class Inner(TypedDict):
    """What is
    inside."""

    at: Annotated[str, "date-time"] | None


class Outer(TypedDict):
    """Of every kind."""

    name: str
    kind: Literal["a", "b"]
    share: NotRequired[float]
    inside: list[Inner]
    counts: dict[str, int]
    anything: dict[str, Any]


class Odd(TypedDict):
    """Not JSON."""

    raw: bytes


def test_a_type_and_all_that_it_holds_become_components() -> None:
    made = components(Outer)
    assert made["Inner"] == {
        "type": "object",
        "description": "What is inside.",
        "required": ["at"],
        "properties": {"at": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}},
    }
    assert made["Outer"]["required"] == ["name", "kind", "inside", "counts", "anything"]
    assert made["Outer"]["properties"] == {
        "name": {"type": "string"},
        "kind": {"type": "string", "enum": ["a", "b"]},
        "share": {"type": "number"},
        "inside": {"type": "array", "items": reference(Inner)},
        "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
        "anything": {"type": "object", "additionalProperties": {}},
    }


def test_a_type_that_json_does_not_have() -> None:
    with pytest.raises(TypeError, match="bytes"):
        components(Odd)
