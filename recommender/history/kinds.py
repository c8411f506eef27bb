"""Kinds of interactions: how much each says about taste, and which of them count as success."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

STRENGTH: Mapping[str, float] = {
    "purchase": 1.0,
    "cart": 0.6,
    "favorite": 0.5,
    "share": 0.5,
    "group_open": 0.6,
    "group_join": 0.6,
    "click": 0.3,
    "item_view": 0.3,
    "content_view": 0.3,
    "ad_click": 0.3,
}
"""Events that say something about taste, and how much one of them says beside a purchase."""

KINDS = tuple(STRENGTH)
TARGETS: Mapping[str, tuple[str, ...]] = {
    "margin": ("purchase",),
    "revenue": ("purchase",),
    "clicks": ("click", "item_view", "content_view"),
}
"""What an app wants more of, by its objective."""
FEWEST_LEARNERS = 30
"""Visitors who must have what is to be learnt: as many as a backtest must judge."""


def choose_target(user: npt.NDArray[np.int32], kind: npt.NDArray[np.uint8], objective: str) -> tuple[str, ...]:
    """What counts as success: what the objective says, purchases where nothing is said. Clicks and views where none of
    that ever happened, since whoever sells nothing earns by visits; and where too few visitors have it for anything to
    be learnt while enough have those: one test order makes no shop."""
    wanted, visits = TARGETS["revenue" if objective == "auto" else objective], TARGETS["clicks"]
    if _learners(user, kind, wanted) >= FEWEST_LEARNERS:
        return wanted
    happened = np.isin(kind, [KINDS.index(name) for name in wanted]).any()
    return wanted if happened and _learners(user, kind, visits) < FEWEST_LEARNERS else visits


def _learners(user: npt.NDArray[np.int32], kind: npt.NDArray[np.uint8], target: tuple[str, ...]) -> int:
    """Visitors with an event of these kinds and something else beside it to foretell it from."""
    several = np.bincount(user) > 1
    taking = np.unique(user[np.isin(kind, [KINDS.index(name) for name in target])])
    return int(several[taking].sum())
