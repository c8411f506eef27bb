"""The plan as rows: a row for each visitor and each offer that they may have, a block of visitors at a time.

The chances are those that `recommender.offers.decide` draws by: what the day would choose first, asked at once for
many, by the plan's own prices and for whoever is not in the holdout.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recommender.offers.plan_files import OfferPlan

BLOCK = 8_192
"""Visitors looked at together."""
SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("offer_id", pa.string()),
        ("propensity", pa.float64()),
        ("uplift", pa.float64()),
        ("expected_profit", pa.float64()),
        ("chosen", pa.bool_()),
        ("eligible", pa.bool_()),
        ("expected_cost", pa.float64()),
        ("uplift_money", pa.float64()),
    ]
)
"""propensity: chance that the visitor is given the offer first. uplift: change of the chance to buy; uplift_money:
expected margin of what is bought in addition, expected_cost: what the offer then costs, expected_profit: the one minus
the other; minor units. chosen: by the night's plan."""


def rows(
    plan: OfferPlan, exploration: float, left_out: Collection[str] = (), offer: str | None = None
) -> Iterator[pa.RecordBatch]:
    """Batches of `SCHEMA`, sorted by visitor, then in the order of the plan's offers; the stranger is not among them.

    exploration: share of the answers whose choice is drawn at random. left_out: visitors without rows. offer: of this
    one alone.
    """
    gone = plan.users.indices(sorted(left_out))
    kept = np.ones(len(plan.users), bool)
    kept[gone[gone >= 0]] = False
    wanted = np.array([offer is None or name == offer for name in plan.offers], bool)
    names = pa.array(plan.offers, pa.string())
    for start in range(0, len(plan.users), BLOCK):
        block = np.flatnonzero(kept[start : start + BLOCK]) + start
        eligible = plan.eligible[block]
        chance = first_chances(plan, block, exploration)
        at, column = np.nonzero(eligible & wanted)
        ids = pa.array(plan.users.ids(block), pa.string())
        gain, cost = (table[block[at], column].astype(np.float64) for table in (plan.gain, plan.cost))
        columns = [
            ids.take(pa.array(at)),
            names.take(pa.array(column)),
            chance[at, column],
            plan.lift[block[at], column].astype(np.float64),
            gain - cost,
            plan.chosen[block[at]] == column,
            np.ones(len(at), bool),
            cost,
            gain,
        ]
        yield pa.RecordBatch.from_arrays([pa.array(one) for one in columns], schema=SCHEMA)


def first_chances(plan: OfferPlan, block: NDArray[np.intp], exploration: float) -> NDArray[np.float64]:
    """[n, O]: the chance that each offer is given first to each of these visitors (rows of the plan); 0 for what they
    may not have."""
    eligible = plan.eligible[block]
    total = plan.prices.get("", 0.0)
    rate = np.array([1.0 + plan.prices.get(name, 0.0) + total for name in plan.offers])
    mean = (plan.gain[block] - rate * plan.cost[block]).astype(np.float32)
    at = np.arange(len(block))
    wins = np.zeros(eligible.shape)
    for shift in plan.shift:
        worth = np.where(eligible, mean + shift[plan.group[block]], -np.inf)
        best = worth.argmax(axis=1)
        pays = worth[at, best] > 0
        wins[at[pays], best[pays]] += 1
    drawn = exploration / (np.count_nonzero(eligible, axis=1) + 1)
    chances = drawn[:, None] + (1 - exploration) * wins / max(len(plan.shift), 1)
    return np.where(eligible, chances, 0.0)
