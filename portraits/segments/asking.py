"""What rules are asked of, and what every kind of condition is made of."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir


@dataclass(frozen=True, slots=True)
class Tables:
    """What rules are asked of.

    portraits: one row a visitor; behaviour: rows of `portraits.behaviour.FILE`; items: item_id, category, brand and
    tags of the catalogue as it is at the moment. `key` names the column by which portraits and behaviour belong
    together: user_id, or a number where that is faster. `by_type`: behaviour is laid out by type and time, so that a
    type is best read alone. `tags`: the evidence of the portraits as rows of their own, where they are laid out so: the
    key, field, tag, weight, confidence and events, by field and tag.
    """

    portraits: ir.Table
    behaviour: ir.Table
    items: ir.Table
    key: str = "user_id"
    by_type: bool = False
    tags: ir.Table | None = None


READ_ALONE = 8
"""Parts of a sorted table up to which each is read alone: the engine then skips what lies between them."""


def parts_of(rows: ir.Table, parts: Sequence[ir.BooleanValue]) -> ir.Table:
    """The rows of some parts of a table, each of which lies together and has no row of another."""
    return (
        ibis.union(*(rows.filter(part) for part in parts)) if len(parts) <= READ_ALONE else rows.filter(any_of(parts))
    )


COMPARE: Mapping[str, Callable[[ir.Value, Any], ir.BooleanValue]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "between": lambda column, bounds: column.between(*bounds),
    "in": lambda column, several: column.isin(several),
    "not_in": lambda column, several: column.notin(several),
    "starts_with": lambda column, start: column.startswith(start),
}


def balanced(combine: Callable[[Any, Any], Any], parts: Sequence[Any]) -> Any:
    """The parts (one at least) combined as a balanced tree: a chain of hundreds would be as deep as it is long."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return combine(balanced(combine, parts[:middle]), balanced(combine, parts[middle:]))


def all_of(tests: Sequence[ir.BooleanValue]) -> ir.BooleanValue:
    """Every test holds."""
    return balanced(operator.and_, tests)


def any_of(tests: Sequence[ir.BooleanValue]) -> ir.BooleanValue:
    """At least one test holds."""
    return balanced(operator.or_, tests)
