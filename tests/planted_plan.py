"""A night's plan of offers written down by hand; for the tests of the day's choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recommender.bundles.vocabulary import Vocabulary
from recommender.offers.plan_files import SEEN_DAYS, OfferPlan

FLAT = [1 / 168] * 168


def planned(
    gain: Any,
    cost: Any,
    *,
    users: Sequence[str] = (),
    offers: Sequence[str] = (),
    shift: Any = None,
    group: Sequence[int] = (),
    barred: Sequence[tuple[int, int]] = (),
    seen: Mapping[int, Sequence[int]] | None = None,
    **manifest: Any,
) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
    """What `write_plan` takes. gain, cost: a row for each of `users`, the stranger's last (of whom there may be several
    where nobody is named); shift: [R, G, O], none: no doubt; barred: (row, column) that the rule does not allow; seen:
    row -> offers shown on the days before."""
    gain, cost = np.array(gain, np.float32), np.array(cost, np.float32)
    rows, width = gain.shape
    names = sorted(users) or [f"u{row}" for row in range(rows - 1)]
    days = np.zeros((rows, SEEN_DAYS), np.uint8)
    for row, counts in (seen or {}).items():
        days[row, : len(counts)] = counts
    allowed = np.ones(gain.shape, bool)
    for cell in barred:
        allowed[cell] = False
    arrays = {
        "users": Vocabulary.build(names).array,
        "gain": gain,
        "cost": cost,
        "lift": np.zeros_like(gain),
        "eligible": allowed,
        "chosen": np.full(rows, -1, np.int16),
        "group": np.array(group or [0] * rows, np.uint8),
        "shift": np.zeros((1, 1, width), np.float32) if shift is None else np.array(shift, np.float32),
        "seen": days,
    }
    told = {"offers": [*offers] or [f"o{column}" for column in range(width)], "prices": {}, "pace": FLAT}
    return arrays, told | manifest


def plan(gain: Any, cost: Any, **more: Any) -> OfferPlan:
    """The same in memory."""
    return OfferPlan.of(*planned(gain, cost, **more))
