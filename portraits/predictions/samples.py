"""Leak-free samples of the past: what was known of visitors k days before T, and what they did in the days after.

A horizon of h days is learned on earlier moments and scored on the latest one whose h days are over: the labels of the
earlier moments end where the later one begins.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from portraits.local import DAY_US
from portraits.past import Past
from portraits.predictions.activity import NEVER, Activity
from portraits.predictions.moments import Moment
from portraits.predictions.orders import Floats, Ints, Orders

VISITORS = 50_000
"""Visitors that are learned from; more make the night longer and the model hardly better."""
EVENTS = 5_000_000
"""Events that are learned from, about."""
WARM_UP_DAYS = 14
"""History that a moment needs before it; a third of the horizon where that is more."""
EARLIER = (2.0, 2.5, 3.0, 3.5)
"""Moments to learn from before the later one, in horizons before T."""
BETWEEN = (1.5,)
"""Moments that only the final model learns from: their labels and the later moment's overlap."""


@dataclass(frozen=True)
class Samples:
    """Sampled visitors' orders and activity before T (`as_of_us`), since `first_us`."""

    orders: Orders
    activity: Activity
    as_of_us: int
    first_us: int
    _moments: dict[int, Moment] = field(default_factory=dict)

    @classmethod
    def draw(cls, past: Past, orders: Orders, users: pa.ChunkedArray, as_of_us: int, seed: int) -> Samples:
        """Samples of `users`, the visitors of `orders`: as many as `VISITORS` and `EVENTS` allow."""
        share = min(1.0, VISITORS / max(len(users), 1), EVENTS / max(past.size, 1))
        chosen = drawn(users, share, seed)
        activity = Activity.read(past.events, users.take(pa.array(chosen)), as_of_us)
        first_us = as_of_us - int(activity.day.max(initial=0)) * DAY_US
        return cls(orders.of(chosen), activity, as_of_us, first_us)

    @property
    def days(self) -> int:
        """Length of the history."""
        return (self.as_of_us - self.first_us) // DAY_US

    def moment(self, days: int) -> Moment:
        """The visitors `days` before T."""
        if days not in self._moments:
            us, seen = self.as_of_us - days * DAY_US, self.activity.before(days)
            orders = self.orders.before(us)
            self._moments[days] = Moment(us, orders, seen, (seen.age < NEVER) | (orders.count > 0))
        return self._moments[days]

    def after(self, days: int, horizon: int) -> Orders:
        """The orders of the `horizon` days that began `days` before T."""
        start = self.as_of_us - days * DAY_US
        return self.orders.between(start, start + horizon * DAY_US)

    def later(self, horizon: int) -> int | None:
        """Days before T of the moment to score on; None where the history is too short for it."""
        return horizon if self._reaches(horizon, horizon) else None

    def earlier(self, horizon: int, back: tuple[float, ...] = EARLIER) -> list[int]:
        """Days before T of the moments to learn from."""
        return [days for times in back if self._reaches(days := round(times * horizon), horizon)]

    def _reaches(self, days: int, horizon: int) -> bool:
        return self.days - days >= max(WARM_UP_DAYS, horizon // 3)


def drawn(users: pa.ChunkedArray, share: float, seed: int) -> Ints:
    """Places of a share of `users`, the same ones for as long as the seed and they are the same."""
    if share >= 1:
        return np.arange(len(users))
    hashed = pd.util.hash_array(users.to_numpy(), hash_key=f"huaxiang{seed % 10**8:08d}", categorize=False)
    return np.flatnonzero(hashed < np.uint64(share * 2**64))


def stacked(parts: list[Floats]) -> Floats:
    """Rows of several moments, one below the other."""
    return np.concatenate(parts) if parts else np.empty(0)


def capped(rows: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    """Places of at most `most` rows, drawn by seed, ascending."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
