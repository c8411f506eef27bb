"""What is known of visitors at a moment, as numbers for a model; and what they did after it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from portraits.features.purchases import USUAL_GAP_DAYS
from portraits.local import DAY_US
from portraits.predictions.activity import Seen
from portraits.predictions.bgnbd import BgNbd, Buyers
from portraits.predictions.orders import Floats, Ints, Orders

WINDOWS = (7, 30, 60, 90, 180)
HALF_LIVES = (15.0, 60.0)
USUAL_SPREAD = 0.8
"""Standard deviation of log gaps that is taken for a buyer who has shown fewer than two gaps."""
LEAST_SPREAD = 0.05
SURE = 1e-6


@dataclass(frozen=True)
class Moment:
    """Some visitors as of `us`: their orders before it, what else they had done, and who was known at all."""

    us: int
    orders: Orders
    seen: Seen
    known: npt.NDArray[np.bool_]

    @cached_property
    def buyers(self) -> Ints:
        """Places of those who had ordered."""
        return np.flatnonzero(self.orders.count > 0)

    @cached_property
    def others(self) -> Ints:
        """Places of those who had not."""
        return np.flatnonzero((self.orders.count == 0) & self.known)

    @cached_property
    def rhythm(self) -> Buyers:
        """The buyers as BG/NBD sees them."""
        return Buyers.of(self.orders, self.us)

    @cached_property
    def order_value(self) -> Floats:
        """What an order of each buyer is worth: the own average, drawn to the shop's as by two more orders."""
        total, count = self.orders.total[self.buyers], self.orders.count[self.buyers]
        shop = self.orders.total.sum() / max(len(self.orders.who), 1)
        return np.asarray((total + 2 * shop) / (count + 2))

    @cached_property
    def known_of_others(self) -> Floats:
        """Others x columns."""
        return self.seen.columns()[self.others]

    @cached_property
    def _known_of_buyers(self) -> Floats:
        gap, spread, idle = self._gaps()
        columns = [
            *(np.log1p(value) for value in (self.orders.repeats, self.orders.count, idle, self._days_known, gap)),
            spread,
            np.log1p(idle / gap),
            np.log((self.orders.repeats + 0.5) / (self._days_known + 30)),
            np.log1p(np.maximum(self.orders.total, 0)),
            np.log1p(np.maximum(self.orders.total, 0) / np.maximum(self.orders.count, 1)),
            *self._windows(),
        ]
        return np.column_stack([np.column_stack(columns)[self.buyers], self.seen.columns()[self.buyers]])

    def known_of_buyers(self, shop: BgNbd, days: int) -> Floats:
        """Buyers x columns: their orders and other acts, and what BG/NBD makes of them for the next `days`."""
        alive, buys = shop.alive(self.rhythm), shop.buys(self.rhythm, days)
        return np.column_stack([self._known_of_buyers, logit(alive), logit(buys)])

    @property
    def _days_known(self) -> Floats:
        return (self.us - self.orders.first_us) / DAY_US

    def _gaps(self) -> tuple[Floats, Floats, Floats]:
        """Average gap drawn to the shop's as by two more gaps, spread of log gaps, days since the last order."""
        whose, apart = self.orders.gaps
        n, x = self.orders.visitors, self.orders.repeats
        shop = float(np.median(apart)) if len(apart) else float(USUAL_GAP_DAYS)
        mean = (np.bincount(whose, weights=apart, minlength=n) + 2 * shop) / (x + 2)
        logs, some = np.log1p(apart), np.maximum(x, 1)
        squares = np.bincount(whose, weights=logs**2, minlength=n) / some
        variance = squares - (np.bincount(whose, weights=logs, minlength=n) / some) ** 2
        spread = np.where(x > 1, np.sqrt(np.maximum(variance, 0)), USUAL_SPREAD)
        return mean, spread, (self.us - self.orders.last_us) / DAY_US

    @cached_property
    def gap_law(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the logarithm of each buyer's gaps in days, drawn to the shop's as by two
        more gaps."""
        whose, apart = self.orders.gaps
        logs, n, x = np.log(apart), self.orders.visitors, self.orders.repeats
        own = np.bincount(whose, weights=logs, minlength=n) / np.maximum(x, 1)
        within = (logs - own[whose]) ** 2
        free = len(logs) - np.count_nonzero(x)
        shop_mean = float(logs.mean()) if len(logs) else np.log(USUAL_GAP_DAYS)
        shop_variance = float(within.sum()) / free if free > 0 else USUAL_SPREAD**2
        mean = (own * x + 2 * shop_mean) / (x + 2)
        variance = (np.bincount(whose, weights=within, minlength=n) + 2 * shop_variance) / (x + 2)
        return mean[self.buyers], np.sqrt(np.maximum(variance, LEAST_SPREAD**2))[self.buyers]

    def _windows(self) -> list[Floats]:
        orders = self.orders
        ago = (self.us - orders.us) / DAY_US
        counts = [orders.sum(ago <= days) for days in WINDOWS]
        faded = [orders.sum(0.5 ** (ago / half_life)) for half_life in HALF_LIVES]
        paid = [orders.sum(orders.spend * (ago <= days)) for days in (30, 90)]
        return [np.log1p(value) for value in (*counts, *faded, *paid)]


def logit(probability: Floats) -> Floats:
    """Log odds, bounded."""
    inside = np.clip(probability, SURE, 1 - SURE)
    return np.asarray(np.log(inside / (1 - inside)))


def expit(odds: Floats) -> Floats:
    """The probability of log odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -50, 50))))
