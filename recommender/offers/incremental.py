"""What offers added beside those who got none: one line of the report, from arrays.

A line compares two sets of rows (trials, or visitors): treated and control. How they may be compared:

- holdout: visitors who are never given an offer, with the choice that would have been theirs (ghosts: Johnson, Lewis,
  Nubbemeyer 2017, "Ghost ads"). Who got something and who would have got it differ by a draw alone
- chances: nobody was held out, but each was given something or nothing by a known chance: rows weigh 1 / chance
- not randomised: neither is known; chances are estimated from what is known of the visitors, and the difference is that
  of those who were given something to others who look like them. No cause is claimed of it

Everything is a ratio of two sums over visitors (`recommender.contrast`). Profit is margin before coupons, less what
coupons cost. ROI is profit by cost, its interval that of a ratio (Fieller 1954), none where the cost may be 0. A line's
verdict is that of its profit; of the lines of a table some will look good by chance, so that verdicts hold after
Benjamini and Hochberg (1995): of those that are said, one in twenty is expected to be wrong.

The control group is small, and money has a long tail: a small arm that missed the great orders looks both poor and
sure, and a worthless offer looks good (planted, 300 visitors held out of 6,000, orders as a lognormal of 1.2: 10 in 100
are said to earn by their own variances). A holdout is drawn from the same people, so the arms' spread is taken together
(then 1 in 100; intervals hold in 95 of 100, by their own variances in 89), but for the cost, which control has none of.

What visitors earned before their first offer is taken off as far as it foretells what they earn after (CUPED: Deng, Xu,
Kohavi, Walker 2013), in lines by visitor: it was there before the draw, so nothing bends, and the noise shrinks. A
quarter's spending takes 48% off the variance of the next one's among a grocer's households (complete_journey), 61%
among customers of a gift shop (online_retail), and next to nothing where people rarely buy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan, sqrt
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import false_discovery_control, t

from recommender.contrast import FEWEST_WITH_ANY, SURE, Arm, Contrast, contrast

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer[Any]]
Within = tuple[float, float, float]

FIGURES = ("bought", "revenue", "margin", "cost", "profit")
HOLDOUT, CHANCES, NOT_RANDOMISED = "holdout", "chances", "not randomised"
EARNS, LOSES, ALIKE, EARLY = "earns", "loses", "no difference", "too early to tell"
FEWEST_TO_ADJUST = 100
"""Visitors of each arm below which what was before is not looked at."""
UNKNOWN: Within = (nan, nan, nan)


class Values(NamedTuple):
    """What came of N rows: visitor (a number), and of each row bought (0 or 1), revenue, margin (before coupons), cost
    (of coupons), minor units. before: what the visitor earned before the first offer; None: not known."""

    visitor: Ints
    bought: Floats
    revenue: Floats
    margin: Floats
    cost: Floats
    before: Floats | None = None

    @property
    def profit(self) -> Floats:
        """Margin less cost."""
        return self.margin - self.cost


class Side(NamedTuple):
    """Rows of one arm and what each weighs; None: all alike."""

    rows: Ints
    weight: Floats | None = None


@dataclass(frozen=True)
class Line:
    """of: an offer, a segment, a night; "" all. how: see the module. visitors, rows: of treated and control. figures:
    by `FIGURES`, for each row. totals: the differences of all treated rows together. roi: (value, low, high). says:
    "earns", "loses", "no difference", "too early to tell", or "not randomised". chance: that there is nothing, after
    Benjamini and Hochberg. needs: how many more visitors would tell a profit as great as the one seen; nan: nothing
    says. steadier: share of the profit's variance that what was before took off."""

    of: str
    how: str
    visitors: tuple[int, int]
    rows: tuple[int, int]
    figures: Mapping[str, Contrast]
    totals: Mapping[str, Within]
    roi: Within
    says: str
    chance: float
    needs: float
    steadier: float = 0.0


def line(of: str, how: str, values: Values, treated: Side, control: Side) -> Line:
    """One line, judged by itself: see `judged`."""
    sides = treated, control
    raw = {name: [_by_visitor(values, side, name) for side in sides] for name in FIGURES}
    adjusted = _adjusted(values, raw, sides)
    steadier = 0.0
    figures = {name: contrast(*_arms(adjusted[name], raw[name], how == HOLDOUT and name != "cost")) for name in FIGURES}
    if adjusted is not raw:
        plain, now = (sum(Arm.of(*own).error ** 2 for own in told["profit"]) for told in (raw, adjusted))
        steadier = 1 - now / plain if plain else 0.0
    count = len(treated.rows)
    totals = {name: _times(figures[name].difference, count) for name in FIGURES}
    found = Line(
        of=of,
        how=how,
        visitors=(figures["profit"].treated.visitors, figures["profit"].control.visitors),
        rows=(count, len(control.rows)),
        figures=figures,
        totals=totals,
        roi=_roi(adjusted, figures),
        says="",
        chance=figures["profit"].chance,
        needs=_needs(figures["profit"]),
        steadier=steadier,
    )
    return replace(found, says=_says(found))


def judged(lines: Sequence[Line]) -> list[Line]:
    """The lines of one table with verdicts that hold together."""
    known = [place for place, one in enumerate(lines) if not isnan(one.chance)]
    found = list(lines)
    if known:
        together = false_discovery_control([lines[place].chance for place in known])
        for place, chance in zip(known, together, strict=True):
            changed = replace(lines[place], chance=float(chance))
            found[place] = replace(changed, says=_says(changed))
    return found


def apart(group: Ints, visitor: Ints, at_us: npt.NDArray[np.int64], window_us: int) -> Ints:
    """Rows, in order, whose windows do not overlap with those of earlier rows taken of the same group and visitor; so
    that a purchase counts once in a group. Rows of group -1 are in none."""
    order = np.lexsort((at_us, visitor, group))
    order = order[group[order] >= 0]
    kept, last, until = [], (-1, -1), 0
    told = zip(order.tolist(), group[order].tolist(), visitor[order].tolist(), at_us[order].tolist(), strict=True)
    for row, of, who, at in told:
        if (of, who) != last or at >= until:
            kept.append(row)
            last, until = (of, who), at + window_us
    return np.sort(np.array(kept, np.int64))


class _Sums(NamedTuple):
    counted: Floats
    by: Floats


def _by_visitor(values: Values, side: Side, name: str) -> _Sums:
    who = np.unique(values.visitor[side.rows], return_inverse=True)[1]
    size = int(who.max(initial=-1)) + 1
    weight = np.ones(len(side.rows)) if side.weight is None else side.weight
    counted = np.bincount(who, weight * getattr(values, name)[side.rows], size)
    return _Sums(counted.astype(np.float64), np.bincount(who, weight, size).astype(np.float64))


def _adjusted(values: Values, raw: dict[str, list[_Sums]], sides: tuple[Side, Side]) -> dict[str, list[_Sums]]:
    """Sums less what was before foretells of them; the same dict where nothing is known of before, or rows are no
    visitors."""
    before = values.before
    alone = all(len(own.by) == len(side.rows) >= FEWEST_TO_ADJUST for own, side in zip(raw["cost"], sides, strict=True))
    if before is None or not alone or any(side.weight is not None for side in sides):
        return raw
    orders = [np.argsort(values.visitor[side.rows], kind="stable") for side in sides]
    was = [before[side.rows[order]] for side, order in zip(sides, orders, strict=True)]
    middle = float(np.concatenate(was).mean())
    inside = [own - own.mean() for own in was]
    spread = sum(float(own @ own) for own in inside)
    if not spread:
        return raw
    found = {}
    for name, arms in raw.items():
        slope = sum(float(own @ arm.counted) for own, arm in zip(inside, arms, strict=True)) / spread
        found[name] = [_Sums(arm.counted - slope * (x - middle), arm.by) for arm, x in zip(arms, was, strict=True)]
    return found


def _arms(sums: list[_Sums], raw: list[_Sums], together: bool) -> list[Arm]:
    """Treated, control. together: with one spread of what varies in both."""
    arms = [Arm.of(*own)._replace(some=int(np.count_nonzero(was.counted))) for own, was in zip(sums, raw, strict=True)]
    if not together or min(arm.visitors for arm in arms) < 2:
        return arms
    freedom = [arm.visitors - 1 for arm in arms]
    spread = sum(free * arm.visitors * arm.error**2 for free, arm in zip(freedom, arms, strict=True)) / sum(freedom)
    return [arm._replace(error=sqrt(spread / arm.visitors)) for arm in arms]


def _times(within: Within, count: int) -> Within:
    value, low, high = (one * count for one in within)
    return value, low, high


def _roi(sums: dict[str, list[_Sums]], figures: Mapping[str, Contrast]) -> Within:
    """Profit by cost, of the differences between the arms."""
    profit, cost = figures["profit"], figures["cost"]
    gained, spent = profit.difference[0], cost.difference[0]
    if isnan(profit.difference[1]) or isnan(cost.difference[1]) or not spent:
        return UNKNOWN
    wide = float(t.ppf((1 + SURE) / 2, max(min(cost.treated.visitors, cost.control.visitors) - 1, 1)))
    pp, cc = (one.treated.error**2 + one.control.error**2 for one in (profit, cost))
    pc = sum(_covariance(*both) for both in zip(sums["profit"], sums["cost"], strict=True))
    a, b, c = spent**2 - wide**2 * cc, gained * spent - wide**2 * pc, gained**2 - wide**2 * pp
    if a <= 0 or cost.treated.some < FEWEST_WITH_ANY or isnan(profit.detectable):
        return gained / spent, nan, nan
    root = sqrt(max(b**2 - a * c, 0.0))
    return gained / spent, (b - root) / a, (b + root) / a


def _covariance(one: _Sums, other: _Sums) -> float:
    """Of the two means of one arm."""
    size, total = len(one.by), float(one.by.sum())
    rest = [own.counted - own.counted.sum() / total * own.by for own in (one, other)]
    return float(rest[0] @ rest[1]) / (size - 1) * size / total**2


def _says(found: Line) -> str:
    if found.how == NOT_RANDOMISED:
        return NOT_RANDOMISED
    profit = found.figures["profit"]
    if profit.says == "alike":
        return ALIKE
    if profit.says in ("more", "less") and found.chance <= 1 - SURE:
        return EARNS if profit.says == "more" else LOSES
    return EARLY


def _needs(profit: Contrast) -> float:
    """Visitors beyond those there are, in all, for the difference seen to be detectable."""
    value = profit.difference[0]
    if isnan(profit.detectable) or not value:
        return nan
    there = profit.treated.visitors + profit.control.visitors
    return max(there * (profit.detectable / value) ** 2 - there, 0.0)
