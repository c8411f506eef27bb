"""What events since the night weigh: the night learns it (`recommender.sessions.session`), the day reads it.

The manifest keeps four things, the first three measured when the bundle is made. `session_weight` is a rate of
exchange: what a similarity of 1 is worth beside the scores of the candidate table. `page_weight` is the same for the
neighbours of the item on the page, which may come from another table. `popular_weight` is what a visitor's best
candidate scores. `session` holds what was learnt, fields of `Today`; `weight` is there a multiple of the first,
`popular` of the third. What it does not hold keeps the value below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EXCHANGE = 0.5
"""Rate of exchange where nothing was measured."""
POPULAR = 0.1
"""What the most popular item weighs, beside a visitor's best candidate, for a stranger who did something, where nothing
was learnt: what somebody looks at leads, and popular items fill up."""
WEIGHT = 0.0625
"""What a similarity of 1 to the newest event weighs, in rates of exchange, for a visitor with a table where nothing was
learnt: little, as the table holds what the night made of all that they did. Measured on parts of a gift shop, a grocery
and sample shops, from 17 cases up: a rate of 1 about halves NDCG@10, a sixteenth costs 0 to 8% of it."""

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

    weight: float = EXCHANGE * WEIGHT
    alone: float = EXCHANGE
    popular: float = EXCHANGE * POPULAR
    fade: float = 0.95
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
        best = float(manifest.get("popular_weight", EXCHANGE))
        return cls(
            signals={**_as_given(), **learnt.get("signals", {})},
            weight=exchange * float(learnt.get("weight", WEIGHT)),
            popular=best * float(learnt.get("popular", POPULAR)),
            alone=exchange,
            page=float(manifest.get("page_weight", exchange)),
            **given,
        )
