"""Which root category the next order will hold.

A category's probability is the share of the buyer's own order days that had it, newer days counting more, drawn to the
share that it has in the shop: (own + k x shop) / (days + k). How fast days fade and how hard the draw is are chosen by
how often the first guess was right at an earlier moment; there the probabilities are calibrated too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from portraits.local import DAY_US
from portraits.past import Past
from portraits.predictions.calibration import Calibrator
from portraits.predictions.moments import logit
from portraits.predictions.orders import Floats, Ints, places

HALF_LIVES = (30.0, 180.0, 3650.0)
DRAWS = (0.5, 2.0, 8.0)
EARLIER_DAYS = 30
ENOUGH = 100
"""Buyers with an order after the earlier moment that a choice needs."""


@dataclass(frozen=True)
class Baskets:
    """Order days and the root categories on them: visitor, category, whole days before T; one entry each.

    names: of the categories, sorted. visitors: how many there are.
    """

    who: Ints
    category: Ints
    day: Ints
    names: pa.Array
    visitors: int

    @classmethod
    def read(cls, past: Past, users: pa.ChunkedArray, as_of_us: int) -> Baskets:
        """The baskets of `users`."""
        rows = _day_categories(past, as_of_us).to_pyarrow()
        names = pa.array(sorted(pc.unique(rows["root"]).to_pylist()), pa.string())
        who = places(rows["user_id"], users)
        rows = rows.append_column("who", who).append_column("category", pc.index_in(rows["root"], value_set=names))
        rows = rows.filter(pc.is_valid(rows["who"]))
        whose, category, day = (rows[name].to_numpy().astype(np.int64) for name in ("who", "category", "day"))
        order = np.lexsort((day, category, whose))
        return cls(whose[order], category[order], day[order], names, len(users))

    def kept(self, mask: Any) -> Baskets:
        """Those entries alone."""
        return Baskets(self.who[mask], self.category[mask], self.day[mask], self.names, self.visitors)

    def since(self, us: Ints, as_of_us: int) -> Baskets:
        """Those of the whole days after a moment of each visitor's own."""
        return self.kept(self.day < (as_of_us - us[self.who]) // DAY_US) if us.any() else self


@dataclass(frozen=True, slots=True)
class Rule:
    """half_life in days, draw in order days; `calibrator` None where there was too little to choose and calibrate."""

    half_life: float
    draw: float
    calibrator: Calibrator | None

    def of(self, baskets: Baskets, days: int = 0) -> tuple[Ints, Floats]:
        """Category (-1 for a visitor without an order) and its probability, as known `days` before T."""
        known = baskets.kept(baskets.day >= days)
        category, p = _guess(known, days, self.half_life, self.draw)
        return category, p if self.calibrator is None else self.calibrator.of(logit(p)).p


def choose(baskets: Baskets) -> tuple[Rule, dict[str, Any]]:
    """The rule that guessed best at the earlier moment, and the account of it."""
    came = baskets.kept(baskets.day < EARLIER_DAYS)
    first_day = np.full(baskets.visitors, -1)
    np.maximum.at(first_day, came.who, came.day)
    at_once = came.kept(came.day == first_day[came.who])
    following = np.unique(at_once.who * len(baskets.names) + at_once.category)
    tried = []
    for half_life, draw in product(HALF_LIVES, DRAWS):
        guess, p = Rule(half_life, draw, None).of(baskets, EARLIER_DAYS)
        judged = np.flatnonzero((guess >= 0) & (first_day >= 0))
        right = np.isin(judged * len(baskets.names) + guess[judged], following).astype(np.float64)
        tried.append((float(right.sum()), half_life, draw, p[judged], right))
    _, half_life, draw, p, right = max(tried, key=lambda one: one[0])
    account = {"rows": len(right), "hit_rate": round(float(right.mean()), 4) if len(right) else None}
    if len(right) < ENOUGH:
        return Rule(HALF_LIVES[1], DRAWS[1], None), account
    account |= {"half_life_days": half_life, "draw": draw}
    return Rule(half_life, draw, Calibrator.fit(logit(p), right)), account


def _day_categories(past: Past, as_of_us: int) -> ir.Table:
    trades = past.trades.filter(past.trades.is_purchase)
    joined = trades.inner_join(past.items.filter(past.items.root != ""), "item_id")
    return joined.select("user_id", "root", day=(as_of_us - 1 - joined.ts_us) // DAY_US).distinct()


def _guess(known: Baskets, now: int, half_life: float, draw: float) -> tuple[Ints, Floats]:
    """The likeliest category of each visitor: one of the own, or the shop's first."""
    categories = len(known.names)
    days = np.unique(known.who * 2**20 + known.day)
    total = np.bincount(days >> 20, weights=_faded(days & (2**20 - 1), now, half_life), minlength=known.visitors)
    share = np.bincount(known.category, minlength=categories) / max(len(days), 1)
    pair, at = np.unique(known.who * categories + known.category, return_inverse=True)
    own = np.bincount(at, weights=_faded(known.day, now, half_life), minlength=len(pair))
    who, category = (pair // categories, pair % categories) if categories else (pair, pair)
    p = (own + draw * share[category]) / (total[who] + draw)
    top = int(np.argmax(share)) if categories else -1
    best, chance = np.where(total > 0, top, -1), draw * (share[top] if categories else 0.0) / (total + draw)
    order = np.lexsort((-category, p, who))
    last = order[np.r_[np.diff(who[order]) > 0, True]] if len(order) else order
    better = last[p[last] >= chance[who[last]]]
    best[who[better]], chance[who[better]] = category[better], p[better]
    return best.astype(np.int64), chance.astype(np.float64)


def _faded(day: Ints, now: int, half_life: float) -> Floats:
    return np.asarray(0.5 ** ((day - now) / half_life))
