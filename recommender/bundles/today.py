"""What events since the night weigh: the night learns it (`recommender.sessions.session`), the day reads it.

The manifest keeps three things. `session_weight` is a rate of exchange: what a similarity of 1 is worth beside the
scores of the candidate table, measured when the bundle is made. `page_weight` is the same for the neighbours of the
item on the page, which may come from another table. `session` holds what was learnt, fields of `Today`; `weight` and
`popular` are there multiples of the first. What it does not hold keeps the value below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EXCHANGE = 0.5
"""Rate of exchange where nothing was measured."""

SIGNALS: Mapping[str, tuple[float, str]] = {
    "purchase": (1.0, "because_bought"),
    "cart": (0.8, "because_carted"),
    "favorite": (0.8, "because_saved"),
    "group_open": (0.8, "because_viewed"),
    "group_join": (0.8, "because_viewed"),
    "share": (0.6, "because_viewed"),
    "click": (0.5, "because_viewed"),
    "item_view": (0.5, "because_viewed"),
    "content_view": (0.5, "because_viewed"),
    "ad_click": (0.5, "because_viewed"),
    "cart_remove": (0.0, ""),
    "unfavorite": (0.0, ""),
    "refund": (0.0, ""),
    "order_cancel": (0.0, ""),
}
"""How much something done with an item says where nothing was learnt, and the reason it becomes; 0 takes back what was
said before."""


def _as_given() -> Mapping[str, float]:
    return {kind: weight for kind, (weight, _) in SIGNALS.items()}


@dataclass(frozen=True, slots=True)
class Today:
    """weight: what a similarity of 1 to the newest event is worth beside the night's table. alone: the same for a
    visitor without a table, beside the popular items, which then weigh `popular`. fade: what is left of an event's
    weight with each newer item. fold: what the factors' score of all events is worth, to a visitor without a table,
    beside a similarity of 1 to the newest (0 = not used); confidence: how much they trust one event. page: what a
    similarity of 1 to the item on the page is worth, to everybody. signals: weight by event type.
    """

    weight: float = EXCHANGE
    alone: float = EXCHANGE
    popular: float = 0.5
    fade: float = 0.85
    fold: float = 0.0
    confidence: float = 1.0
    page: float = EXCHANGE
    signals: Mapping[str, float] = field(default_factory=_as_given)

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Today:
        """The values that a bundle's manifest names."""
        exchange = float(manifest.get("session_weight", EXCHANGE))
        learnt = manifest.get("session") or {}
        given = {name: float(learnt[name]) for name in ("fade", "fold", "confidence") if name in learnt}
        given |= {name: exchange * float(learnt[name]) for name in ("weight", "popular") if name in learnt}
        return cls(
            signals={**_as_given(), **learnt.get("signals", {})},
            alone=exchange,
            page=float(manifest.get("page_weight", exchange)),
            **{"weight": exchange, **given},
        )
