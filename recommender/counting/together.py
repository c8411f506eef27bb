"""Bought together: which items are in one order more often than chance would have it.

One Ibis expression, from order lines to pairs. An order is what one visitor bought under one order_id, or at one moment
where there is none. With n orders, n_a of them with item a and n_ab with both:

    lift(a, b) = n_ab * n / (n_a * n_b)        confidence(a, b) = n_ab / n_a

Lift alone favours flukes (two rare items that met once have the highest) and confidence what everybody buys anyway. So
pairs are ranked by what b tells about an order with a: confidence times the logarithm of the lift, which is shrunk
towards 1 as if PRIOR further orders had behaved like chance (the gamma-Poisson shrinkage of DuMouchel 1999). On the
next month of a gift shop this foretells the rest of an order nearly as well as confidence, with more different items,
and better than log-likelihood ratios and lift.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt

from portraits.past import Past
from recommender.history.dataset import Ids, as_ids

LONGEST_ORDER = 50
"""Items of an order that are paired: the rarest ones. A wholesaler's order of a thousand says little of any pair."""
FEWEST_ORDERS = 2
FEWEST_VISITORS = 2
"""What only one visitor buys together is that visitor's habit."""
KEPT = 30
PRIOR = 5.0


def lines_of(past: Past) -> ir.Table:
    """user_id, order_key, item_id: what was bought and not cancelled, each item of an order once."""
    trades = past.trades
    lines = trades.filter(trades.is_purchase & ~trades.cancelled & trades.item_id.notnull())
    if not past.real_time:  # an order without id is named by its moment ("at ..."), and here there is none
        lines = lines.filter(~lines.order_key.startswith("at "))
    return lines.select("user_id", "order_key", "item_id").distinct()


def pairs(lines: ir.Table) -> ir.Table:
    """One row an ordered pair: item_id, other_id, orders (with both), lift, confidence, score, rank (0 is best).

    `lines` as `lines_of` gives them. At most KEPT others an item; a pair takes FEWEST_ORDERS orders of FEWEST_VISITORS
    different visitors and a lift above 1.
    """
    total = lines.select("user_id", "order_key").distinct().count().as_scalar()
    sizes = lines.group_by("item_id").aggregate(n=lines.count())
    often = lines.inner_join(sizes.filter(sizes.n >= FEWEST_ORDERS), "item_id")
    rarest_first = ibis.window(group_by=["user_id", "order_key"], order_by=[often.n, often.item_id])
    often = often.mutate(place=ibis.row_number().over(rarest_first))
    one = often.filter(often.place < LONGEST_ORDER)
    other = one.select("user_id", "order_key", other_id="item_id", other_n="n")
    met = one.inner_join(other, ["user_id", "order_key"]).filter(lambda both: both.item_id < both.other_id)
    by_visitor = met.group_by("item_id", "n", "other_id", "other_n", "user_id").aggregate(orders=ibis._.count())
    counted = by_visitor.group_by("item_id", "n", "other_id", "other_n").aggregate(
        orders=ibis._.orders.sum(), visitors=ibis._.count()
    )
    counted = counted.filter((counted.orders >= FEWEST_ORDERS) & (counted.visitors >= FEWEST_VISITORS))
    counted = counted.select("item_id", "n", "other_id", "other_n", "orders")
    turned = counted.select(item_id="other_id", n="other_n", other_id="item_id", other_n="n", orders="orders")
    return _ranked(counted.union(turned), total)


def _ranked(both: ir.Table, total: Any) -> ir.Table:
    chance = both.n.cast("float64") * both.other_n / total
    scored = both.select(
        "item_id",
        "other_id",
        "orders",
        lift=both.orders / chance,
        confidence=both.orders / both.n,
        score=(((both.orders + PRIOR) / (chance + PRIOR)).ln() * both.orders / both.n).round(9),
    )
    scored = scored.filter(scored.lift > 1)
    best_first = ibis.window(group_by="item_id", order_by=[scored.score.desc(), scored.other_id])
    ranked = scored.mutate(rank=ibis.row_number().over(best_first))
    return ranked.filter(ranked["rank"] < KEPT)


def arrays(found: ir.Table, items: Ids) -> dict[str, npt.NDArray[Any]]:
    """The bundle's arrays of the pairs; `items`: the vocabulary. Scores are shares of an item's best pair."""
    rows = found.to_pyarrow().to_pydict()
    one, other = _places(rows["item_id"], items), _places(rows["other_id"], items)
    kept = (one >= 0) & (other >= 0)
    one, rank = one[kept], np.array(rows["rank"], np.intp)[kept]
    width = int(rank.max(initial=-1)) + 1
    made: dict[str, npt.NDArray[Any]] = {
        "together_items": np.full((len(items), width), -1, np.int32),
        "together_scores": np.zeros((len(items), width), np.float32),
        "together_lift": np.zeros((len(items), width), np.float32),
        "together_orders": np.zeros((len(items), width), np.int32),
    }
    made["together_items"][one, rank] = other[kept]
    for name, column in (("scores", "score"), ("lift", "lift"), ("orders", "orders")):
        made[f"together_{name}"][one, rank] = np.array(rows[column], float)[kept]
    best = made["together_scores"][:, :1]
    made["together_scores"] /= np.where(best > 0, best, 1)
    return made


def _places(ids: Sequence[str], items: Ids) -> npt.NDArray[np.intp]:
    """Rows of ids in the vocabulary, -1 where unknown."""
    wanted = as_ids(ids)
    if not len(items) or not len(wanted):
        return np.full(len(wanted), -1)
    at = np.minimum(np.searchsorted(items, wanted), len(items) - 1)
    return np.where(items[at] == wanted, at, -1)
