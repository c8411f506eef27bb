"""What a rule is made of: small frozen values, made by `grammar.parse` and read by everything else.

A rule is a tree: groups (`And`, `Or`, `Not`, `Segment`) over conditions (`Compare`, `Tagged`, `Did`, `First`,
`Sequence`). Conditions are two-valued: one about something unknown is false, so its `Not` is true.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from portraits.field import Field

Value: TypeAlias = int | float | str | bool | tuple[Any, ...] | None


@dataclass(frozen=True, slots=True)
class And:
    """Every part is true."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one part is true."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part is not true."""

    part: Node


@dataclass(frozen=True, slots=True)
class Segment:
    """Another segment's rule, by definition: `part` is what it said when the rule was parsed."""

    name: str
    part: Node


@dataclass(frozen=True, slots=True)
class Compare:
    """A portrait field against a value.

    `kind` is the field's: integer, number, text, boolean, date, moment or list. `value` by `op`: none for known and
    unknown; a number of days for within_days, before_days and next_days; (low, high) for between, both included; a
    tuple for in and not_in; else one value. Dates and moments compare by local day, given as an ISO date.
    """

    field: Field = field(hash=False)
    kind: str
    op: str
    value: Value = None


@dataclass(frozen=True, slots=True)
class Tagged:
    """A list of evidence holds an entry for the tag, of at least such a weight, confidence and number of events.

    Of the entries below a category path only the path itself is meant: 'food' is an entry of its own.
    """

    field: Field = field(hash=False)
    tag: str
    weight: float | None = None
    confidence: float | None = None
    events: int | None = None


@dataclass(frozen=True, slots=True)
class What:
    """Events: of one of the types, and for each given property with one of its values.

    `category` holds paths from the root ('food > tea'): an item matches at the path or below it. category, brand and
    tag are those of the event's item in the catalogue of the moment asked about.
    """

    type: tuple[str, ...]
    item_id: tuple[str, ...] = ()
    category: tuple[str, ...] = ()
    brand: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    store_id: tuple[str, ...] = ()
    content_id: tuple[str, ...] = ()
    offer_id: tuple[str, ...] = ()

    @property
    def of_item(self) -> bool:
        """Whether it asks for something only the catalogue knows."""
        return bool(self.category or self.brand or self.tag)


@dataclass(frozen=True, slots=True)
class Did:
    """How often (`measure` times), for how much (amount, minor units) or on how many local days (days) the events
    happened within the last `within_days` local days, compared with `value`; (low, high) for between. Without
    `within_days` the only question is whether they ever did: times >= 1."""

    what: What
    measure: str = "times"
    op: str = ">="
    value: int | tuple[int, int] = 1
    within_days: int | None = None


@dataclass(frozen=True, slots=True)
class First:
    """The first of the events ever happened within the last `within_days` local days."""

    what: What
    within_days: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """The steps happened one after another, each strictly later than the one before and by at most `gap_days` x 24
    hours, all within the last `within_days` local days."""

    steps: tuple[What, ...]
    within_days: int
    gap_days: int | None = None


Condition: TypeAlias = Compare | Tagged | Did | First | Sequence
Node: TypeAlias = And | Or | Not | Segment | Condition

WHAT_KEYS = tuple(each.name for each in fields(What))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a rule as a marketer sees it: a group or a condition. `number` counts from 1, from the top;
    `path` is where it stands in the JSON; `depth` is 0 for the whole rule; `parent` is the number of the line that it
    is a part of, 0 for none."""

    number: int
    path: str
    depth: int
    parent: int
    node: Node


@dataclass(frozen=True, slots=True)
class Rule:
    """A parsed rule: `grammar.parse` makes it, and only what it accepts is one."""

    root: Node

    def lines(self) -> tuple[Line, ...]:
        """Every group and condition in reading order; what is inside another segment is that segment's affair."""
        lines: list[Line] = []
        _number(self.root, "", 0, 0, lines)
        return tuple(lines)

    def conditions(self) -> Iterator[Condition]:
        """All conditions in reading order, those of other segments included."""
        return conditions_of(self.root)

    def to_json(self) -> dict[str, Any]:
        """The rule as JSON that `parse` reads back to an equal rule; other segments stay references."""
        return to_json(self.root)


def parts_of(node: Node) -> tuple[Node, ...]:
    """What a group is made of; nothing for a condition."""
    if isinstance(node, And | Or):
        return node.parts
    return (node.part,) if isinstance(node, Not | Segment) else ()


def conditions_of(node: Node) -> Iterator[Condition]:
    """The conditions of a node, in reading order."""
    if isinstance(node, And | Or | Not | Segment):
        for part in parts_of(node):
            yield from conditions_of(part)
    else:
        yield node


def to_json(node: Node) -> dict[str, Any]:
    """One node as JSON."""
    if isinstance(node, And | Or):
        return {"and" if isinstance(node, And) else "or": [to_json(part) for part in node.parts]}
    if isinstance(node, Not):
        return {"not": to_json(node.part)}
    if isinstance(node, Segment):
        return {"segment": node.name}
    return _condition_json(node)


def _condition_json(node: Condition) -> dict[str, Any]:
    if isinstance(node, Compare):
        value = list(node.value) if isinstance(node.value, tuple) else node.value
        return {"field": node.field.name, "op": node.op} | ({} if value is None else {"value": value})
    if isinstance(node, Tagged):
        least = {"weight": node.weight, "confidence": node.confidence, "events": node.events}
        return {"tag": node.tag, "in": node.field.name} | _given(least)
    if isinstance(node, Did):
        window = _given({"within_days": node.within_days})
        value = list(node.value) if isinstance(node.value, tuple) else node.value
        return {"did": _what_json(node.what), node.measure: {"op": node.op, "value": value}} | window
    if isinstance(node, First):
        return {"first": _what_json(node.what), "within_days": node.within_days}
    steps = [_what_json(step) for step in node.steps]
    return {"sequence": steps, "within_days": node.within_days} | _given({"gap_days": node.gap_days})


def _what_json(what: What) -> dict[str, Any]:
    given = {key: getattr(what, key) for key in WHAT_KEYS if getattr(what, key)}
    return {key: values[0] if len(values) == 1 else list(values) for key, values in given.items()}


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _number(node: Node, path: str, depth: int, parent: int, lines: list[Line]) -> None:
    number = len(lines) + 1
    lines.append(Line(number, path, depth, parent, node))
    if isinstance(node, Not):
        _number(node.part, f"{path}/not", depth + 1, number, lines)
    elif isinstance(node, And | Or):
        key = "and" if isinstance(node, And) else "or"
        for place, part in enumerate(node.parts):
            _number(part, f"{path}/{key}/{place}", depth + 1, number, lines)
