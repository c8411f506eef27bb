"""Effects brought to the size that held-out rows bear out.

Learnt effects differ too much from visitor to visitor (noise that was learnt) or too little (penalties). So held-out
doubly robust scores are regressed on held-out predictions (Chernozhukov et al. 2018, "Generic machine learning
inference on heterogeneous treatment effects": the best linear predictor):

    score_o = level_o + slope_o (prediction_o - its mean) + noise

Levels are drawn to the predictions' own, slopes to those of the other offers and to 1 where little is known of any, by
how uncertain each is (`pooling`). Slopes are 0 or more: the order of visitors is never reversed. And no effect changes
its sign: one that would becomes 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recommender.effects.pooling import pooled
from recommender.effects.rows import Floats, Rows

LIKELY_SLOPE = 0.1
"""How far from 1 a slope may well be, before anything is known: learners hold back by themselves what few rows say, and
slopes that differ by chance bring offers out of order (with .5 a gain of .44 for .58 on planted money, 2,000 rows)."""
STEEPEST = 2.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """effect -> level + slope (effect - centre), of its own sign or 0. All [O]; `told` is an account."""

    centre: Floats
    level: Floats
    slope: Floats
    told: dict[str, Any]

    @classmethod
    def none(cls, offers: int) -> Calibration:
        """That changes nothing."""
        return cls(np.zeros(offers), np.zeros(offers), np.ones(offers), {})

    @classmethod
    def fit(cls, predicted: Floats, score: Floats, rows: Rows, scale: float) -> Calibration:
        """From held-out predictions and scores, [n, O] each. `scale`: how large effects may well be."""
        if not len(rows):
            return cls.none(rows.offers)
        pairs, known = rows.pairs, rows.compared(2)
        total = np.maximum(pairs.sum(axis=0), 1e-12)
        centre = (pairs * predicted).sum(axis=0) / total
        moved = predicted - centre
        spread = (pairs * moved**2).sum(axis=0)
        told = known & (spread > 1e-12 * scale**2 * total)
        divisor = np.where(told, spread, 1.0)
        raw = np.where(told, (pairs * moved * score).sum(axis=0) / divisor, 1.0)
        average = (pairs * score).sum(axis=0) / total
        weighed = pairs * (score - average - raw * moved)
        raw_error = np.where(told, np.sqrt(((weighed * moved) ** 2).sum(axis=0)) / divisor, np.inf)
        slope = pooled(raw - 1, raw_error, LIKELY_SLOPE).mean + 1
        off_error = np.where(known, np.sqrt((weighed**2).sum(axis=0)) / total, np.inf)
        off = pooled(average - centre, np.maximum(off_error, 1e-9 * scale), max(float(off_error.min()), 1e-9 * scale))
        slope = np.where(told, np.clip(slope, 0.0, STEEPEST), 1.0)
        level = centre + np.where(known, off.mean, 0.0)
        account = {"slope": slope, "measured_slope": raw, "slope_error": raw_error, "off": average - centre}
        account |= {"off_error": off_error}
        return cls(centre, level, slope, {name: as_json(array) for name, array in account.items()})

    def __call__(self, effects: Floats) -> Floats:
        """Calibrated effects [n, O]."""
        return np.asarray(self.level + self.slope * (effects - self.centre))


def as_json(array: Floats) -> list[float | None]:
    """Numbers of an account; None for what is not known."""
    return [round(float(value), 6) if np.isfinite(value) else None for value in array]
