"""What visitors did besides ordering, as of any earlier moment.

Days are counted back from T in spans of 24 hours: day 0 is the last one before T. What was known k days before T are
the days from k on, so that a sample of the past cannot see anything later. For T itself the same numbers are fields
of the portrait.
"""

from __future__ import annotations

from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from portraits.local import DAY_US
from portraits.predictions.orders import Floats, Ints, places

WANTING = ("cart", "favorite")
FIELDS = ("actions", "actions_30d", "item_views", "item_views_30d", "carts", "favorites", "first_seen", "last_seen")
"""Fields of the portrait that tell the same of T."""
RECENT_DAYS = 30
NEVER = 10_000.0
"""Days since someone was seen who never did anything himself (messages were sent to him)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What visitors had done by a moment, one entry each. idle: whole days since the last thing; age: since the
    first."""

    actions: Floats
    actions_30d: Floats
    views: Floats
    views_30d: Floats
    wants: Floats
    idle: Floats
    age: Floats

    def columns(self) -> Floats:
        """As logarithms: visitors x 8."""
        each = (self.actions, self.actions_30d, self.views, self.views_30d, self.wants, self.idle, self.age)
        lively = np.log((self.actions + 0.5) / (self.age + 7.0))
        return np.column_stack([*(np.log1p(value) for value in each), lively])


@dataclass(frozen=True, slots=True)
class Activity:
    """Days with an event of some visitors, each with counts: actions (what the visitor did), views of items, wants."""

    who: Ints
    day: Ints
    actions: Ints
    views: Ints
    wants: Ints
    visitors: int

    @classmethod
    def read(cls, events: ir.Table, users: pa.ChunkedArray, as_of_us: int) -> Activity:
        """The activity of `users` (numbered by their place there) in `Past.events`."""
        chosen = events.semi_join(ibis.memtable({"user_id": users.combine_chunks()}), "user_id")
        days = chosen.group_by("user_id", day=(as_of_us - 1 - chosen.ts_us) // DAY_US).aggregate(
            actions=chosen.own.sum(), views=(chosen.type == "item_view").sum(), wants=chosen.type.isin(WANTING).sum()
        )
        rows = days.to_pyarrow()
        who = places(rows["user_id"], users).to_numpy().astype(np.int64)
        day, actions, views, wants = (rows[name].to_numpy().astype(np.int64) for name in rows.column_names[1:])
        return cls(who, day, actions, views, wants, len(users))

    def before(self, days: int) -> Seen:
        """What was known `days` before T."""
        then, recent = self.day >= days, (self.day >= days) & (self.day < days + RECENT_DAYS)
        did = then & (self.actions > 0)
        idle, age = np.full(self.visitors, NEVER), np.full(self.visitors, -1.0)
        np.minimum.at(idle, self.who[did], self.day[did] - days)
        np.maximum.at(age, self.who[did], self.day[did] - days)
        return Seen(
            self._sum(self.actions, then),
            self._sum(self.actions, recent),
            self._sum(self.views, then),
            self._sum(self.views, recent),
            self._sum(self.wants, then),
            idle,
            np.where(age < 0, NEVER, age),
        )

    def _sum(self, value: Ints, of: npt.NDArray[np.bool_]) -> Floats:
        return np.bincount(self.who, (value * of).astype(np.float64), self.visitors).astype(np.float64)


def seen_in(rows: pa.Table, as_of_us: int) -> Seen:
    """The same of T, from portraits (`FIELDS`)."""
    count = {name: rows[name].to_numpy().astype(np.float64) for name in FIELDS[:6]}
    idle, age = (
        np.where(np.isnat(moment), NEVER, (as_of_us - 1 - moment.astype(np.int64)) // DAY_US)
        for moment in (rows[name].to_numpy().astype("datetime64[us]") for name in ("last_seen", "first_seen"))
    )
    return Seen(
        count["actions"],
        count["actions_30d"],
        count["item_views"],
        count["item_views_30d"],
        count["carts"] + count["favorites"],
        idle,
        age,
    )
