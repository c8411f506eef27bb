"""How much any two segments share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import ibis.expr.types as ir


@dataclass(frozen=True, slots=True)
class Overlap:
    """Visitors of segment `one`, of segment `other`, in both; `base`: all visitors with a portrait."""

    one: int
    other: int
    both: int
    base: int

    @property
    def jaccard(self) -> float | None:
        """Share of those in either who are in both, 0 to 1; None where both segments are empty."""
        either = self.one + self.other - self.both
        return self.both / either if either else None

    @property
    def share_of_one(self) -> float | None:
        """Share of `one` that is in `other`, too."""
        return self.both / self.one if self.one else None

    @property
    def share_of_other(self) -> float | None:
        """Share of `other` that is in `one`, too."""
        return self.both / self.other if self.other else None

    @property
    def lift(self) -> float | None:
        """`both`, over what chance would give segments of these sizes: 1 where the two have nothing to do with
        each other."""
        expected = self.one * self.other
        return self.both * self.base / expected if expected else None


def overlaps(sets: ir.Table, names: Sequence[str]) -> dict[tuple[str, str], Overlap]:
    """Every pair of `names`, in their order, counted in one pass.

    `sets` has one row a visitor and a boolean column for each name.
    """
    pairs = list(combinations(names, 2))
    sizes = {f"size_{place}": sets[name].sum() for place, name in enumerate(names)}
    shared = {f"both_{place}": (sets[one] & sets[other]).sum() for place, (one, other) in enumerate(pairs)}
    counted = sets.aggregate(base=sets.count(), **sizes, **shared).to_pyarrow().to_pylist()[0]
    size = {name: counted[f"size_{place}"] or 0 for place, name in enumerate(names)}
    return {
        (one, other): Overlap(size[one], size[other], counted[f"both_{place}"] or 0, counted["base"])
        for place, (one, other) in enumerate(pairs)
    }
