"""Who is answered next, where one question is answered at a time and several lines ask: the apps, and in a line beside
an app's own the exports of its visitors."""

from __future__ import annotations

import asyncio
from collections import deque

from portraits.errors import Busy

Line = deque["asyncio.Future[None]"]


class Turns:
    """One turn at a time: next is the line whose last turn is longest ago, within a line whoever came first.

    At most `most` of one line wait for one of their own, and one more while it is another line's turn: what others ask
    takes no place away. For one event loop at a time. `what`: what is done in a turn, for errors.
    """

    def __init__(self, what: str, most: int) -> None:
        self._what = what
        self._most = most
        self._taken: str | None = None
        self._lines: dict[str, Line] = {}
        self._last: dict[str, int] = {}
        self._given = 0

    async def take(self, name: str, within_s: float) -> None:
        """Returns when it is this one's turn, which lasts until `give_back`; who is cancelled gives up the place.
        `name`: of the line, an app_id or what no app can be called.

        Raises Busy: too many of the line wait. TimeoutError: no turn came within `within_s`.
        """
        if self._taken is None:
            self._give(name)
            return
        line = self._lines.setdefault(name, deque())
        if len(line) + (self._taken == name) > self._most:
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
        self._taken = None
        waiting = [name for name, line in self._lines.items() if line]
        if waiting:
            name = min(waiting, key=lambda one: self._last.get(one, 0))
            turn = self._lines[name].popleft()
            self._give(name)
            if turn.cancelled():
                self.give_back()
            else:
                turn.set_result(None)

    def _give(self, name: str) -> None:
        self._taken = name
        self._given += 1
        self._last[name] = self._given
