"""The empirical rule: how many of those alike did it last time. It is what a model has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from portraits.predictions.calibration import Chances, chances
from portraits.predictions.orders import Floats, Ints

RECENCIES = 5
"""Classes of equal size by recency."""
COUNTS = (2, 3, 5, 10)
"""Classes by count: below 2, 2, 3 and 4, 5 to 9, 10 and more."""
PULL = 10.0
"""Rows of the average rate that each cell is given beside its own."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Rates by recency and count. edges: of the recency classes; rate, rows: recency classes x count classes."""

    edges: Floats
    rate: Floats
    rows: Floats

    @classmethod
    def fit(cls, recency: Floats, count: Floats, happened: Floats) -> Cells:
        """From what became of rows of whom recency and count were known."""
        edges = np.quantile(recency, np.arange(1, RECENCIES) / RECENCIES)
        cell, shape = _cell(edges, recency, count), (RECENCIES, len(COUNTS) + 1)
        rows = np.bincount(cell, minlength=shape[0] * shape[1])
        yes = np.bincount(cell, weights=happened, minlength=len(rows))
        known = (rows + PULL).astype(np.float64)
        rate = (yes + PULL * float(happened.mean())) / known
        return cls(edges.astype(np.float64), rate.astype(np.float64).reshape(shape), known.reshape(shape))

    def of(self, recency: Floats, count: Floats) -> Chances:
        """Rates of those alike, and how well they are known."""
        cell = _cell(self.edges, recency, count)
        return chances(self.rate.ravel()[cell], self.rows.ravel()[cell])


def _cell(edges: Floats, recency: Floats, count: Floats) -> Ints:
    return np.searchsorted(edges, recency) * (len(COUNTS) + 1) + np.searchsorted(COUNTS, count, side="right")
