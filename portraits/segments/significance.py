"""Whether a difference of two shares is more than noise, and how many such questions were asked at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def two_proportions(one: int, of_one: int, other: int, of_other: int) -> float | None:
    """Two-sided p-value of the pooled z-test that `one / of_one` and `other / of_other` are the same share.

    None where it cannot be told: a group is empty, or everybody or nobody of both groups is meant.
    """
    if not of_one or not of_other:
        return None
    pooled = (one + other) / (of_one + of_other)
    variance = pooled * (1 - pooled) * (1 / of_one + 1 / of_other)
    if variance <= 0:
        return None
    z = (one / of_one - other / of_other) / math.sqrt(variance)
    return math.erfc(abs(z) / math.sqrt(2))


def false_discovery(p_values: Sequence[float | None]) -> list[float | None]:
    """Benjamini-Hochberg q-values: of the cells with q <= 0.05, at most about one in twenty is noise.

    Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate" (1995). What has no p-value gets no q-value
    and does not count as a question.
    """
    asked = [place for place, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    if not asked:
        return adjusted
    p = np.array([p_values[place] for place in asked], float)
    order = p.argsort(kind="stable")[::-1]
    ranks = np.arange(len(p), 0, -1)
    q = np.minimum.accumulate(p[order] * len(p) / ranks)
    for place, value in zip(order, np.minimum(q, 1.0), strict=True):
        adjusted[asked[place]] = float(value)
    return adjusted
