"""What a preview counts, against counting it one visitor at a time."""

from __future__ import annotations

from typing import Any

import ibis
import pytest
import random_rules as world
from hypothesis import given, settings
from hypothesis import strategies as st

from portraits.rules import parse
from portraits.rules.grammar import CONDITIONS
from portraits.rules.nodes import And, Or, Rule
from portraits.segments.preview import preview


def asked(rule: Rule, told: list[list[bool]]) -> dict[int, tuple[int, int | None, int | None]]:
    """own, adds and leaves of each line: `told` says of each visitor which lines hold."""
    schema = {f"line_{line.number}": "boolean" for line in rule.lines()}
    columns = {name: [row[place] for row in told] for place, name in enumerate(schema)}
    counted = preview(rule, ibis.memtable(columns, schema=schema))
    assert (counted.total, counted.base) == (sum(row[0] for row in told), len(told))
    return {line.number: (line.own, line.adds, line.leaves) for line in counted.lines}


def plainly(rule: Rule, told: list[list[bool]]) -> dict[int, tuple[int, int | None, int | None]]:
    lines = rule.lines()
    found = {}
    for line in lines:
        group = lines[line.parent - 1].node if line.parent else None
        above = [other.number - 1 for other in lines if other.parent == line.parent and other.number < line.number]
        holds = [row for row in told if row[line.number - 1]]
        adds = sum(not any(row[n] for n in above) for row in holds) if isinstance(group, Or) else None
        leaves = sum(all(row[n] for n in above) for row in holds) if isinstance(group, And) else None
        found[line.number] = (len(holds), adds, leaves)
    return found


@settings(max_examples=40)
@given(world.rules, st.data())
def test_every_line_is_counted_with_those_above_it(written: dict[str, Any], data: st.DataObject) -> None:
    rule = parse(written, world.FIELDS, world.SEGMENTS)
    row = st.lists(st.booleans(), min_size=len(rule.lines()), max_size=len(rule.lines()))
    told = data.draw(st.lists(row, min_size=0, max_size=6))
    assert asked(rule, told) == plainly(rule, told)


@pytest.mark.parametrize("group", ["and", "or"])
def test_as_many_conditions_as_may_be(group: str) -> None:
    rule = parse({group: [{"field": "orders", "op": ">", "value": n} for n in range(CONDITIONS)]}, world.FIELDS)
    told = [[False, *(n % step != 0 for n in range(CONDITIONS))] for step in range(1, 60)]
    assert asked(rule, told) == plainly(rule, told)
