"""For a new offer, the tried one that is most like it: of the same kind, for the same goods, about as deep.

Where an offer has few trials or none, those of the one like it speak for it. Nothing is carried between offers of
different kinds or scopes: ten off a hundred and a tenth off everything are different questions to a visitor.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import inf, log
from typing import Any

FARTHEST = log(1.5)
"""Log of the largest ratio that the values, and the minimums, of two alike offers may have."""
SCOPES = ("items", "categories", "stores", "tiers")


def likest(offer: Mapping[str, Any], others: Sequence[Mapping[str, Any]], tried: Collection[str]) -> str | None:
    """The offer_id of the `tried` one of `others` that is most like `offer`, itself left out; None where none is."""
    known = [other for other in others if other["offer_id"] in tried and other["offer_id"] != offer["offer_id"]]
    found = min(known, key=lambda other: (distance(offer, other), other["offer_id"]), default=None)
    return None if found is None or distance(offer, found) == inf else str(found["offer_id"])


def distance(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """0 for offers of equal rules, inf for unlike ones; symmetric."""
    if one.get("kind") != other.get("kind") or any(_scope(one, name) != _scope(other, name) for name in SCOPES):
        return inf
    steps = [_apart(one.get(name), other.get(name)) for name in ("value", "minimum")]
    if max(steps) > FARTHEST:
        return inf
    same = sum(set(one.get(name) or ()) != set(other.get(name) or ()) for name in SCOPES)
    return sum(steps) + 0.1 * same


def _scope(offer: Mapping[str, Any], name: str) -> bool:
    return bool(offer.get(name))


def _apart(one: int | None, other: int | None) -> float:
    """How far two amounts are apart, as a logarithm; inf between something and nothing."""
    if not one or not other:
        return 0.0 if not one and not other else inf
    return abs(log(one / other))
