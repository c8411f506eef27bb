"""Small groups are not told: no figure about fewer than `LEAST` visitors, nor one that a subtraction gives away.

A field's values part the visitors, and the totals are told: what is left out is total minus what is told. So the
values that are not told are pooled, and where the pool itself is small, the smallest told value joins it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

LEAST = 10
"""Visitors of the smallest group that may be told."""


class Count(NamedTuple):
    """Visitors with one value: of the segment, of the base, and of the base outside the segment."""

    value: str | None
    inside: int
    base: int
    outside: int


def told(counts: Iterable[Count], least: int = LEAST) -> list[Count]:
    """Those of the counts (of a field's values, each visitor in exactly one) that may be told, largest first."""
    ranked = sorted(counts, key=lambda count: (-count.inside, -count.base, count.value is None, count.value or ""))
    shown = [count for count in ranked if may_be_told(count, least)]
    pool = _sum(count for count in ranked if not may_be_told(count, least))
    while shown and not all(_safe(visitors, least) for visitors in pool[1:]):
        smallest = min(shown, key=lambda count: count.inside + count.outside)
        shown.remove(smallest)
        pool = _sum((pool, smallest))
    return shown


def may_be_told(count: Count, least: int = LEAST) -> bool:
    """Whether none of the groups is small. (Nobody is no group, but a value that no member has is not told.)"""
    return count.inside >= least and _safe(count.base, least) and _safe(count.outside, least)


def _safe(visitors: int, least: int) -> bool:
    return visitors == 0 or visitors >= least


def _sum(counts: Iterable[Count]) -> Count:
    rows = [count[1:] for count in counts]
    return Count(None, *(sum(column) for column in zip(*rows, strict=True))) if rows else Count(None, 0, 0, 0)
