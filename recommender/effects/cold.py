"""What offers do to groups of visitors, believed by rules before anything was tried, and corrected by what is logged.

Rules of the portrait (`recommender.offers.thumb`) say an effect for each visitor and offer. In a group of visitors who
are alike to an offer their mean is a belief, as doubtful as it is large: normal, with a standard deviation of
`DOUBT` times its size, and no less than that of the offer's mean over everybody. What is logged of the group corrects
it by the conjugate law (Gelman et al., "Bayesian Data Analysis", 2.5):

    1 / sd'^2 = 1 / sd^2 + 1 / error^2,    mean' = sd'^2 (mean / sd^2 + measured / error^2)

measured and its error are those of doubly robust scores (`scores.averages`). Draws from the belief make an offer shown
as often as it may be the best one (Thompson 1933; Chapelle & Li 2011).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portraits.errors import InvalidValue
from recommender.effects.rows import Floats, Rows
from recommender.effects.scores import averages

DOUBT = 1.0
BANDS = (0.8, 1.25)
"""discount_sensitivity: below, between, above."""
DUE = 0.8
"""Overdue, in expected gaps, from which an order is due."""
KINDS = 3 * 2 * 4
"""Groups that `kinds` parts visitors into."""
WARMTH: tuple[tuple[str, ...], ...] = (("visitor",), ("new",), ("active", "loyal"), ("slipping", "asleep"))
"""Stages of the portrait that are alike to an offer."""


def kinds(sensitivity: NDArray[Any], overdue: NDArray[Any], stage: NDArray[Any]) -> NDArray[np.uint8]:
    """The group, 0 to `KINDS` - 1, of visitors by their portrait: discount_sensitivity (nan: as everybody's), overdue
    (nan: not due), stage (a name; one that is not known as "visitor")."""
    eager = np.searchsorted(BANDS, np.nan_to_num(np.asarray(sensitivity, np.float64), nan=1.0))
    due = np.nan_to_num(np.asarray(overdue, np.float64), nan=0.0) >= DUE
    place = {name: at for at, names in enumerate(WARMTH) for name in names}
    warmth = np.array([place.get(str(name), 0) for name in stage], np.int64)
    return ((eager * 2 + due) * len(WARMTH) + warmth).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Beliefs:
    """Normal beliefs about the mean effect of each offer in each group. mean, sd: [G, O]."""

    mean: Floats
    sd: Floats

    @classmethod
    def of(cls, expected: Floats, group: NDArray[Any], groups: int, doubt: float = DOUBT) -> Beliefs:
        """From rules: expected effects [n, O] of visitors and their groups [n]. A group of nobody is believed as
        everybody is; of no visitor at all, nothing is expected."""
        offers = expected.shape[1]
        if len(group) != len(expected):
            raise InvalidValue("group", len(group), f"as many as visitors ({len(expected)})")
        everybody = expected.mean(axis=0) if len(expected) else np.zeros(offers)
        sizes = np.bincount(group, minlength=groups)[:, None]
        sums = np.stack([np.bincount(group, expected[:, o], groups) for o in range(offers)], axis=1)
        mean = np.where(sizes > 0, sums.reshape(groups, offers) / np.maximum(sizes, 1), everybody)
        return cls(mean, doubt * np.maximum(np.abs(mean), np.abs(everybody)))

    def updated(self, score: Floats, rows: Rows) -> Beliefs:
        """After logged rows (`rows.group` tells whose group) with their doubly robust scores [n, O]."""
        mean, sd = self.mean.copy(), self.sd.copy()
        for group in np.unique(rows.group):
            own = rows.take(rows.group == group)
            measured, error = averages(score[rows.group == group], own)
            told, sure = 1 / error**2, 1 / np.maximum(sd[group], 1e-12) ** 2
            mean[group] = (sure * mean[group] + told * measured) / (sure + told)
            sd[group] = 1 / np.sqrt(sure + told)
        return Beliefs(mean, sd)

    def draws(self, many: int, seed: int) -> NDArray[np.float32]:
        """float32 [R, G, O]: what may be true beside the mean (`shift` of recommender.offers.plan_files)."""
        noise = np.random.default_rng(seed).standard_normal((many, *self.mean.shape))
        return (noise * self.sd).astype(np.float32)
