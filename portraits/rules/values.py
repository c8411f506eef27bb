"""Values in a rule: what each kind of field may be compared with and how, and the checks of single values.

Every check returns the value as the rule keeps it or raises InvalidRule with the value's path.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from portraits.checking import encodes
from portraits.errors import InvalidRule
from portraits.field import Field
from portraits.history import CATEGORY_SEPARATOR, INTEGER_LIMIT, TEXT_LIMIT

LIST_LIMIT = 1_000
FIELD_DAYS = 3_650
"""Longest window of a date in a portrait."""
LEVELS = 4
"""Levels of a category path that are kept of each item, from the root."""

WITHOUT_VALUE = ("known", "unknown")
OF_DAYS = ("within_days", "before_days", "next_days")
_ORDER = ("=", "!=", "<", "<=", ">", ">=")
_DATES = (*_ORDER, "between", *WITHOUT_VALUE, *OF_DAYS)
OPS: Mapping[str, tuple[str, ...]] = {
    "integer": (*_ORDER, "in", "not_in", "between", *WITHOUT_VALUE),
    "number": (*_ORDER, "in", "not_in", "between", *WITHOUT_VALUE),
    "text": ("=", "!=", "in", "not_in", "starts_with", *WITHOUT_VALUE),
    "boolean": ("=", "!=", *WITHOUT_VALUE),
    "date": _DATES,
    "moment": _DATES,
    "list": WITHOUT_VALUE,
}
"""Kind of a field -> what it may be asked."""
MEASURE_OPS = (*_ORDER, "between")

_LIST = re.compile(r"array<struct<(.*)>>")
_ENTRY = re.compile(r"(\w+): ")


class Budget:
    """How much text the values of one rule may still hold."""

    def __init__(self, characters: int) -> None:
        self._whole = self._left = characters

    def take(self, characters: int, path: str) -> None:
        """Raises InvalidRule when it is used up."""
        self._left -= characters
        if self._left < 0:
            raise InvalidRule(path, "more text", f"at most {self._whole} characters in all values of a rule")


def kind_of(field: Field) -> str:
    """The kind of a field's values: a key of `OPS`."""
    name = field.dtype.partition("(")[0].partition("<")[0]
    kinds = {"string": "text", "boolean": "boolean", "date": "date", "timestamp": "moment", "array": "list"}
    if name in kinds:
        return kinds[name]
    return "integer" if name.startswith(("int", "uint")) else "number"


def evidence_of(field: Field) -> tuple[str, ...]:
    """Names in the entries of a list of evidence; none for any other field."""
    entry = _LIST.fullmatch(field.dtype)
    return tuple(_ENTRY.findall(entry[1])) if entry else ()


def operand(field: Field, op: str, value: Any, path: str, budget: Budget) -> Any:
    """The value of a comparison, as `nodes.Compare` keeps it."""
    if op in OF_DAYS:
        return whole(value, path, 1, FIELD_DAYS)
    if op == "between":
        both = a_list(value, path, 2, "values: the least and the greatest", 2)
        low, high = (_single(field, one, f"{path}/{n}", budget) for n, one in enumerate(both))
        return _in_order(low, high, value, path)
    if op in ("in", "not_in"):
        several = a_list(value, path, LIST_LIMIT, "values")
        return tuple(_single(field, one, f"{path}/{n}", budget) for n, one in enumerate(several))
    if op == "starts_with":
        return text(value, path, budget)
    return _single(field, value, path, budget)


def whole_or_range(op: str, value: Any, path: str, most: int) -> Any:
    """The value of a measure: a whole number, two of them for between."""
    if op != "between":
        return whole(value, path, 0, most)
    both = a_list(value, path, 2, "values: the least and the greatest", 2)
    low, high = (whole(one, f"{path}/{n}", 0, most) for n, one in enumerate(both))
    return _in_order(low, high, value, path)


def one_of(value: Any, path: str, allowed: Iterable[str], where: str = "") -> str:
    """A word of a closed list."""
    allowed = tuple(allowed)
    if not isinstance(value, str) or value not in allowed:
        raise InvalidRule(path, value, f"one of {', '.join(allowed)}{where}")
    return value


def a_list(value: Any, path: str, most: int, of: str, least: int = 1) -> list[Any]:
    """A list of a bounded length."""
    if not isinstance(value, list):
        raise InvalidRule(path, value, f"a list of {of}")
    if not least <= len(value) <= most:
        number = str(most) if least == most else f"{least} to {most}"
        raise InvalidRule(path, f"{len(value)} entries", f"a list of {number} {of}")
    return value


def text(value: Any, path: str, budget: Budget) -> str:
    """A text as the history may hold it."""
    if not isinstance(value, str) or not value:
        raise InvalidRule(path, value, "a text, not empty")
    if len(value) > TEXT_LIMIT or "\x00" in value or not encodes(value):
        raise InvalidRule(path, value, f"valid text of at most {TEXT_LIMIT} characters")
    budget.take(len(value), path)
    return value


def texts(value: Any, path: str, budget: Budget) -> tuple[str, ...]:
    """A text or a list of them, in the given order, each once."""
    if not isinstance(value, list):
        return (text(value, path, budget),)
    several = a_list(value, path, LIST_LIMIT, "texts")
    return tuple(dict.fromkeys(text(one, f"{path}/{n}", budget) for n, one in enumerate(several)))


def category(path_text: str, path: str) -> None:
    """Raises InvalidRule for a category path deeper than items are known."""
    if path_text.count(CATEGORY_SEPARATOR) >= LEVELS:
        raise InvalidRule(path, path_text, f"at most {LEVELS} levels, as 'food{CATEGORY_SEPARATOR}tea'")


def whole(value: Any, path: str, least: int, most: int) -> int:
    """A whole number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidRule(path, value, f"a whole number from {least} to {most}")
    return value


def number(value: Any, path: str, least: float, most: float) -> float:
    """A finite number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise InvalidRule(path, value, f"a number from {least} to {most}")
    return float(value)


def _single(field: Field, value: Any, path: str, budget: Budget) -> Any:
    kind = kind_of(field)
    if kind == "integer":
        return whole(value, path, -INTEGER_LIMIT, INTEGER_LIMIT)
    if kind == "number":
        if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
            raise InvalidRule(path, value, f"a number, as {field.name} is one")
        return float(value)
    if kind == "boolean":
        if not isinstance(value, bool):
            raise InvalidRule(path, value, "true or false")
        return value
    if kind == "text":
        return one_of(value, path, field.values) if field.values else text(value, path, budget)
    return _date(value, path)


def _date(value: Any, path: str) -> str:
    if isinstance(value, str) and re.fullmatch(r"(19[7-9]|20\d|21\d)\d-[01]\d-[0-3]\d", value, re.ASCII):
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            pass
    raise InvalidRule(path, value, "a local date from 1970-01-01 to 2199-12-31, as '2025-11-20'")


def _in_order(low: Any, high: Any, value: Any, path: str) -> tuple[Any, Any]:
    if low > high:
        raise InvalidRule(path, value, "the least value first")
    return low, high


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
