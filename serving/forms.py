"""What a request's body may hold: declared once, checked on each request and shown in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from portraits.errors import InvalidValue
from portraits.history import ID_LIMIT, INTEGER_LIMIT

TEXT_PATTERN = r"^[^\u0000]*$"
"""Any text but NUL, which no store keeps."""
FieldKind = Literal["string", "integer", "number", "boolean", "strings", "object", "rows"]
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "strings": list,
    "object": dict,
    "rows": list,
}
_WORDS: Mapping[str, str] = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "strings": "a list of strings",
    "object": "an object",
    "rows": "a list of objects",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its type, bounds (inclusive) and meaning. `most`: most entries of a list; `inside`: an object's form;
    `row`: the schema that a row's description refers to (its rows are checked by their own table, one by one)."""

    name: str
    kind: FieldKind
    meaning: str
    required: bool = False
    default: Any = None
    least: int | None = None
    greatest: int | None = None
    most: int = 500
    choices: tuple[str, ...] = ()
    inside: Form | None = None
    row: str = ""


class Form:
    """A closed set of fields: one that is not named is refused."""

    def __init__(self, *fields: Field) -> None:
        self.fields = fields
        self._by_name = {field.name: field for field in fields}
        self._required = tuple(field.name for field in fields if field.required)
        self._defaults = {
            field.name: field.inside.read({}) if field.inside is not None and not field.required else field.default
            for field in fields
        }

    def has(self, name: str) -> bool:
        """Whether there is such a field."""
        return name in self._by_name

    def read(self, body: Mapping[str, Any], path: str = "") -> dict[str, Any]:
        """The body with every field present. Null counts as absent. Raises InvalidValue naming the field."""
        values = dict(self._defaults)
        for name, value in body.items():
            field = self._by_name.get(name)
            if field is None:
                raise InvalidValue(f"{path}{name}"[:ID_LIMIT], value, f"one of the fields {', '.join(self._by_name)}")
            if value is not None:
                values[name] = _take(field, value, path + name)
        for name in self._required:
            if values[name] is None:
                raise InvalidValue(path + name, None, f"{_WORDS[self._by_name[name].kind]} (required)")
        return values


def _take(field: Field, value: Any, path: str) -> Any:
    if not isinstance(value, _TYPES[field.kind]) or (isinstance(value, bool) and field.kind != "boolean"):
        raise InvalidValue(path, value, _WORDS[field.kind])
    return _CHECKS[field.kind](field, value, path)


def _text(field: Field, value: Any, path: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= ID_LIMIT or "\x00" in value:
        raise InvalidValue(path, value, f"a string of 1 to {ID_LIMIT} characters")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidValue(path, ascii(value), "valid text") from None
    if field.choices and value not in field.choices:
        raise InvalidValue(path, value, f"one of {', '.join(field.choices)}")
    return value


def _bounded(field: Field, value: float, path: str) -> float:
    least = -INTEGER_LIMIT if field.least is None else field.least
    greatest = INTEGER_LIMIT if field.greatest is None else field.greatest
    if not least <= value <= greatest:
        raise InvalidValue(path, value, f"{_WORDS[field.kind]} from {least} to {greatest}")
    return value


def _list(field: Field, value: list[Any], path: str) -> list[Any]:
    if len(value) > field.most:
        raise InvalidValue(path, f"{len(value)} entries", f"at most {field.most} entries")
    return value


def _strings(field: Field, value: list[Any], path: str) -> tuple[str, ...]:
    return tuple(_text(field, entry, f"{path}[{place}]") for place, entry in enumerate(_list(field, value, path)))


def _object(field: Field, value: dict[str, Any], path: str) -> dict[str, Any]:
    return value if field.inside is None else field.inside.read(value, f"{path}.")


def _boolean(_field: Field, value: bool, _path: str) -> bool:
    return value


_CHECKS: Mapping[str, Callable[[Field, Any, str], Any]] = {
    "string": _text,
    "integer": _bounded,
    "number": _bounded,
    "boolean": _boolean,
    "strings": _strings,
    "object": _object,
    "rows": _list,
}


def schema_of(form: Form) -> dict[str, Any]:
    """The form as JSON Schema, as OpenAPI 3.1 wants it."""
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {field.name: _schema_of_field(field) for field in form.fields},
    }
    required = [field.name for field in form.fields if field.required]
    return schema | ({"required": required} if required else {})


def nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a value that may also be null."""
    return {"anyOf": [*schema.get("anyOf", [schema]), {"type": "null"}]}


def _schema_of_field(field: Field) -> dict[str, Any]:
    schema = _of_kind(field) if field.required else nullable(_of_kind(field))
    if field.default is not None:
        schema["default"] = list(field.default) if isinstance(field.default, tuple) else field.default
    return schema | {"description": field.meaning}


def _of_kind(field: Field) -> dict[str, Any]:
    text: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": ID_LIMIT, "pattern": TEXT_PATTERN}
    match field.kind:
        case "string":
            return {"type": "string", "enum": list(field.choices)} if field.choices else text
        case "strings":
            return {"type": "array", "items": text, "maxItems": field.most}
        case "rows":
            row = {"$ref": f"#/components/schemas/{row_name(field.row)}"}
            return {"type": "array", "items": row, "maxItems": field.most}
        case "object":
            return {"type": "object"} if field.inside is None else schema_of(field.inside)
        case "boolean":
            return {"type": "boolean"}
    least = -INTEGER_LIMIT if field.least is None else field.least
    greatest = INTEGER_LIMIT if field.greatest is None else field.greatest
    return {"type": field.kind, "minimum": least, "maximum": greatest}


def row_name(table: str) -> str:
    """What the schema of a table's row is called: items -> ItemsRow."""
    return f"{table.title()}Row"
