"""How many refused rows the store keeps of an app until its next night: `quarantine_limit`; beyond it they are counted.

Every refused row is told in the answer and counted in the metrics; the row itself is only kept so that somebody can see
what it was. A stream of them must not fill the disk. Counting those that wait is not for every batch: each worker
counts an app's at most once in `RECOUNT_S`, and by itself in between, so that several may together keep a little more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from serving.stores.events import RejectedRow, count_rejected

RECOUNT_S = 60.0

log = logging.getLogger(__name__)


class _Room(NamedTuple):
    """How many rows still fit, as of `counted` (monotonic seconds), under `limit`."""

    left: int
    counted: float
    limit: int


class Quarantine:
    """What one worker knows of the rows that wait. For the thread that writes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rooms: dict[str, _Room] = {}

    def fitting(
        self, connection: Connection, app_id: str, rows: Sequence[RejectedRow], limit: int
    ) -> Sequence[RejectedRow]:
        """The first of the rows, as many as may be kept; inside a transaction that then keeps them."""
        if not rows:
            return rows
        now, room = self._clock(), self._rooms.get(app_id)
        if room is None or now >= room.counted + RECOUNT_S or room.limit != limit:
            room = _Room(limit - count_rejected(connection, app_id, limit), now, limit)
            if room.left < len(rows):
                log.warning("%d refused rows of %s wait for a night: no more are kept until then", limit, app_id)
        kept = rows[: room.left]
        self._rooms[app_id] = room._replace(left=room.left - len(kept))
        return kept
