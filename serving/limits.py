"""How often one may ask: an app, a key, a visitor with a token. Settings of the app, counted by each process.

The generic cell rate algorithm (ITU-T I.371): one number for each who asks, the moment at which all that was asked so
far would have been asked at the steady rate. It may run ahead of the clock, so that as many requests as the rate gives
in `BURST_S` may come at once. Nothing is shared with other processes, because a request must not wait for a count: the
workers of a replica divide an app's rate between them, and N replicas allow N times of it. A key's and a visitor's are
not divided, as a backend or a phone may keep to one connection and so to one worker, and is to have the rate that is
stated: each worker counts for itself, so whoever keeps W connections to W workers may ask W times as often.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic

from portraits.errors import RateLimited
from serving.tenants import Grant

BURST_S = 1.0
EVENTS_A_REQUEST = 20
"""So many events of a phone's batch, or a part of them, count as one request."""
CLOSE = 1e-6
"""Seconds that are no time: sums of 1 / rate are not exact."""
SWEEP_AT = 10_000
"""How many who asked are remembered before those who are back at their rate are dropped."""


class Limits:
    """What one process allows. `workers`: of how many processes alike it is one."""

    def __init__(self, workers: int = 1, clock: Callable[[], float] = monotonic) -> None:
        self._workers = workers
        self._clock = clock
        self._ahead: dict[tuple[object, ...], float] = {}
        self._sweep_at = SWEEP_AT

    def count(self, grant: Grant) -> None:
        """Counts one request by whoever the grant is for, then by its key and its app.

        The limits are those that were seen last; a change is seen by the next request that is taken. Raises
        RateLimited.
        """
        settings, app = grant.settings, grant.app_id
        rate = settings.visitor_requests_per_second
        if rate and grant.user_id:
            self._count("visitor_requests_per_second", rate, rate, app, grant.user_id)
        rate = settings.key_requests_per_second
        if rate and not grant.user_id:
            self._count("key_requests_per_second", rate, rate, app, grant.key_id)
        rate = settings.requests_per_second
        if rate:
            self._count("requests_per_second", rate, rate / self._workers, app)

    def count_events(self, grant: Grant, events: int) -> None:
        """Counts a visitor's batch, whose request was counted, by what it holds. One batch of any size is taken by
        whoever is at the rate, and paid for by what comes next; it is taken as a whole or not at all.

        Raises RateLimited.
        """
        rate, more = grant.settings.visitor_requests_per_second, math.ceil(events / EVENTS_A_REQUEST) - 1
        if rate and grant.user_id and more > 0:
            room = max(BURST_S, 1 / rate)
            self._count("visitor_requests_per_second", rate, rate, grant.app_id, grant.user_id, more=more, room=room)

    def _count(
        self, setting: str, stated: float, per_second: float, *who: str, more: int = 1, room: float | None = None
    ) -> None:
        """`room`: seconds by which it may be ahead before; so much that one more request fits, unless given."""
        now = self._clock()
        name = (setting, per_second, *who)  # at another rate it begins anew
        ahead = max(self._ahead.get(name, now), now)
        wait = ahead - now - (max(BURST_S - 1 / per_second, 0.0) if room is None else room)
        if wait > CLOSE:
            raise RateLimited(setting, stated, math.ceil(wait))
        self._ahead[name] = ahead + more / per_second
        if len(self._ahead) > self._sweep_at:
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        """Whoever is not ahead is as one who never asked; the others have asked within the last moments."""
        self._ahead = {who: ahead for who, ahead in self._ahead.items() if ahead > now}
        self._sweep_at = max(SWEEP_AT, 2 * len(self._ahead))
