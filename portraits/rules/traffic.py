"""A visitor's events as acts, without those of test traffic: by day as by night (`portraits.visits`).

A session in which any event came in by test traffic counts for nothing, the launch that tells it apart or not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from portraits.rules.match import Act
from portraits.scenes import TEST, channel
from portraits.sessions import SILENCE_US, begins


class Happened(NamedTuple):
    """An act and the entrance by which it came, where the event tells it."""

    act: Act
    platform: str | None = None
    scene: str | None = None

    @classmethod
    def of(cls, us: int, event: Mapping[str, Any]) -> Happened:
        """From a row of the events table, which happened at `us` microseconds since 1970."""
        known = (event.get(name) for name in ("item_id", "content_id", "store_id", "offer_id", "amount"))
        return cls(Act(us, event["type"], *known), event.get("platform"), event.get("scene"))


def without_test_traffic(events: Iterable[Happened]) -> list[Act]:
    """All events of some sessions as acts, oldest first; none of a session with test traffic in it."""
    events = sorted(events, key=_in_order)
    tests = [one.act.us for one in events if channel(one.platform, one.scene) == TEST]
    if not tests:
        return [one.act for one in events]
    starts = session_starts(events)
    dirty = {bisect_right(starts, us) for us in tests}
    return [one.act for one in events if bisect_right(starts, one.act.us) not in dirty]


def session_starts(events: Iterable[Happened]) -> list[int]:
    """When the sessions begin, ascending. `events`: one visitor's, as `without_test_traffic` orders them."""
    starts: list[int] = []
    last_us: int | None = None
    previous = ""
    for act, _, scene in events:
        entrance, is_launch = scene or "", act.type == "launch"
        silence = SILENCE_US + 1 if last_us is None else act.us - last_us
        if begins(silence, is_launch, entrance, previous):
            starts.append(act.us)
        if is_launch or silence > SILENCE_US:
            previous = entrance
        last_us = act.us
    return starts


def _in_order(one: Happened) -> tuple[int, bool, str]:
    """Launches first within a moment, then by scene: the order of their arrival does not matter."""
    return one.act.us, one.act.type != "launch", one.scene or ""
