"""How many visitors a rule finds, and what each of its lines does to that number."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc

from portraits.rules.nodes import And, Line, Or, Rule

BATCH_ROWS = 262_144


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
    (`evaluate.lines`).

    The engine tells every line of every visitor, a bit each, and the bits are counted here: as sums of the engine's,
    each part of a group with those above it, hundreds of conditions would take seconds to be put into words.
    """
    lines = rule.lines()
    columns = told.select([f"line_{line.number}" for line in lines])
    base, own = 0, dict.fromkeys((line.number for line in lines), 0)
    together = dict.fromkeys((line.number for line in lines if isinstance(_group(line, lines), And | Or)), 0)
    for batch in columns.to_pyarrow_batches(chunk_size=BATCH_ROWS):
        base += len(batch)
        above: dict[int, pa.BooleanArray] = {}
        for line, holds in zip(lines, batch.columns, strict=True):
            own[line.number] += holds.true_count
            if line.number in together:
                found, above[line.parent] = _with_those_above(_group(line, lines), holds, above.get(line.parent))
                together[line.number] += found.true_count
    counted = (_line(line, lines, own[line.number], together.get(line.number)) for line in lines)
    return Preview(own[1], base, tuple(counted))


def _line(line: Line, lines: tuple[Line, ...], own: int, together: int | None) -> LineCount:
    group = _group(line, lines)
    return LineCount(
        line.number,
        line.path,
        line.depth,
        line.parent,
        own,
        together if isinstance(group, Or) else None,
        together if isinstance(group, And) else None,
    )


def _with_those_above(
    group: And | Or, holds: pa.BooleanArray, above: pa.BooleanArray | None
) -> tuple[pa.BooleanArray, pa.BooleanArray]:
    """Whom a part has to itself ("or"), or still holds after the parts before it ("and"); and what these parts and
    it come to."""
    if above is None:
        return holds, holds
    if isinstance(group, And):
        left = pc.and_(above, holds)
        return left, left
    return pc.and_not(holds, above), pc.or_(above, holds)


def _group(line: Line, lines: tuple[Line, ...]) -> Any:
    return lines[line.parent - 1].node if line.parent else None
