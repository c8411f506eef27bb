"""Growth and migration between planted nights."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from portraits.engine import connect
from portraits.errors import NothingThere
from portraits.segments.movement import LineMove, StageMove, growth, migration
from portraits.segments.nights import Definition, LineTold, Night, schema, write_night

T = datetime(2026, 3, 1, 4, tzinfo=UTC)
LINES = tuple(LineTold(n, n > 1, {"en": f"line {n}", "zh": f"第{n}行"}) for n in (1, 2, 3))
RULE = {"and": [{"field": "orders", "op": ">", "value": 0}, {"field": "stage", "op": "=", "value": "new"}]}


def night(folder: Path, day: int, people: dict[str, tuple[str | None, int]], rule: object = RULE) -> Night:
    definitions = {"buyers": Definition(1, rule, LINES)}
    columns = [list(people), [stage for stage, _ in people.values()], [bits for _, bits in people.values()]]
    table = pa.table(columns, schema=schema(definitions))
    return write_night(folder, T + timedelta(days=day), definitions, table.to_batches())


BEFORE = {
    "ann": ("new", 0b111),
    "bob": ("new", 0b111),
    "cat": ("active", 0b010),
    "dan": ("visitor", 0b000),
    "eve": ("new", 0b111),
    "out": ("visitor", 0b000),
}
AFTER = {
    "ann": ("new", 0b111),
    "bob": ("active", 0b010),
    "cat": ("new", 0b111),
    "dan": ("new", 0b111),
    "fay": ("new", 0b111),
    "out": ("visitor", 0b000),
}


def test_growth_is_by_night(tmp_path: Path) -> None:
    nights = [night(tmp_path, 0, BEFORE), night(tmp_path, 1, AFTER)]
    assert [(one.as_of.day, one.version, one.members, one.base) for one in growth(nights, "buyers")] == [
        (1, 1, 3, 6),
        (2, 1, 4, 6),
    ]
    assert growth(nights, "nobody") == []


def test_who_moved_from_which_stage_by_which_line(tmp_path: Path) -> None:
    moved = migration(connect(), night(tmp_path, 0, BEFORE), night(tmp_path, 1, AFTER), "buyers")
    assert (moved.stayed, moved.joined, moved.left, moved.newcomers, moved.gone) == (1, 3, 2, 1, 1)
    assert set(moved.stages) == {
        StageMove("new", "new", 1, 0, 0),
        StageMove("new", "active", 0, 0, 1),
        StageMove("active", "new", 0, 1, 0),
        StageMove("visitor", "new", 0, 1, 0),
        StageMove(None, "new", 0, 1, 0),
        StageMove("new", None, 0, 0, 1),
    }
    assert moved.lines == (
        LineMove(3, {"en": "line 3", "zh": "第3行"}, joined=2, joined_alone=1, left=1, left_alone=1),
        LineMove(2, {"en": "line 2", "zh": "第2行"}, joined=1, joined_alone=0, left=0, left_alone=0),
    )


def test_a_rule_that_changed_itself_moves_people_by_no_line(tmp_path: Path) -> None:
    other = {"field": "orders", "op": ">", "value": 1}
    moved = migration(connect(), night(tmp_path, 0, BEFORE), night(tmp_path, 1, AFTER, other), "buyers")
    assert (moved.joined, moved.lines) == (3, None)


def test_a_night_without_the_segment_is_named(tmp_path: Path) -> None:
    nights = night(tmp_path, 0, BEFORE), night(tmp_path, 1, AFTER)
    with pytest.raises(NothingThere, match="sellers"):
        migration(connect(), *nights, "sellers")


def test_portraits_without_a_stage(tmp_path: Path) -> None:
    nights = night(tmp_path, 0, {"ann": (None, 0)}), night(tmp_path, 1, {"ann": (None, 0b111)})
    assert migration(connect(), *nights, "buyers").stages == (StageMove("", "", 0, 1, 0),)
