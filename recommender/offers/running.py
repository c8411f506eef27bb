"""For how many of the days that a plan looks ahead an offer runs, and what of a visitor's answers falls into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.offers.wording import moment

Floats = NDArray[np.float64]
SURE = 1 - 1e-9


def running(offer: Mapping[str, Any], as_of: datetime, days: float = inf) -> float:
    """Days, of so many next ones, on which an offer runs by its `starts` and `ends`."""
    starts, ends = ((at - as_of) / timedelta(days=1) if at else None for at in _span(offer))
    return max(min(days, inf if ends is None else ends) - max(starts or 0.0, 0.0), 0.0)


def shares(offers: Sequence[Mapping[str, Any]], as_of: datetime, days: float) -> Floats:
    """[O]: the share of the next `days` in which each runs."""
    return np.array([running(one, as_of, days) / days for one in offers], np.float64)


def chances(weight: Floats, share: Floats | float) -> Floats:
    """[U + 1]: answers to expect of each visitor in `share` of the days that the plan looks ahead (it may be above 1).

    weight: [U + 1], the chance that the visitor comes at all in those days; the last, for strangers, is how many come.
    """
    come = 1.0 - (1.0 - np.minimum(weight, SURE)) ** share
    last = np.arange(len(weight)) == len(weight) - 1
    return np.asarray(np.where(last, weight * share, come))


def while_running(tables: Sequence[NDArray[Any]], weight: Floats, share: Floats | None) -> list[NDArray[Any]]:
    """The tables [U + 1, O] of what an answer brings, scaled so that `weight` times a cell counts only the days on
    which the offer runs.

    share: [O], see `shares`; None: all run all the time. The very same tables come back where nothing changes.
    """
    short = [] if share is None else np.flatnonzero(share < 1).tolist()
    if share is None or not short:
        return list(tables)
    found = [np.array(table) for table in tables]
    for column in short:
        part = chances(weight, float(share[column])) / np.where(weight > 0, weight, 1.0)
        for table in found:
            table[:, column] *= part.astype(table.dtype)
    return found


def _span(offer: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    return moment(offer.get("starts")), moment(offer.get("ends"))
