"""What a night is asked for, beside its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from recommender.candidates.protocol import Fit, fit_here
from recommender.history.dataset import NOTHING_BESIDE, Beside, Dataset
from recommender.history.exposures import Looks
from recommender.judging.evaluate import K
from recommender.memory import NOTHING_REMEMBERED, Memory
from recommender.tuning.tune import NO_TRIALS, Budget

OnStep = Callable[[str, float], None]
Moment = Callable[[Dataset, int], Beside]
LooksOf = Callable[[Dataset, int, int], Looks]

MOST_JUDGED = 2_000


def quiet(_step: str, _share: float) -> None:
    """Nobody listens."""


def nothing_known(_dataset: Dataset, _moment_us: int) -> Beside:
    """A history without catalogue or portraits."""
    return NOTHING_BESIDE


def nothing_shown(_dataset: Dataset, _since_us: int, _until_us: int) -> Looks:
    """A history without exposures."""
    return Looks.none()


@dataclass(frozen=True)
class Plan:
    """repeat: "auto", "yes", "no" (keep items taken before). active: the manifest of the published bundle, None on
    the first night. manifest: entries to keep with the bundle (app_id, version, as_of). moment: what is known beside
    the interactions of a dataset as of a past moment (microseconds). looks: what was shown to its users from one moment
    to another. on_step hears each step as it begins, and the share done. judged: the most visitors to judge by. budget:
    what may be spent on parameters. memory: what earlier nights left. fit: where sources are fitted. counted: arrays of
    the bundle that come from counting events (`recommender.counting.counted`). every_source: the table shows also the
    sources that were dropped. ks: lengths of list in the table. again: None: what is to be
    foretold is like what the inner split foretells. Where it is not, the share of repeats in it; a ranker would learn
    what does not hold, and whether repeats belong in a list could not be learnt.
    """

    seed: int = 0
    repeat: str = "auto"
    active: Mapping[str, Any] | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)
    moment: Moment = nothing_known
    looks: LooksOf = nothing_shown
    on_step: OnStep = quiet
    judged: int = MOST_JUDGED
    budget: Budget = NO_TRIALS
    memory: Memory = NOTHING_REMEMBERED
    fit: Fit = fit_here
    counted: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    every_source: bool = False
    ks: tuple[int, ...] = (K,)
    again: float | None = None

    @property
    def longest(self) -> int:
        """How many items of a list are judged."""
        return max(K, *self.ks)
