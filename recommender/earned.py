"""What the recommender earns: visitors who are recommended to, beside the control share that sees the popular shelf.

A visitor's arm is drawn once and stays, so whatever differs between the arms beyond chance is caused by the shelf. A
visitor counts from the first answer of the span on, in the arm of that answer (who changes arms later, by a changed
share or by signing in, stays where the draw put them: taking them out would take different people out of each arm).
What such a visitor then does counts in full, whether an answer led to it or not; what is attributed to answers
(`portraits.attribution`) stands beside it. Where nothing personal is wanted, by the visitor or by the call, both arms
are answered alike: such visitors are left out, and such answers are in neither arm. Tables by placement and by source
describe; nothing was drawn there, so nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isnan
from typing import Any

import numpy as np
import pyarrow as pa
from ibis.backends.duckdb import Backend
from scipy.stats import binomtest

from portraits.build import past_of
from portraits.errors import NothingThere
from portraits.lake import Snapshot
from portraits.settings import AppSettings
from recommender.contrast import Arm, Contrast, contrast
from recommender.experiment import ARMS, Experiment, decisions_of

UNLIKELY = 0.001
"""A split of visitors that chance gives less often than this was not made by the draw that the settings state."""


@dataclass(frozen=True)
class Report:
    """objective: margin, revenue (minor units) or clicks. visitors: by arm. figures: by name, see `FIGURES`; empty
    without two arms. placements, sources: rows to describe. counts: what was found on the way. warnings: sentences."""

    since: datetime
    until: datetime
    objective: str
    visitors: Mapping[str, int]
    figures: Mapping[str, Contrast]
    placements: Sequence[Mapping[str, Any]]
    sources: Sequence[Mapping[str, Any]]
    counts: Mapping[str, int]
    warnings: Sequence[str]

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
        rest = {name: getattr(self, name) for name in ("placements", "sources", "counts", "warnings")}
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


def earned(snapshot: Snapshot, settings: AppSettings, since: datetime, until: datetime, con: Backend) -> Report:
    """The report of one app from `since` to before `until`, of what the lake holds.

    Raises NothingThere when there are no answers in that time, or no real time.
    """
    past = past_of(snapshot, settings, until, con)
    if not past.real_time:
        raise NothingThere(
            "times in the history of", settings.app_id, "without them it is not known what came after an answer"
        )
    experiment = Experiment(past, decisions_of(snapshot, past, until, con), since)
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
    return Report(
        since,
        until,
        experiment.objective,
        sizes,
        figures,
        experiment.placements,
        experiment.sources,
        counts,
        _warnings(settings, sizes, counts, experiment.by_exposures),
    )


def _figure(told: pa.Table, arm: np.ndarray, counted: str, by: str | None) -> Contrast:
    def of(name: str) -> Arm:
        rows = arm == name
        per = None if by is None else told[by].to_numpy()[rows].astype(np.float64)
        return Arm.of(told[counted].to_numpy()[rows].astype(np.float64), per)

    return contrast(of("treated"), of("control"))


def _warnings(
    settings: AppSettings, sizes: Mapping[str, int], counts: Mapping[str, int], by_exposures: bool
) -> list[str]:
    said = []
    everyone = sum(sizes.values())
    if not sizes["control"]:
        said.append(
            f"nobody was in the control group; its share is the setting control_share ({settings.control_share:g})"
        )
    elif binomtest(sizes["control"], everyone, min(settings.control_share, 1.0)).pvalue < UNLIKELY:
        share = sizes["control"] / everyone
        said.append(
            f"{share:.1%} of the visitors were in the control group, and control_share says "
            f"{settings.control_share:.1%}: unless it was changed meanwhile, do not trust this comparison"
        )
    if counts["changed arms"]:
        said.append(f"{counts['changed arms']:,} visitors saw both arms; they count where they began")
    if wrong := counts["of another's answer"]:
        said.append(f"{wrong:,} purchases name an answer that was not theirs; it is ignored")
    if not by_exposures:
        said.append("no exposures were sent for these answers: all that was answered counts as shown")
    return said


def _known(value: float) -> float | None:
    return None if isnan(value) else round(value, 6)
