"""How many visitors a rule finds, and what each of its lines does to that number."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import ibis.expr.types as ir

from portraits.rules.nodes import And, Line, Or, Rule


@dataclass(frozen=True, slots=True)
class LineCount:
    """One line of a rule. `own`: visitors for whom it is true, taken alone.

    `adds` (parts of an "or"): those of them for whom no part above is true. `leaves` (parts of an "and"): those of
    them for whom every part above is true, too. None elsewhere.
    """

    number: int
    path: str
    depth: int
    parent: int
    own: int
    adds: int | None
    leaves: int | None


@dataclass(frozen=True, slots=True)
class Preview:
    """`total` visitors of `base` (all with a portrait) fit the rule."""

    total: int
    base: int
    lines: tuple[LineCount, ...]

    def to_dict(self) -> dict[str, Any]:
        """For machines: JSON's own types only."""
        return {"total": self.total, "base": self.base, "lines": [asdict(line) for line in self.lines]}


def preview(rule: Rule, told: ir.Table) -> Preview:
    """Counts everything in one pass over `told`: one row a visitor, a boolean column for each line of the rule
    (`evaluate.lines`)."""
    lines = rule.lines()
    sums: dict[str, ir.Value] = {"base": told.count()}
    for line in lines:
        holds = told[f"line_{line.number}"]
        sums[f"own_{line.number}"] = holds.sum()
        together = _with_the_parts_above(line, lines, told)
        if together is not None:
            sums[f"together_{line.number}"] = together.sum()
    counted = told.aggregate(**sums).to_pyarrow().to_pylist()[0]
    numbers = {name: int(number or 0) for name, number in counted.items()}
    return Preview(numbers["own_1"], numbers["base"], tuple(_line(line, lines, numbers) for line in lines))


def _line(line: Line, lines: tuple[Line, ...], numbers: dict[str, int]) -> LineCount:
    together = numbers.get(f"together_{line.number}")
    group = _group(line, lines)
    return LineCount(
        line.number,
        line.path,
        line.depth,
        line.parent,
        numbers[f"own_{line.number}"],
        together if isinstance(group, Or) else None,
        together if isinstance(group, And) else None,
    )


def _with_the_parts_above(line: Line, lines: tuple[Line, ...], told: ir.Table) -> ir.Value | None:
    """What a part of a group has to itself ("or"), or still holds after the parts before it ("and")."""
    group = _group(line, lines)
    if not isinstance(group, And | Or):
        return None
    holds = told[f"line_{line.number}"]
    for above in lines:
        if above.parent == line.parent and above.number < line.number:
            column = told[f"line_{above.number}"]
            holds = holds & (column if isinstance(group, And) else ~column)
    return holds


def _group(line: Line, lines: tuple[Line, ...]) -> Any:
    return lines[line.parent - 1].node if line.parent else None
