"""How a segment grows, and who moved between two nights: from which stage to which, by which line of the rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import ibis
import ibis.expr.types as ir
from ibis.backends import BaseBackend

from portraits.segments.nights import STAGE, USER, Definition, Night, column


class Growth(NamedTuple):
    """A segment on one night: members of `base` visitors; `version` of the definition (0: ready-made)."""

    as_of: datetime
    version: int
    members: int
    base: int


class StageMove(NamedTuple):
    """Visitors by their stages on the two nights (None: no portrait) and by what became of their membership."""

    before: str | None
    after: str | None
    stayed: int
    joined: int
    left: int


class LineMove(NamedTuple):
    """A line of the rule that changed for visitors who joined or left; `alone`: for them nothing else changed."""

    number: int
    words: Mapping[str, str]
    joined: int
    joined_alone: int
    left: int
    left_alone: int


@dataclass(frozen=True, slots=True)
class Migration:
    """Between two nights. `joined` includes `newcomers`, who had no portrait before; `left` includes the `gone`, who
    have none any more. `lines` is None where the rule itself changed between the nights."""

    before: datetime
    after: datetime
    stayed: int
    joined: int
    left: int
    newcomers: int
    gone: int
    stages: tuple[StageMove, ...]
    lines: tuple[LineMove, ...] | None


def growth(nights: Sequence[Night], name: str) -> list[Growth]:
    """The segment on every night that had it, oldest first."""
    return [
        Growth(night.as_of, night.definitions[name].version, night.members[name], night.base)
        for night in nights
        if name in night.definitions
    ]


def migration(con: BaseBackend, before: Night, after: Night, name: str) -> Migration:
    """Who joined and left a segment from one night to another. Raises NothingThere when a night did not have it."""
    was, now = before.definition(name), after.definition(name)
    both = _joined(con, before, after, name)
    stages = _stages(both)
    leaves = _leaves(was, now)
    return Migration(
        before.as_of,
        after.as_of,
        stayed=sum(move.stayed for move in stages),
        joined=sum(move.joined for move in stages),
        left=sum(move.left for move in stages),
        newcomers=sum(move.joined for move in stages if move.before is None),
        gone=sum(move.left for move in stages if move.after is None),
        stages=tuple(stages),
        lines=None if leaves is None else _lines(both, leaves, now),
    )


NO_STAGE = ""
"""A portrait without a stage (no real times), where the table must tell it from no portrait at all."""


def _joined(con: BaseBackend, before: Night, after: Night, name: str) -> ir.Table:
    """Members of either night: was, now (stages), a, b (bits of lines), had, has (a portrait)."""
    one, other = (_bits(con, night, name) for night in (before, after))
    joined = one.outer_join(other, USER)
    rows = joined.select(
        was=joined[STAGE],
        now=joined[f"{STAGE}_right"],
        a=joined["bits"].fill_null(0),
        b=joined["bits_right"].fill_null(0),
        known=joined["bits"].notnull() & joined["bits_right"].notnull(),
    )
    rows = rows.mutate(inside=(rows.a & 1) == 1, still=(rows.b & 1) == 1)
    return rows.filter(rows.inside | rows.still)


def _bits(con: BaseBackend, night: Night, name: str) -> ir.Table:
    rows = con.read_parquet(str(night.path))
    return rows.select(USER, rows[STAGE].fill_null(NO_STAGE).name(STAGE), bits=rows[column(name)])


def _stages(both: ir.Table) -> list[StageMove]:
    counted = both.group_by("was", "now").aggregate(
        stayed=(both.inside & both.still).sum(),
        joined=(~both.inside & both.still).sum(),
        left=(both.inside & ~both.still).sum(),
    )
    moves = [StageMove(*row.values()) for row in counted.to_pyarrow().to_pylist()]
    return sorted(
        moves, key=lambda move: (move.before or "", move.after or "", move.before is None, move.after is None)
    )


def _leaves(was: Definition, now: Definition) -> list[int] | None:
    """Numbers of the conditions, if the rule is the same on both nights."""
    return [line.number for line in now.lines if line.leaf] if was.rule == now.rule else None


def _lines(both: ir.Table, leaves: Sequence[int], definition: Definition) -> tuple[LineMove, ...]:
    """Of the visitors with a portrait on both nights: what changed for those who joined and for those who left."""
    mask = sum(1 << (number - 1) for number in leaves)
    moved = both.filter(both.known & (both.inside != both.still))
    moved = moved.mutate(changed=(moved.a ^ moved.b) & ibis.literal(mask, "int64"))
    sums: dict[str, ir.Value] = {}
    for number in leaves:
        bit = ibis.literal(1 << (number - 1), "int64")
        for name, condition in (("joined", moved.still), ("left", moved.inside)):
            sums[f"{name} {number}"] = (((moved.changed & bit) == bit) & condition).sum()
            sums[f"{name} {number} alone"] = ((moved.changed == bit) & condition).sum()
    counted: dict[str, Any] = moved.aggregate(**sums).to_pyarrow().to_pylist()[0] if sums else {}
    words = {line.number: line.words for line in definition.lines}
    found = [
        LineMove(
            number,
            words[number],
            *(counted[f"{name} {number}{more}"] or 0 for name in ("joined", "left") for more in ("", " alone")),
        )
        for number in leaves
    ]
    return tuple(sorted(found, key=lambda line: -(line.joined + line.left)))
