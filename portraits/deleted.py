"""Tags that visitors deleted, as readers of a published set see them. Plain Python, for the request path.

A night builds deleted tags anew from what happened since (`portraits.since`) and leaves in the set which deletions it
knew. Until then a reader takes the fields out itself: those of every deletion that the set does not know, or knows
with an earlier moment. So what a link made the same person's only after the night is masked too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from portraits.portrait_set import PortraitSet
from portraits.tags import hidden

Moments = Mapping[str, int]
"""Tag -> the moment of its last deletion, microseconds since 1970."""


def united(deletions: Iterable[Moments]) -> dict[str, int]:
    """Those of several ids as one person's: each tag's last moment."""
    together: dict[str, int] = {}
    for one in deletions:
        for tag, us in one.items():
            together[tag] = max(us, together.get(tag, us))
    return together


def unknown(known: Moments, deletions: Moments) -> frozenset[str]:
    """Tags whose deletion a set did not know."""
    return frozenset(tag for tag, us in deletions.items() if us > known.get(tag, -1))


def masked(people: PortraitSet, portrait: dict[str, Any] | None, deletions: Moments) -> dict[str, Any] | None:
    """A portrait of the set without what was deleted since: unknown values, as of a visitor nobody knows yet."""
    if portrait is None or not deletions:
        return portrait
    tags = unknown(people.deleted.get(portrait["user_id"], {}), deletions)
    return portrait | dict.fromkeys(hidden(people.fields, tags))


def cells(people: PortraitSet, deletions: Mapping[str, Moments]) -> dict[str, list[str]]:
    """tag -> the user_ids of the set of whom it must not be told, for all `deletions` (by user_id) at once."""
    if not deletions:
        return {}
    found: dict[str, list[str]] = {}
    for user_id, moments in sorted(deletions.items()):
        for tag in unknown(people.deleted.get(user_id, {}), moments):
            found.setdefault(tag, []).append(user_id)
    return found
