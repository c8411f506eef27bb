"""What earlier nights leave to the next one: which parameters they tried, and what their history was like.

It holds no visitor: parameters, sums over everybody, names of categories. A night reads only what nights of earlier
moments left, so that a past night that is repeated knows nothing of what came after it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self, TypeVar

MOST_TRIALS = 400
MOST_NIGHTS = 7

Kind = TypeVar("Kind", "Trial", "Census")


@dataclass(frozen=True)
class Trial:
    """One point of a source's space, judged.

    params: what differs from the source's defaults. gain: how much better than the defaults, in the unit of `value`,
    on the same visitors; None where the search dropped it before the last rung. value: see `tune`. share: of the
    history that it was judged on; users: who judged it. chosen: the night took it.
    """

    source: str
    params: Mapping[str, Any]
    value: float
    gain: float | None
    share: float
    users: int
    chosen: bool = False

    @property
    def key(self) -> str:
        """The same for the same point of the same source."""
        return key_of(self.source, self.params)

    def as_json(self) -> dict[str, Any]:
        gain = None if self.gain is None else round(self.gain, 5)
        rounded = {"value": round(self.value, 5), "gain": gain, "share": round(self.share, 4)}
        return asdict(self) | {"params": dict(self.params)} | rounded


@dataclass(frozen=True)
class Census:
    """What the history of a night was like.

    interactions, and the users and items that have one. strangers: share of the visitors of the recent
    window who had not been seen before it. categories: for each that can be shown and carried much, its share of the
    recent successes.
    """

    interactions: int
    users: int
    items: int
    strangers: float = 0.0
    categories: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"categories": dict(self.categories)}


@dataclass(frozen=True)
class Memory:
    """Trials and censuses of earlier nights, the latest first."""

    trials: tuple[Trial, ...] = ()
    nights: tuple[Census, ...] = ()

    @classmethod
    def of(cls, reports: Iterable[Mapping[str, Any]]) -> Self:
        """From what nights reported ("tuning" and "census"), the latest first; at most MOST_TRIALS and MOST_NIGHTS."""
        trials: list[Trial] = []
        nights: list[Census] = []
        for report in reports:
            trials += [_read(Trial, one) for one in (report.get("tuning") or {}).get("trials", ())]
            if report.get("census"):
                nights.append(_read(Census, report["census"]))
        return cls(tuple(trials[:MOST_TRIALS]), tuple(nights[:MOST_NIGHTS]))

    def winner(self, source: str) -> Mapping[str, Any]:
        """What the last night that tuned `source` chose for it; its defaults when none did."""
        return next((one.params for one in self.trials if one.source == source and one.chosen), {})

    def tried(self) -> dict[str, int]:
        """Key of each trial -> how many trials ago it was tried last."""
        return {one.key: place for place, one in reversed(list(enumerate(self.trials)))}


NOTHING_REMEMBERED = Memory()


def key_of(source: str, params: Mapping[str, Any]) -> str:
    """The same for the same point of the same source, also after a journey through JSON."""
    return f"{source} {json.dumps(params, sort_keys=True)}"


def _read(kind: type[Kind], kept: Mapping[str, Any]) -> Kind:
    """Fields that a later version of the program does not know any more are left out."""
    names = {one.name for one in fields(kind)}
    return kind(**{name: value for name, value in kept.items() if name in names})
