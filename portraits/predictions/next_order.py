"""When the next order comes: the probabilities of the horizons, joined to a distribution over days.

The calibrated probabilities say how much of it lies before each horizon. Between two horizons a buyer's part is laid
out by the own rhythm, gaps between orders being log-normal, given that none came yet since the last one: so a weekly
buyer's next order is due on a day, and the day moves as time goes by. Who has not bought yet has no rhythm, and every
day between two horizons is as good as another.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from portraits.local import DAY_US
from portraits.predictions.moments import Moment
from portraits.predictions.orders import Floats

LITTLE = 1e-9
"""Part of the rhythm's distribution below which it says nothing."""


def days_until(share: float, horizons: tuple[int, ...], chances: Floats, moment: Moment) -> Floats:
    """Days from the moment to the next order's `share` quantile; nan where it lies beyond the last horizon known.

    horizons: days, ascending. chances: visitors x horizons, the probability of an order within each, not falling;
    nan where it is not known.
    """
    found = np.full(len(chances), np.nan)
    low_day, low = np.zeros(len(chances)), np.zeros(len(chances))
    for n, day in enumerate(horizons):
        high = chances[:, n]
        known = ~np.isnan(high)
        here = np.isnan(found) & known & (share <= high)
        part = (share - low) / np.where(high > low, high - low, 1.0)
        found = np.where(here, _between(low_day, np.full(len(found), float(day)), part, moment), found)
        low_day, low = np.where(known, day, low_day), np.where(known, high, low)
    return found


def _between(start: Floats, end: Floats, part: Floats, moment: Moment) -> Floats:
    """The day until which `part` of what lies between two days has come."""
    days = start + np.clip(part, 0, 1) * (end - start)
    buyers = moment.buyers
    if not len(buyers):
        return days
    mean, spread = moment.gap_law
    idle = (moment.us - moment.orders.last_us[buyers]) / DAY_US
    before, after = (ndtr((np.log(idle + day[buyers] + 1e-6) - mean) / spread) for day in (start, end))
    told = after - before > LITTLE
    target = np.clip(before + np.clip(part[buyers], 0, 1) * (after - before), 1e-300, 1 - 1e-16)
    own = np.exp(np.minimum(mean + spread * ndtri(target), 20.0)) - idle
    days[buyers] = np.where(told, np.clip(own, start[buyers], end[buyers]), days[buyers])
    return days
