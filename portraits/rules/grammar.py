"""The grammar of a marketer's rule: JSON in, a `Rule` out, or an error that says where, what and what is allowed.

    {"and": [
        {"field": "stage", "op": "in", "value": ["slipping", "asleep"]},
        {"did": {"type": "purchase", "category": "food > tea"}, "times": {"op": ">=", "value": 2}, "within_days": 90},
        {"not": {"did": {"type": "message_open"}, "within_days": 7}}]}

The grammar is closed: what it does not name is refused, so a rule is data that nothing ever runs. It is bounded in
depth, conditions, values and text, also where it refers to other segments. Names of fields come from the portraits
that it will be asked of. A text value is compared and never interpreted.

Plain Python: serving parses rules on its request path.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from portraits.errors import InvalidRule
from portraits.field import Field
from portraits.rules import values
from portraits.rules.nodes import (
    WHAT_KEYS,
    And,
    Compare,
    Condition,
    Did,
    First,
    Node,
    Not,
    Or,
    Rule,
    Segment,
    Sequence,
    Tagged,
    What,
)
from portraits.rules.places import line_of

DEPTH = 8
CONDITIONS = 200
TEXT_BYTES = 65_536
WINDOW_DAYS = 180
"""Longest window of behaviour: what the night publishes of each visitor's days."""
STEPS = (2, 5)
MOST_TIMES = 1_000_000
MOST_MONEY = 10**15

FORMS: Mapping[str, tuple[str, ...]] = {
    "and": (),
    "or": (),
    "not": (),
    "segment": (),
    "field": ("op", "value"),
    "tag": ("in", "weight", "confidence", "events"),
    "did": ("times", "amount", "days", "within_days"),
    "first": ("within_days",),
    "sequence": ("within_days", "gap_days"),
}
"""The key that tells what a node is, and what may stand beside it."""
MEASURES: Mapping[str, int] = {"times": MOST_TIMES, "amount": MOST_MONEY, "days": WINDOW_DAYS}


def parse_text(text: str, fields: Mapping[str, Field], segments: Mapping[str, Any] | None = None) -> Rule:
    """`parse` of JSON text. Errors also say the line. Raises InvalidRule."""
    if len(text) > TEXT_BYTES or len(text.encode("utf-8", "replace")) > TEXT_BYTES:
        raise InvalidRule("", f"{len(text)} characters of text", f"at most {TEXT_BYTES} bytes")
    try:
        told = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_twins)
    except json.JSONDecodeError as error:
        raise InvalidRule("", text[error.pos : error.pos + 20], f"JSON ({error.msg})", line=error.lineno) from None
    except RecursionError:
        raise InvalidRule("", text[:20], f"a rule at most {DEPTH} levels deep") from None
    except ValueError as error:
        raise InvalidRule("", text[:20], f"JSON ({error})") from None
    try:
        return parse(told, fields, segments)
    except InvalidRule as error:
        if error.segment is not None:
            raise
        raise InvalidRule(error.path, error.value, error.expected, line=line_of(text, error.path)) from None


def parse(rule: Any, fields: Mapping[str, Field], segments: Mapping[str, Any] | None = None) -> Rule:
    """A rule (JSON as Python holds it) over portrait `fields` and other `segments` (name -> their rule as JSON).

    Raises InvalidRule with the JSON path of the first thing wrong.
    """
    return Rule(_Parser(fields, segments or {}).definition(rule))


class _Parser:
    """One rule being read. `_known` holds segments already inlined: their node, depth and number of conditions."""

    def __init__(self, fields: Mapping[str, Field], segments: Mapping[str, Any]) -> None:
        self._fields = fields
        self._segments = segments
        self._known: dict[str, tuple[Node, int, int]] = {}
        self._open: list[str] = []
        self._conditions = 0
        self._deepest = 0
        self._budget = values.Budget(TEXT_BYTES)

    def definition(self, told: Any) -> Node:
        return self._node(told, "", 1)

    # -- groups ------------------------------------------------------------------------------------------------

    def _node(self, told: Any, path: str, depth: int) -> Node:
        if depth > DEPTH:
            raise InvalidRule(path, "one more level", f"a rule at most {DEPTH} levels deep, other segments included")
        self._deepest = max(self._deepest, depth)
        form = self._form(told, path)
        if form in ("and", "or"):
            parts = values.a_list(told[form], f"{path}/{form}", CONDITIONS, "conditions")
            read = tuple(self._node(part, f"{path}/{form}/{n}", depth + 1) for n, part in enumerate(parts))
            return And(read) if form == "and" else Or(read)
        if form == "not":
            return Not(self._node(told["not"], f"{path}/not", depth + 1))
        if form == "segment":
            return self._segment(told["segment"], f"{path}/segment", depth)
        self._count(1, path)
        return self._condition(form, told, path)

    def _condition(self, form: str, told: dict[str, Any], path: str) -> Condition:
        readers: Mapping[str, Callable[[dict[str, Any], str], Condition]] = {
            "field": self._compare,
            "tag": self._tagged,
            "did": self._did,
            "first": self._first,
            "sequence": self._sequence,
        }
        return readers[form](told, path)

    def _form(self, told: Any, path: str) -> str:
        """Which node `told` is. Every key must belong to it."""
        if not isinstance(told, dict):
            raise InvalidRule(path, told, 'an object such as {"field": ..., "op": ..., "value": ...}')
        forms = [form for form in FORMS if form in told]
        if len(forms) != 1:
            raise InvalidRule(path, _keys(told), f"exactly one of {', '.join(FORMS)}")
        _only(told, (forms[0], *FORMS[forms[0]]), path)
        return forms[0]

    def _count(self, conditions: int, path: str) -> None:
        self._conditions += conditions
        if self._conditions > CONDITIONS:
            raise InvalidRule(path, "one more condition", f"at most {CONDITIONS}, those of other segments included")

    def _segment(self, name: Any, path: str, depth: int) -> Node:
        if not isinstance(name, str) or name not in self._segments:
            close = get_close_matches(name, self._segments, 3) if isinstance(name, str) else []
            raise InvalidRule(path, name, "the name of a saved segment" + _perhaps(close))
        if name in self._open:
            raise InvalidRule(path, name, f"a segment that does not lead back to itself ({' -> '.join(self._open)})")
        if name not in self._known:
            self._known[name] = self._inlined(name, depth)
        else:
            self._count(self._known[name][2], path)
        node, height, _ = self._known[name]
        if depth + height > DEPTH:
            raise InvalidRule(path, name, f"a rule at most {DEPTH} levels deep, other segments included")
        return Segment(name, node)

    def _inlined(self, name: str, depth: int) -> tuple[Node, int, int]:
        before, deepest = self._conditions, self._deepest
        budget, self._budget = self._budget, values.Budget(TEXT_BYTES)
        self._open.append(name)
        self._deepest = depth
        try:
            node = self._node(self._segments[name], "", depth + 1)
        except InvalidRule as error:
            inner = error.segment or name
            raise InvalidRule(error.path, error.value, error.expected, segment=inner) from None
        height = self._deepest - depth
        self._open.pop()
        self._deepest, self._budget = max(deepest, self._deepest), budget
        return node, height, self._conditions - before

    # -- conditions --------------------------------------------------------------------------------------------

    def _field(self, name: Any, path: str) -> Field:
        if not isinstance(name, str) or name not in self._fields:
            close = get_close_matches(name[:100], self._fields, 3) if isinstance(name, str) else []
            raise InvalidRule(path, name, "a field of the portrait" + _perhaps(close))
        return self._fields[name]

    def _compare(self, told: dict[str, Any], path: str) -> Compare:
        field = self._field(told["field"], f"{path}/field")
        kind = values.kind_of(field)
        allowed = values.OPS[kind]
        op = values.one_of(told.get("op"), f"{path}/op", allowed, f" for {field.name} ({kind})")
        if op in values.WITHOUT_VALUE:
            _only(told, ("field", "op"), path)
            return Compare(field, kind, op)
        _needs(told, "value", path)
        return Compare(field, kind, op, values.operand(field, op, told["value"], f"{path}/value", self._budget))

    def _tagged(self, told: dict[str, Any], path: str) -> Tagged:
        _needs(told, "in", path)
        field = self._field(told["in"], f"{path}/in")
        entry = values.evidence_of(field)
        if "tag" not in entry:
            evident = [name for name, one in self._fields.items() if "tag" in values.evidence_of(one)]
            raise InvalidRule(f"{path}/in", field.name, f"a list of evidence with tags: {', '.join(evident)}")
        tag = values.text(told["tag"], f"{path}/tag", self._budget)
        least: dict[str, Any] = {}
        for key in ("weight", "confidence", "events"):
            if key in told and key not in entry:
                raise InvalidRule(f"{path}/{key}", told[key], f"nothing: entries of {field.name} have no {key}")
            if key in told:
                read = values.whole if key == "events" else values.number
                least[key] = read(told[key], f"{path}/{key}", 0, MOST_TIMES if key == "events" else 1)
        return Tagged(field, tag, **least)

    def _did(self, told: dict[str, Any], path: str) -> Did:
        what = self._what(told["did"], f"{path}/did")
        days = self._window(told, path) if "within_days" in told else None
        given = [measure for measure in MEASURES if measure in told]
        if len(given) > 1:
            raise InvalidRule(path, ", ".join(given), f"only one of {', '.join(MEASURES)}")
        if not given:
            return Did(what, within_days=days)
        measure = given[0]
        place = f"{path}/{measure}"
        asked = told[measure]
        if not isinstance(asked, dict):
            raise InvalidRule(place, asked, 'an object such as {"op": ">=", "value": 2}')
        _only(asked, ("op", "value"), place)
        op = values.one_of(asked.get("op"), f"{place}/op", values.MEASURE_OPS)
        _needs(asked, "value", place)
        value = values.whole_or_range(op, asked["value"], f"{place}/value", MEASURES[measure])
        if days is None and (measure, op, value) != ("times", ">=", 1):
            raise InvalidRule(place, asked, f"within_days (1 to {WINDOW_DAYS}) beside it; without one: at least once")
        return Did(what, measure, op, value, days)

    def _first(self, told: dict[str, Any], path: str) -> First:
        return First(self._what(told["first"], f"{path}/first"), self._window(told, path))

    def _sequence(self, told: dict[str, Any], path: str) -> Sequence:
        least, most = STEPS
        steps = values.a_list(told["sequence"], f"{path}/sequence", most, "steps", least)
        read = tuple(self._what(step, f"{path}/sequence/{n}") for n, step in enumerate(steps))
        gap = values.whole(told["gap_days"], f"{path}/gap_days", 1, WINDOW_DAYS) if "gap_days" in told else None
        return Sequence(read, self._window(told, path), gap)

    def _window(self, told: dict[str, Any], path: str) -> int:
        _needs(told, "within_days", path)
        return values.whole(told["within_days"], f"{path}/within_days", 1, WINDOW_DAYS)

    def _what(self, told: Any, path: str) -> What:
        if not isinstance(told, dict):
            raise InvalidRule(path, told, 'an object such as {"type": "purchase"}')
        _only(told, WHAT_KEYS, path)
        _needs(told, "type", path)
        given = {key: values.texts(told[key], f"{path}/{key}", self._budget) for key in WHAT_KEYS if key in told}
        for one in given.get("category", ()):
            values.category(one, f"{path}/category")
        return What(**given)


def _only(told: Mapping[Any, Any], allowed: tuple[str, ...], path: str) -> None:
    for key in told:
        if key not in allowed:
            raise InvalidRule(f"{path}/{str(key)[:40]}", key, f"only {', '.join(allowed)} here")


def _needs(told: Mapping[str, Any], key: str, path: str) -> None:
    if key not in told:
        raise InvalidRule(path, _keys(told), f"{key} beside it")


def _keys(told: Mapping[Any, Any]) -> str:
    return ", ".join(str(key)[:40] for key in list(told)[:8]) or "an empty object"


def _perhaps(close: list[str]) -> str:
    return f"; close to it: {', '.join(close)}" if close else ""


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told = dict(pairs)
    if len(told) < len(pairs):
        twin = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise ValueError(f"the key {twin[:40]!r} stands twice in one object")
    return told
