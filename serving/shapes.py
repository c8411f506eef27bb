"""JSON Schema of an answer's type: a TypedDict becomes a component, its docstring the description."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

Schema = dict[str, Any]
_PLAIN: Mapping[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
    Any: "",
}


def reference(shape: type) -> Schema:
    """Refers to a component."""
    return {"$ref": f"#/components/schemas/{shape.__name__}"}


def components(*shapes: type) -> dict[str, Schema]:
    """The schemas of these TypedDicts and of all that they hold, by name. An answer is open: it may get more fields.

    Raises TypeError for a type that JSON does not have.
    """
    found: dict[str, Schema] = {}
    waiting = list(shapes)
    while waiting:
        shape = waiting.pop()
        if shape.__name__ in found:
            continue
        hints = get_type_hints(shape, include_extras=True)
        found[shape.__name__] = {
            "type": "object",
            "description": " ".join((shape.__doc__ or "").split()),
            "required": [name for name, hint in hints.items() if get_origin(hint) is not NotRequired],
            "properties": {name: _schema(hint, waiting) for name, hint in hints.items()},
        }
    return dict(sorted(found.items()))


def _schema(hint: Any, waiting: list[type]) -> Schema:
    if is_typeddict(hint):
        waiting.append(hint)
        return reference(hint)
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]} if _PLAIN[hint] else {}
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"type": "string", "enum": list(inside)}
    if origin not in _HOLDS:
        raise TypeError(f"{hint!r} is not a type of JSON")
    return _HOLDS[origin]([_schema(one, waiting) for one in inside if not isinstance(one, str)], inside)


def _either(schemas: list[Schema], _: tuple[Any, ...]) -> Schema:
    return {"anyOf": schemas}


_HOLDS: Mapping[Any, Callable[[list[Schema], tuple[Any, ...]], Schema]] = {
    NotRequired: lambda inside, _: inside[0],
    Annotated: lambda inside, told: inside[0] | {"format": told[1]},
    list: lambda inside, _: {"type": "array", "items": inside[0]},
    dict: lambda inside, _: {"type": "object", "additionalProperties": inside[1]},
    Union: _either,
    types.UnionType: _either,
}
