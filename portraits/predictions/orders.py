"""Every visitor's orders as sorted arrays: what had been bought before any moment, and what was bought after it.

One read of the past serves the samples of all earlier moments. What a sample knows is cut off at its own moment by
`before`, and nothing else here looks at orders without being told until when.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from portraits.local import DAY_US

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Orders:
    """Orders of visitors 0 to `visitors` - 1, sorted by visitor and moment.

    who: the visitor of each order. us: its moment, microseconds since 1970. spend: what was paid, in minor units.
    """

    who: Ints
    us: Ints
    spend: Ints
    visitors: int

    @classmethod
    def read(cls, orders: ir.Table, users: pa.ChunkedArray) -> Orders:
        """The orders (`Past.orders`) of `users`, numbered by their place there; those of others are left out."""
        rows = orders.select("user_id", "ts_us", "spend").to_pyarrow()
        rows = rows.append_column("who", places(rows["user_id"], users))
        rows = rows.filter(pc.is_valid(rows["who"]))
        who, us, spend = (rows[name].to_numpy().astype(np.int64) for name in ("who", "ts_us", "spend"))
        order = np.lexsort((spend, us, who))
        return cls(who[order], us[order], spend[order], len(users))

    def before(self, us: int) -> Orders:
        """The orders of moments before `us`."""
        return self._kept(self.us < us)

    def since(self, us: Ints) -> Orders:
        """The orders from a moment of each visitor's own on."""
        return self._kept(self.us >= us[self.who]) if us.any() else self

    def between(self, start_us: int, end_us: int) -> Orders:
        """The orders of start_us <= moment < end_us."""
        return self._kept((self.us >= start_us) & (self.us < end_us))

    def part(self, low: int, high: int) -> Orders:
        """The orders of visitors `low` to `high` - 1, who become 0 to high - low - 1."""
        first, last = np.searchsorted(self.who, (low, high))
        return Orders(self.who[first:last] - low, self.us[first:last], self.spend[first:last], high - low)

    def of(self, chosen: Ints) -> Orders:
        """The orders of `chosen` visitors (ascending), who become 0 to len(chosen) - 1."""
        place = np.full(self.visitors, -1, np.int64)
        place[chosen] = np.arange(len(chosen))
        kept = self._kept(place[self.who] >= 0)
        return Orders(place[kept.who], kept.us, kept.spend, len(chosen))

    def _kept(self, mask: npt.NDArray[np.bool_]) -> Orders:
        return Orders(self.who[mask], self.us[mask], self.spend[mask], self.visitors)

    # -- one number a visitor ----------------------------------------------------------------------------------

    @cached_property
    def count(self) -> Ints:
        """Orders of each visitor."""
        return np.bincount(self.who, minlength=self.visitors)

    @cached_property
    def total(self) -> Floats:
        """Money paid by each visitor."""
        return self.sum(self.spend)

    def sum(self, value: npt.NDArray[np.generic]) -> Floats:
        """Sum of a number of each order, by visitor."""
        return np.bincount(self.who, value.astype(np.float64), self.visitors).astype(np.float64)

    @cached_property
    def first_us(self) -> Ints:
        """Moment of each visitor's first order; 0 where there is none."""
        found = np.zeros(self.visitors, np.int64)
        found[self.who[::-1]] = self.us[::-1]
        return found

    @cached_property
    def last_us(self) -> Ints:
        """Moment of each visitor's last order; 0 where there is none."""
        found = np.zeros(self.visitors, np.int64)
        found[self.who] = self.us
        return found

    @cached_property
    def gaps(self) -> tuple[Ints, Floats]:
        """Days from each order to the visitor's next one, and whose they are; orders within half a day are one."""
        whose, apart = self.who[1:], np.diff(self.us) / DAY_US
        real = (whose == self.who[:-1]) & (apart >= 0.5)
        return whose[real], apart[real]

    @cached_property
    def repeats(self) -> Ints:
        """Orders of each visitor after the first, those within half a day of another left out."""
        return np.bincount(self.gaps[0], minlength=self.visitors)


def places(user_id: pa.ChunkedArray, users: pa.ChunkedArray) -> pa.ChunkedArray:
    """Where each `user_id` stands among `users`; null for one who is not there."""
    return pc.index_in(user_id, value_set=users.cast(user_id.type).combine_chunks())
