"""What sets a segment apart: for each value of each field, its share among the members and in a base.

TGI (target group index) is the share in the segment over the share in the base, times 100. Whether it is more than
noise is asked of the members against the visitors of the base who are no members (two groups without anyone in
common), and all the questions of a profile are corrected together (`significance`). Small groups are not told
(`suppression`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import ibis
import ibis.expr.types as ir

from portraits.errors import InvalidValue, UnknownName
from portraits.field import Field
from portraits.rules.values import evidence_of
from portraits.segments.significance import false_discovery, two_proportions
from portraits.segments.suppression import Count, may_be_told, told

MOST_VALUES = 50
"""Values told of one field: those that most members have."""
MOST_STEPS = 31
"""A whole number between bounds no further apart than this is a list of values (a class, an hour, a weekday)."""
BANDS = 4
"""Bands that other numbers are cut into, by the quartiles of the base."""
INSIDE, BASE = "of_segment", "of_base"


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a field. `value` None: not known of the visitor. `p`: two-sided; `q`: p among all cells told; both
    None where they cannot be told."""

    field: str
    value: str | None
    inside: int
    share: float
    base_share: float
    p: float | None
    q: float | None

    @property
    def tgi(self) -> float | None:
        """Share over base share, times 100; None where nobody of the base has the value."""
        return 100 * self.share / self.base_share if self.base_share else None


@dataclass(frozen=True, slots=True)
class Profile:
    """`inside` members against `base` visitors; `suppressed`: by field, how many values are not told: too small, or
    beyond MOST_VALUES. `too_small`: nothing is told, since the members or who is outside are a small group."""

    inside: int
    base: int
    cells: tuple[Cell, ...]
    suppressed: Mapping[str, int]
    too_small: bool = False


def profile(people: ir.Table, fields: Mapping[str, Field], wanted: Sequence[str] = ()) -> Profile:
    """The profile of a segment.

    `people`: portraits with two boolean columns more, INSIDE (is a member) and BASE (belongs to the base). `wanted`:
    names of `fields`; none: all that have values to count (`is_counted`). Raises UnknownName, and InvalidValue for a
    field that has no values to count.
    """
    names = tuple(dict.fromkeys(wanted)) or tuple(name for name, field in fields.items() if is_counted(field))
    for name in names:
        if name not in fields:
            raise UnknownName("field", name, fields)
        if not (is_counted(fields[name]) or _is_number(fields[name])):
            raise InvalidValue("fields", name, "a field of words, numbers or tags")
    people = people.filter(people[INSIDE] | people[BASE]).select(INSIDE, BASE, *names)
    with people.cache() as kept:  # every field asks it anew
        total = _total(kept)
        if not may_be_told(total):
            return Profile(total.inside, total.base, (), {}, too_small=True)
        counted = _counts(kept, fields, names)
    shown = {name: _told(fields[name], counted.get(name, []))[:MOST_VALUES] for name in names}
    cells = [_cell(name, count, total) for name in names for count in shown[name]]
    q_values = false_discovery([cell.p for cell in cells])
    judged = tuple(
        Cell(c.field, c.value, c.inside, c.share, c.base_share, c.p, q) for c, q in zip(cells, q_values, strict=True)
    )
    hidden = {name: len(counted.get(name, [])) - len(shown[name]) for name in names}
    return Profile(total.inside, total.base, judged, {name: number for name, number in hidden.items() if number})


def is_counted(field: Field) -> bool:
    """Whether a profile counts the field without being asked: words, yes or no, classes, lists of tags."""
    if field.dtype in ("string", "boolean") or _has_tags(field):
        return True
    bounds = (field.minimum, field.maximum)
    return field.dtype == "int64" and None not in bounds and bounds[1] - bounds[0] <= MOST_STEPS  # type: ignore[operator]


def _total(people: ir.Table) -> Count:
    sizes = people.aggregate(inside=people[INSIDE].sum(), base=people[BASE].sum(), outside=_outside(people).sum())
    return Count(None, *(number or 0 for number in sizes.to_pyarrow().to_pylist()[0].values()))


def _counts(people: ir.Table, fields: Mapping[str, Field], names: Sequence[str]) -> dict[str, list[Count]]:
    """All values of all fields with their counts, in one question."""
    numbers = [name for name in names if not is_counted(fields[name])]
    edges = _edges(people, numbers) if numbers else {}
    parts = [_of_field(people, fields[name], edges.get(name, ())) for name in names]
    found: dict[str, list[Count]] = {}
    for row in ibis.union(*parts).to_pyarrow().to_pylist() if len(parts) > 1 else parts[0].to_pyarrow().to_pylist():
        count = Count(row["value"], row["inside"] or 0, row["base"] or 0, row["outside"] or 0)
        found.setdefault(row["field"], []).append(count)
    return found


def _of_field(people: ir.Table, field: Field, edges: Sequence[float]) -> ir.Table:
    """field, value, inside, base, outside: one row a value."""
    if _has_tags(field):
        rows = people.select(INSIDE, BASE, entry=people[field.name].unnest())
        rows = rows.select(INSIDE, BASE, value=rows.entry["tag"])
    else:
        value = people[field.name] if not edges else _band(people[field.name], edges)
        rows = people.select(INSIDE, BASE, value=value.cast("string"))
    counted = rows.group_by("value").aggregate(
        inside=rows[INSIDE].sum(), base=rows[BASE].sum(), outside=_outside(rows).sum()
    )
    return counted.select(ibis.literal(field.name).name("field"), "value", "inside", "base", "outside")


def _edges(people: ir.Table, names: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """The inner edges of each number's bands: exact quantiles of the base, each once."""
    base = people.filter(people[BASE])
    asked = {
        f"{name} {step}": base[name].cast("float64").quantile(step / BANDS)
        for name in names
        for step in range(1, BANDS)
    }
    row: dict[str, Any] = base.aggregate(**asked).to_pyarrow().to_pylist()[0]
    return {name: tuple(sorted({row[f"{name} {step}"] for step in range(1, BANDS)} - {None})) for name in names}


def _band(value: ir.Value, edges: Sequence[float]) -> ir.Value:
    """The band of a number in words: `<= 3`, `3 to 7`, `> 12`."""
    number = value.cast("float64")
    names = [f"<= {edges[0]:g}", *(f"{low:g} to {high:g}" for low, high in pairwise(edges))]
    steps = [(number <= edge, name) for edge, name in zip(edges, names, strict=True)]
    return ibis.cases(*steps, (number > edges[-1], f"> {edges[-1]:g}"))


def _told(field: Field, counts: Iterable[Count]) -> list[Count]:
    """A visitor has one value of most fields, and any number of tags: only values can be subtracted from totals."""
    if not _has_tags(field):
        return told(counts)
    fit = [count for count in counts if may_be_told(count)]
    return sorted(fit, key=lambda count: (-count.inside, count.value or ""))


def _cell(name: str, count: Count, total: Count) -> Cell:
    p = two_proportions(count.inside, total.inside, count.outside, total.outside)
    base_share = count.base / total.base if total.base else 0.0
    return Cell(name, count.value, count.inside, count.inside / total.inside, base_share, p, None)


def _outside(people: ir.Table) -> ir.Value:
    return people[BASE] & ~people[INSIDE]


def _has_tags(field: Field) -> bool:
    return "tag" in evidence_of(field)


def _is_number(field: Field) -> bool:
    return field.dtype in ("int64", "float64")
