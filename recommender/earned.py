"""What the recommender earns: visitors who are recommended to, beside the control share that sees the popular shelf.

A visitor's arm is drawn once and stays, so whatever differs between the arms beyond chance is caused by the shelf. A
visitor counts from the first answer of the span on, in the arm of that answer (who changes arms later, by a changed
share or by signing in, stays where the draw put them: taking them out would take different people out of each arm).
What such a visitor then does counts in full, whether an answer led to it or not; what is attributed to answers
(`portraits.attribution`) stands beside it. Where nothing personal is wanted, by the visitor or by the call, both arms
are answered alike: such visitors are left out, and such answers are in neither arm. Tables by placement, model version,
source, position and segment describe (`recommender.outcomes`); nothing was drawn there, so nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isnan
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
from ibis.backends.duckdb import Backend

from portraits.attribution import NAMING
from portraits.build import past_of
from portraits.errors import NothingThere
from portraits.local import EPOCH
from portraits.past import Past
from portraits.people import Persons
from portraits.segments.nights import Night
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot
from recommender.contrast import Arm, Contrast, contrast, split_is_unlikely
from recommender.experiment import ARMS, IGNORED, Experiment, decisions_of
from recommender.outcomes import Outcomes

TABLES: Mapping[str, str] = {
    "placement": "placements",
    "version": "versions",
    "source": "sources",
    "position": "positions",
    "segment": "segments",
    "explored": "explored",
}
"""What a table is by -> its name in a report."""
MARGIN = timedelta(days=1)
"""What is read of events before those that matter, so that nobody's session (and with it test traffic) is cut."""


@dataclass(frozen=True)
class Report:
    """objective: margin, revenue (minor units) or clicks. visitors: by arm. figures: by name, see `FIGURES`; empty
    without two arms. placements, versions, sources, positions, segments, explored: rows to describe, see
    `recommender.outcomes`. counts: what was found on the way. ignored: events that name an answer which they cannot
    belong to, by why (see `Experiment.ignored`). warnings: sentences."""

    since: datetime
    until: datetime
    objective: str
    visitors: Mapping[str, int]
    figures: Mapping[str, Contrast]
    placements: Sequence[Mapping[str, Any]]
    versions: Sequence[Mapping[str, Any]]
    sources: Sequence[Mapping[str, Any]]
    positions: Sequence[Mapping[str, Any]]
    segments: Sequence[Mapping[str, Any]]
    explored: Sequence[Mapping[str, Any]]
    counts: Mapping[str, int]
    ignored: Mapping[str, Mapping[str, int]]
    warnings: Sequence[str]

    @property
    def tables(self) -> dict[str, Sequence[Mapping[str, Any]]]:
        """By what each is by."""
        return {by: getattr(self, name) for by, name in TABLES.items()}

    def as_json(self) -> dict[str, Any]:
        """Figures as [value, low, high]; what is not known is null."""
        figures = {
            name: {
                **{arm: _known(getattr(figure, arm).mean) for arm in ARMS},
                "difference": [_known(one) for one in figure.difference],
                "lift": [_known(one) for one in figure.lift],
                "detectable": _known(figure.detectable),
                "says": figure.says,
            }
            for name, figure in self.figures.items()
        }
        tables = {TABLES[by]: [_json_row(row) for row in rows] for by, rows in self.tables.items()}
        rest = tables | {name: getattr(self, name) for name in ("counts", "ignored", "warnings")}
        told = {"from": self.since, "to": self.until, "objective": self.objective, "visitors": dict(self.visitors)}
        return told | {"figures": figures} | rest


FIGURES: Mapping[str, tuple[str, str | None]] = {
    "answers": ("answers", None),
    "click rate": ("clicks", "shown"),
    "clicks": ("clicks", None),
    "bought": ("bought", None),
    "purchases": ("purchases", None),
    "value": ("value", None),
    "value led to": ("led", None),
}
"""name -> what is counted, by what (None: by visitor). answers; clicks of what was shown; clicks; share of visitors who
bought anything; purchases that belong to an answer; the objective of all that was done (less refunds); the objective
of what belongs to an answer (before refunds)."""


def earned(
    snapshot: Snapshot,
    settings: AppSettings,
    since: datetime,
    until: datetime,
    con: Backend,
    *,
    nights: Sequence[Night] = (),
    salt: str | None = None,
) -> Report:
    """The report of one app from `since` to before `until`, of what the lake holds.

    nights: of segments; those that no answer of the span follows are not looked at. salt: the app's, by which an answer
    that was lost is told from one that was made up.

    Raises NothingThere when there are no answers in that time, or no real time.
    """
    past = past_of(snapshot, settings, until, con)
    if not past.real_time:
        raise NothingThere(
            "times in the history of", settings.app_id, "without them it is not known what came after an answer"
        )
    people = Persons(snapshot, con, until)
    experiment = Experiment(_since(past, since), decisions_of(snapshot, past, people, con), since)
    if not experiment.total:
        span = f"from {since:%Y-%m-%d} to {until:%Y-%m-%d}"
        raise NothingThere("answers in the history of", settings.app_id, f"none {span}; each night brings the day's")
    told = experiment.visitors.to_pyarrow()
    arm = np.array(told["arm"].to_pylist(), object)
    sizes = {name: int(np.sum(arm == name)) for name in ARMS}
    figures = {}
    if all(sizes.values()):
        figures = {name: _figure(told, arm, *columns) for name, columns in FIGURES.items()}
    counts = experiment.counts | {"changed arms": int(np.sum(told["arms"].to_numpy() > 1))}
    ignored = experiment.ignored(salt)
    counts["answers lost"] = ignored["lost"]["answers"] if "lost" in ignored else 0
    outcomes = Outcomes(experiment)
    return Report(
        since=since,
        until=until,
        objective=experiment.objective,
        visitors=sizes,
        figures=figures,
        placements=outcomes.by_answer("placement"),
        versions=outcomes.by_answer("version"),
        sources=outcomes.by_item("source"),
        positions=outcomes.by_item("position"),
        segments=outcomes.segments(nights, people, con),
        explored=outcomes.explored,
        counts=counts,
        ignored=ignored,
        warnings=_warnings(settings, sizes, counts, ignored, by_exposures=experiment.by_exposures),
    )


def led_to(
    snapshot: Snapshot, settings: AppSettings, since: datetime, until: datetime, con: Backend
) -> dict[str, Any] | None:
    """What the answers from `since` to before `until` led to, all in one row of `recommender.outcomes`; None where
    there are none, or no real time. It reads no more than that time: what a night can tell of the day."""
    past = past_of(snapshot, settings, until, con)
    if not past.real_time:
        return None
    decisions = decisions_of(snapshot, past, Persons(snapshot, con, until), con)
    decisions = decisions.filter(decisions.ts >= ibis.literal(since, "timestamp('UTC')"))
    experiment = Experiment(_since(past, since), decisions, since)
    return _json_row(Outcomes(experiment).total) if experiment.total else None


def _since(past: Past, since: datetime) -> Past:
    """The past without what is too old to matter: a report of some days does not read all years."""
    begin = max(since, EPOCH) - timedelta(hours=past.settings.attribution_hours) - MARGIN
    events = past.lake_events.filter(past.lake_events.ts >= ibis.literal(begin, "timestamp('UTC')"))
    return replace(past, lake_events=events, size=int(events.count().execute()))


def _figure(told: pa.Table, arm: np.ndarray, counted: str, by: str | None) -> Contrast:
    def of(name: str) -> Arm:
        rows = arm == name
        per = None if by is None else told[by].to_numpy()[rows].astype(np.float64)
        return Arm.of(told[counted].to_numpy()[rows].astype(np.float64), per)

    return contrast(of("treated"), of("control"))


def _warnings(
    settings: AppSettings,
    sizes: Mapping[str, int],
    counts: Mapping[str, int],
    ignored: Mapping[str, Mapping[str, int]],
    *,
    by_exposures: bool,
) -> list[str]:
    said = []
    everyone = sum(sizes.values())
    if not sizes["control"]:
        said.append(
            f"nobody was in the control group; its share is the setting control_share ({settings.control_share:g})"
        )
    elif split_is_unlikely(sizes["control"], everyone, settings.control_share):
        share = sizes["control"] / everyone
        said.append(
            f"{share:.1%} of the visitors were in the control group, and control_share says "
            f"{settings.control_share:.1%}: unless it was changed meanwhile, do not trust this comparison"
        )
    if counts["changed arms"]:
        said.append(f"{counts['changed arms']:,} visitors saw both arms; they count where they began")
    for why, kinds in ignored.items():
        told = ", ".join(f"{kinds[kind]:,} {kind}s" for kind in NAMING if kinds[kind])
        said.append(f"{told} name one of {kinds['answers']:,} answers {IGNORED[why]}: ignored")
    if not by_exposures:
        said.append("no exposures were sent for these answers: all that was answered counts as shown")
    return said


def _json_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: [_known(one) for one in value] if isinstance(value, tuple) else value for name, value in row.items()}


def _known(value: float) -> float | None:
    return None if isnan(value) else round(value, 6)
