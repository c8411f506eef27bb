"""Mini programs that post events to a running service, whatever becomes of it, and keep account."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import httpx

BATCH = 20
SENDERS = 4
EVERY_S = 0.08
"""4 senders of 20 events every 0.08 s: 1,000 events a second."""
AGAIN_S = 0.05
WAIT_S = 30.0


@dataclass
class Account:
    """Ids of the events that were ever sent, and of those that were acknowledged; what else was answered."""

    sent: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    refused: list[httpx.Response] = field(default_factory=list)
    broken: int = 0
    """Requests that ended without an answer."""


class Posting:
    """`with Posting(url, key, "before") as posting:` - inside the block events of distinct visitors are posted.

    A batch that was not acknowledged is sent again with the same event_ids until it is, as the contract asks of a
    client; when the block ends the last batches are still seen through.
    """

    def __init__(self, url: str, key: str, name: str) -> None:
        self.account = Account()
        self._name = name
        self._over = threading.Event()
        self._more = threading.Condition()
        self._http = httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=WAIT_S)
        self._pool = ThreadPoolExecutor(SENDERS)
        self._senders: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._senders = [self._pool.submit(self._send, sender) for sender in range(SENDERS)]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._pool.shutdown()
        self._http.close()
        for sender in self._senders:
            sender.result()

    def wait_for(self, acknowledged: int) -> None:
        """Until so many events more are acknowledged. Raises TimeoutError."""
        goal = len(self.account.acknowledged) + acknowledged
        with self._more:
            if not self._more.wait_for(lambda: len(self.account.acknowledged) >= goal, WAIT_S):
                raise TimeoutError(f"{len(self.account.acknowledged)} of {goal} events were acknowledged")

    def wait_for_refusals(self, refused: int) -> None:
        """Until so many requests more were answered with something else than 200. Raises TimeoutError."""
        goal = len(self.account.refused) + refused
        with self._more:
            if not self._more.wait_for(lambda: len(self.account.refused) >= goal, WAIT_S):
                raise TimeoutError(f"{len(self.account.refused)} of {goal} requests were refused")

    def _send(self, sender: int) -> None:
        number = 0
        while not self._over.wait(EVERY_S):
            number += 1
            name = f"{self._name}-{sender}-{number}"
            events = [_view(f"{name}-{place}", f"{name}-visitor-{place}") for place in range(BATCH)]
            ids = {event["event_id"] for event in events}
            self.account.sent |= ids
            self._see_through(events, ids)

    def _see_through(self, events: list[dict[str, Any]], ids: set[str]) -> None:
        while True:
            try:
                answer = self._http.post("/v1/events", json={"events": events})
            except httpx.TransportError:
                self.account.broken += 1
            else:
                if answer.status_code == 200:
                    body = answer.json()
                    if body["accepted"] + body["duplicates"] != len(events):
                        raise AssertionError(body)
                    with self._more:
                        self.account.acknowledged |= ids
                        self._more.notify_all()
                    return
                with self._more:
                    self.account.refused.append(answer)
                    self._more.notify_all()
            threading.Event().wait(AGAIN_S)


def _view(event_id: str, user_id: str) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {"event_id": event_id, "user_id": user_id, "ts": now, "type": "item_view", "item_id": "cup"}
