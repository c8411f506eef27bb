"""Who is answered next, where one question is answered at a time and several apps ask."""

from __future__ import annotations

import asyncio
from collections import deque

from portraits.errors import Busy

Line = deque["asyncio.Future[None]"]


class Turns:
    """One turn at a time: next is the app whose last turn is longest ago, within an app whoever came first.

    At most `most` of one app wait. For one event loop at a time. `what`: what is done in a turn, for errors.
    """

    def __init__(self, what: str, most: int) -> None:
        self._what = what
        self._most = most
        self._taken = False
        self._lines: dict[str, Line] = {}
        self._last: dict[str, int] = {}
        self._given = 0

    async def take(self, app_id: str, within_s: float) -> None:
        """Returns when it is this one's turn, which lasts until `give_back`; who is cancelled gives up the place.

        Raises Busy: too many of the app wait. TimeoutError: no turn came within `within_s`.
        """
        if not self._taken:
            self._give(app_id)
            return
        line = self._lines.setdefault(app_id, deque())
        if len(line) >= self._most:
            raise Busy(self._what, f"{self._most} questions already wait")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        try:
            async with asyncio.timeout(within_s):
                await turn
        except BaseException:
            if turn in line:
                line.remove(turn)
            elif not turn.cancelled():  # it came while this one was leaving
                self.give_back()
            raise

    def give_back(self) -> None:
        """Ends a turn: the next one begins."""
        self._taken = False
        waiting = [app_id for app_id, line in self._lines.items() if line]
        if waiting:
            app_id = min(waiting, key=lambda one: self._last.get(one, 0))
            turn = self._lines[app_id].popleft()
            self._give(app_id)
            if turn.cancelled():
                self.give_back()
            else:
                turn.set_result(None)

    def _give(self, app_id: str) -> None:
        self._taken = True
        self._given += 1
        self._last[app_id] = self._given
