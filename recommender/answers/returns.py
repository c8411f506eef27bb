"""What was bought today and is not any more: orders cancelled, and what was paid for given back in full.

A cancellation names an order, and the item where only a line of it is void. A refund makes void what it pays back in
full (or without saying how much), a line or an order; one that pays back a part takes nothing away. One that names
only the item concerns whatever was bought of it until then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from recommender.types import Recent

CANCEL, REFUND, PURCHASE = "order_cancel", "refund", "purchase"
SENT_BACK = frozenset((CANCEL, REFUND))
Line = tuple[str | None, str | None]
"""order_id (None: of no order), item_id (None: all of them)."""


class Returns(NamedTuple):
    """void: lines and orders. unordered: items sent back without naming an order, and when (UTC microseconds). partial:
    lines and orders of which a part was paid back."""

    void: frozenset[Line]
    unordered: dict[str, int]
    partial: frozenset[Line]

    @classmethod
    def of(cls, recent: Sequence[Recent]) -> Returns:
        """What some events say, in any order."""
        told = [event for event in recent if event.type in SENT_BACK]
        if not told:
            return NOTHING
        paid, refunded = _sums(recent, PURCHASE), _sums(told, REFUND)
        partial = frozenset(line for line, amount in refunded.items() if 0 < amount < paid[line])
        void, unordered = set[Line](), dict[str, int]()
        for event in told:
            line = event.order_id, event.item_id
            if event.order_id is not None and (event.type == CANCEL or line not in partial):
                void.add(line)
            elif event.order_id is None and event.item_id is not None:
                unordered[event.item_id] = max(event.ts_us, unordered.get(event.item_id, event.ts_us))
        return cls(frozenset(void), unordered, partial - void)

    def has(self, event: Recent) -> bool:
        """Whether an event is a purchase that is void."""
        if event.type != PURCHASE or not (self.void or self.unordered):
            return False
        if event.item_id in self.unordered and event.ts_us <= self.unordered[event.item_id]:
            return True
        return event.order_id is not None and not self.void.isdisjoint(
            ((event.order_id, event.item_id), (event.order_id, None))
        )

    def in_part(self, event: Recent) -> bool:
        """Whether an event is a refund that takes nothing away."""
        return event.type == REFUND and (event.order_id, event.item_id) in self.partial


NOTHING = Returns(frozenset(), {}, frozenset())


def _sums(events: Sequence[Recent], kind: str) -> Counter[Line]:
    """The money of each line, and of each order as a whole: (order, None)."""
    sums: Counter[Line] = Counter()
    for event in events:
        if event.type == kind and event.order_id is not None:
            for line in {(event.order_id, event.item_id), (event.order_id, None)}:
                sums[line] += event.amount or 0
    return sums
