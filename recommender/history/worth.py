"""What one success with an item is worth to the merchant, by the app's objective."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recommender.history.facts import Facts

Floats = npt.NDArray[np.float64]

SURE_VIEWS = 20.0
"""Views that the average counts for in what a view of an item earns."""


class Earned(NamedTuple):
    """float64[I] each, of the events before a moment. paid: money of purchase lines, and lines: how many; revenue: of
    ads and leads, and views: how often the item was looked at or clicked."""

    paid: Floats
    lines: Floats
    revenue: Floats
    views: Floats


def worth_of(objective: str, facts: Facts, earned: Earned) -> Floats | None:
    """float64[I], 0 or more, in minor units: what a success with each item is worth; None where all are alike.

    revenue: the price; where the catalogue gives none, what was paid for a line on average. margin: price less cost;
    without a cost the median margin share of the items that have one, and where none has, the price. An item of which
    nothing is known is worth the median. An app that sells nothing is paid by visits: what its events earned for each
    view, shrunk to the average.
    """
    if objective not in ("margin", "revenue"):
        return None
    if not earned.lines.any():
        return _by_views(earned)
    price = np.where(facts.price >= 0, facts.price, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        price = np.where(np.isnan(price), earned.paid / earned.lines, price)
        price = np.where(np.isnan(price) & (earned.revenue > 0), earned.revenue / earned.views, price)
    worth = _margins(price, facts.cost) if objective == "margin" else price
    known = np.isfinite(worth)
    return np.where(known, np.maximum(worth, 0.0), np.median(worth[known]))


def _by_views(earned: Earned) -> Floats | None:
    average = earned.revenue.sum() / max(earned.views.sum(), 1.0)
    if average == 0:
        return None
    shrunk: Floats = (earned.revenue + SURE_VIEWS * average) / (earned.views + SURE_VIEWS)
    return shrunk


def _margins(price: Floats, cost: npt.NDArray[np.int64]) -> Floats:
    """Price less cost, NaN where there is no price."""
    told = (cost >= 0) & (price > 0)
    share = float(np.median(1 - cost[told] / price[told])) if told.any() else 1.0
    margin: Floats = np.where(cost >= 0, price - cost, price * max(share, 0.0))
    return margin
