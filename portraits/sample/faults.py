"""What goes wrong between a shop and its files: events that come late or twice, and rows nobody can take.

Late and doubled events are in the part files among the good ones. Rows that a typed file cannot hold (a time that is
no time, a negative amount) are in one JSON lines file of their own; its first row gives an event of the parts other
content, so one of the two is a conflict, whichever file comes first. How many rows an importer should accept, find to
be duplicates and quarantine is written down as they are made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from portraits.sample.plan import Plan
from portraits.sample.rows import Columns, concat, take

PURPOSE = 4
LATE_SHARE, TWICE_SHARE, LONGEST_DELAY = 0.005, 0.002, 3
BROKEN_SHARE, BROKEN_LEAST, BROKEN_MOST = 0.0005, 24, 10_000


class Courier:
    """Delivers each day's events, some days later than they happened, some a second time."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._waiting: dict[int, list[Columns]] = {}
        self.late = 0
        self.doubled = 0

    def deliver(self, day: int, events: Columns) -> Columns:
        """The rows that arrive on `day`: its own but the late ones, and what earlier days held back."""
        rng = self._plan.rng(PURPOSE, day)
        luck = rng.random(len(events["at"]))
        late, twice = luck < LATE_SHARE, luck > 1 - TWICE_SHARE
        self.late += int(late.sum())
        self.doubled += int(twice.sum())
        delay = rng.integers(1, LONGEST_DELAY + 1, len(luck))
        for days in range(1, LONGEST_DELAY + 1):
            held = take(events, (late | twice) & (delay == days))
            self._waiting.setdefault(day + days, []).append(held)
        return concat([take(events, ~late), *self._waiting.pop(day, [])])

    def rest(self) -> list[Columns]:
        """What is still under way when the history ends."""
        return [columns for day in sorted(self._waiting) for columns in self._waiting.pop(day)]


def write_broken(plan: Plan, known: dict[str, Any], path: Path) -> dict[str, int]:
    """Writes the broken file and returns how its rows should be accounted: rows, accepted, duplicates, quarantined.

    `known` is an event of the part files (event_id, user_id, ts as text) that one row contradicts.
    """
    count = int(np.clip(plan.n * BROKEN_SHARE, BROKEN_LEAST, BROKEN_MOST))
    verdicts = {"accepted": 0, "duplicates": 0, "quarantined": 0}
    with path.open("wb") as file:
        for verdict, line in islice(_broken(plan, known), count):
            verdicts[verdict] += 1
            file.write(line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode())
            file.write(b"\n")
    return {"rows": count, **verdicts}


def _broken(plan: Plan, known: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any] | bytes]]:
    """(verdict, row) without end, one of each fault in turn."""
    number = 0
    yield "quarantined", {**known, "type": "conflict_of_content"}
    while True:
        good = _good(plan, number)
        yield "accepted", good
        yield "duplicates", good
        yield "quarantined", {**good, "event_id": f"x{number}-user", "user_id": ""}
        yield "quarantined", {**good, "event_id": f"x{number}-ts", "ts": "yesterday evening"}
        yield "quarantined", {**good, "event_id": f"x{number}-zone", "ts": "2026-05-01T10:00:00"}
        yield "quarantined", {**good, "event_id": f"x{number}-money", "type": "purchase", "amount": -100}
        yield "quarantined", {**good, "event_id": f"x{number}-half", "type": "purchase", "amount": 12.5}
        yield "quarantined", {**good, "event_id": f"x{number}-long", "item_id": "i" * 400}
        yield "quarantined", {**good, "event_id": f"x{number}-scale", "quantity": "many"}
        yield "quarantined", {**good, "event_id": f"x{number}-old", "ts": "1869-05-01T10:00:00Z"}
        yield "quarantined", b'{"event_id": "x%d-cut", "user_id": "u' % number
        yield "quarantined", b'{"event_id": "x%d-bytes", "user_id": "u1", "query": "\xff\xfe"}' % number
        number += 1


def _good(plan: Plan, number: int) -> dict[str, Any]:
    rng = plan.rng(PURPOSE, 10**6, number)
    at = np.datetime64(plan.start_us + int(rng.integers(0, plan.days * 86_400_000_000)), "us")
    return {
        "event_id": f"x{number}",
        "user_id": f"u{int(rng.integers(0, plan.users)):08d}",
        "ts": f"{at}Z",
        "type": "search",
        "query": "生日礼物🎂 gift",
        "platform": "wechat",
    }
