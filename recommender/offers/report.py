"""What offers earned: per offer, segment and night, and in all, beside visitors who were never given one.

What is compared is drawn by the holdout alone, so that nothing that offers do can choose who is compared (intention to
treat). In all and per segment: what visitors did from their first answer about offers in the span on, by the arm of
that answer, also if it could only be none. Per night: within `offer_days` after the visitor's first answer by its plan,
of any kind. Per offer: within `offer_days` after the first time ever that the policy chose it for the visitor, given or
held back, and only if no offer had come to its limit a person by then: buyers use up offers where they get them, and
are answered with none or others from then on, while nobody of the holdout ever does
(`recommender.offers.assigned`). Each visitor is in a line once. Lines share purchases and do not add up to the whole.
What an offer does when it is given again is in the whole and in the nights, in no line of its own.

A visitor who was held out was held out before, too: what differs is a shop with offers and one without, at the moments
when this offer was due, and not one offer more or less. Plans learn of what visitors bought; where offers change that
much, later offers are due to others in either arm, which first times of an offer that came late cannot tell apart.
Segments are as of the night before; a visitor may be in one because of earlier offers.

Without a holdout, offers that were given by known chances are compared by them (`incremental.CHANCES`); where neither
is known (campaigns of a shop's history), with others who look like those who got them, and no cause is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isnan, nan
from typing import Any

import numpy as np
from ibis.backends.duckdb import Backend

from portraits.local import DAY_US
from portraits.segments.nights import Night
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot
from recommender.contrast import split_is_unlikely
from recommender.effects.propensities import LOWEST, with_propensities
from recommender.effects.rows import NONE, rows_of
from recommender.offers.declared import Float32
from recommender.offers.evidence import Evidence, evidence
from recommender.offers.features import features_at
from recommender.offers.incremental import (
    CHANCES,
    FIGURES,
    HOLDOUT,
    NOT_RANDOMISED,
    Ints,
    Line,
    Side,
    apart,
    judged,
    line,
)

TABLES = ("offers", "segments", "nights")
MANY = 5
"""Lines of a table from which on it is said that some look good by chance."""


@dataclass(frozen=True)
class Report:
    """overall: None without a holdout. offers, segments, nights: lines that can be compared at all. funnel: by offer,
    see `Evidence`. objective: "revenue": margin is what was paid. counts, warnings: sentences for people."""

    since: datetime
    until: datetime
    objective: str
    overall: Line | None
    offers: Sequence[Line]
    segments: Sequence[Line]
    nights: Sequence[Line]
    funnel: Mapping[str, Mapping[str, float]]
    counts: Mapping[str, int]
    warnings: Sequence[str]

    def days(self, one: Line) -> float:
        """Days until the line would tell, if visitors keep coming as they did; nan where nothing says."""
        there, span = sum(one.visitors), (self.until - self.since).total_seconds() / 86_400
        return one.needs * span / there if there else nan

    def as_json(self) -> dict[str, Any]:
        """Figures as [value, low, high]; what is not known is null."""
        tables = {name: [self._told(one) for one in getattr(self, name)] for name in TABLES}
        overall = None if self.overall is None else self._told(self.overall)
        head = {"from": self.since, "to": self.until, "objective": self.objective, "overall": overall}
        rest = {"funnel": dict(self.funnel), "counts": dict(self.counts), "warnings": list(self.warnings)}
        return head | tables | rest

    def _told(self, one: Line) -> dict[str, Any]:
        figures = {
            name: {
                "treated": _known(told.treated.mean),
                "control": _known(told.control.mean),
                "difference": [_known(part) for part in told.difference],
                "detectable": _known(told.detectable),
            }
            for name, told in one.figures.items()
        }
        return {
            "of": one.of,
            "how": one.how,
            "visitors": dict(zip(("treated", "control"), one.visitors, strict=True)),
            "trials": dict(zip(("treated", "control"), one.rows, strict=True)),
            "figures": figures,
            "totals": {name: [_known(part) for part in one.totals[name]] for name in FIGURES},
            "roi": [_known(part) for part in one.roi],
            "says": one.says,
            "chance": _known(one.chance),
            "more_visitors": _known(one.needs),
            "more_days": _known(self.days(one)),
        }


def report(
    snapshot: Snapshot,
    settings: AppSettings,
    since: datetime,
    until: datetime,
    con: Backend,
    *,
    nights: Sequence[Night] = (),
) -> Report:
    """The report of one app from `since` to before `until`, of what the lake holds. nights: of segments.

    Raises NothingThere when nothing was tried in that time."""
    found = evidence(snapshot, settings, since, until, con, nights=nights)
    unknown = np.isnan(found.trials.propensity) & ~found.live
    X: Float32 | None = None
    if unknown.any():
        told = found.trials
        X = features_at(snapshot, settings, until, con, told.user_id, told.at_us)[0]
    return report_of(found, settings, X)


def report_of(found: Evidence, settings: AppSettings, X: Float32 | None = None) -> Report:
    """The report of what was gathered. X: [N, F], what was known of the visitors of the trials; needed where nobody
    was drawn."""
    overall = _overall(found)
    offers = judged(_offers(found, settings, X))
    segments = judged(_segments(found))
    nights = judged(_nights(found))
    account = {
        "trials": len(found.trials),
        "windows still open": int(np.sum(~found.trials.complete)),
        "redeemed": found.redeemed,
        "redeemed unseen": found.unseen,
    }
    return Report(
        since=found.since,
        until=found.until,
        objective=settings.objective,
        overall=overall,
        offers=offers,
        segments=segments,
        nights=nights,
        funnel=found.funnel,
        counts=account,
        warnings=_warnings(found, settings, overall, offers),
    )


def _overall(found: Evidence) -> Line | None:
    sides = _sides(found.held, np.arange(len(found.held)))
    return None if sides is None else line("", HOLDOUT, found.totals, *sides)


def _segments(found: Evidence) -> list[Line]:
    told = ((name, _sides(found.held[places], places)) for name, places in found.segments.items())
    return [line(name, HOLDOUT, found.totals, *sides) for name, sides in told if sides is not None]


def _nights(found: Evidence) -> list[Line]:
    nights = found.nights
    lines = []
    for name in sorted(set(nights.version.tolist())):
        rows = np.flatnonzero(nights.version == name)
        sides = _sides(nights.held[rows], rows)
        if sides is not None:
            lines.append(line(name, HOLDOUT, nights.values, *sides))
    return lines


def _offers(found: Evidence, settings: AppSettings, X: Float32 | None) -> list[Line]:
    told = found.trials
    lines = {}
    for place, offer in enumerate(told.offers):
        rows = found.firsts[told.intended[found.firsts] == place]
        sides = _sides(told.control[rows], rows)
        if sides is not None:
            lines[offer] = line(offer, HOLDOUT, found.values, *sides)
    for place, offer in enumerate(told.offers):
        other = None if offer in lines else _without_holdout(found, settings, place, X)
        if other is not None:
            lines[offer] = other
    return [lines[offer] for offer in told.offers if offer in lines]


def _sides(control: np.ndarray, rows: Ints) -> tuple[Side, Side] | None:
    """Treated and control of some rows, by whether each is in control; None unless there are both."""
    treated, held = rows[~control], rows[control]
    return (Side(treated), Side(held)) if len(treated) and len(held) else None


def _without_holdout(found: Evidence, settings: AppSettings, offer: int, X: Float32 | None) -> Line | None:
    """An offer beside nothing, both given on the same days; by their chances, known or estimated. Not of who may have
    used up an offer: who has it no more is among those who got nothing, and not among those who got it."""
    told = found.trials
    days = told.at_us // DAY_US
    given = told.action == offer
    alike = told.even if len(told.even) else np.ones(len(told), bool)
    rows = np.flatnonzero(alike & (given | ((told.action == -1) & ~told.control & np.isin(days, days[given]))))
    rows = rows[apart(np.zeros(len(rows), np.int64), found.visitor[rows], told.at_us[rows], _window(settings))]
    known = told.propensity[rows] > 0
    how = CHANCES if known[given[rows]].any() else NOT_RANDOMISED
    rows = rows[known] if how == CHANCES else rows[~known]
    treated = given[rows]
    if not treated.any() or treated.all():
        return None
    weight = 1 / told.propensity[rows]
    if how == NOT_RANDOMISED:
        if X is None:
            return None
        weight = _alike(X[rows], treated, found.visitor[rows], settings.seed)
    sides = (Side(rows[which], weight[which]) for which in (treated, ~treated))
    return line(told.offers[offer], how, found.values, *sides)


def _alike(X: Float32, treated: np.ndarray, visitor: Ints, seed: int) -> np.ndarray:
    """Weights by which those who were not given something are as those who were: the odds of being given it (Hirano,
    Imbens, Ridder 2003)."""
    action = np.where(treated, 0, NONE)
    unknown = np.full(len(action), np.nan)
    rows, _ = with_propensities(rows_of(X, action, unknown, np.zeros(len(action)), 1, visitor), seed)
    chance = np.maximum(rows.propensity, LOWEST)
    return np.where(treated, 1.0, (1 - chance) / chance)


def _window(settings: AppSettings) -> int:
    return round(settings.offer_days * DAY_US)


def _warnings(found: Evidence, settings: AppSettings, overall: Line | None, offers: Sequence[Line]) -> list[str]:
    said = []
    if overall is None:
        said.append(
            "nobody was held out, so that nothing tells what all offers together earned; the share is the setting "
            f"offer_control_share ({settings.offer_control_share:g})"
        )
    else:
        treated, control = overall.visitors
        if split_is_unlikely(control, treated + control, settings.offer_control_share):
            said.append(
                f"{control / (treated + control):.1%} of the visitors were held out, and offer_control_share says "
                f"{settings.offer_control_share:.1%}: unless it was changed meanwhile, do not trust this comparison"
            )
    if any(one.how == NOT_RANDOMISED for one in offers):
        said.append(
            "not randomised: who got these offers was chosen by somebody, by no known chance; beside others who look "
            "alike by their portraits is all that can be said, and no cause is claimed"
        )
    tested = sum(not isnan(one.chance) for one in offers)
    if tested >= MANY:
        said.append(
            f"of {tested} offers some look good or bad by chance: verdicts allow for that (of those that are given, "
            "one in twenty may be wrong), intervals do not"
        )
    if settings.objective == "revenue":
        said.append("the objective is revenue: margin is what was paid, as if goods cost nothing")
    shown = int(np.sum(found.trials.control & found.trials.exposed))
    if shown:
        said.append(f"{shown:,} trials of the holdout tell that the offer was seen: the comparison is weakened by them")
    return said


def _known(value: float) -> float | None:
    return None if isnan(value) else round(value, 6)
