"""Every request of the mounted application: an id, a duration, a line in the log where somebody will look for it.

The id is the caller's `X-Request-Id` where that is a plain word, else made here; the answer carries it, every record
written meanwhile names it, and so does the message of a 500. Requests that were refused, failed or took longer than
`SLOW_S` are logged, all others only counted.
"""

from __future__ import annotations

import itertools
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.metrics import Metrics
from serving.tally import STAGES, Tally

SLOW_S = 0.5
HUNG_UP = 499
"""Status of a request whose client did not wait for the answer (nginx's); in the log, and nobody's answer."""
OTHER = "other"
"""The route of a path that no table knows: whatever is asked for, it makes no label. The console's pages are one."""
CONSOLE = "/console"
PLAIN_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Seen:
    """A request that is being answered. `at`: when its last stage ended; the rest becomes known on the way."""

    stages: Mapping[str, Tally]
    request_id: str
    began: float
    at: float
    route: str = OTHER
    app_id: str = ""
    code: str = ""
    status: int = 0


_NONE = Seen({stage: Tally() for stage in STAGES}, "", 0.0, 0.0)
"""Stands in outside of a request; nobody reads it."""
_SEEN: ContextVar[Seen] = ContextVar("seen", default=_NONE)
seen = _SEEN.get
"""The request that this code is answering."""


def lap(stage: str) -> None:
    """A stage of the present request has ended; the next begins. 0.4 µs."""
    request = _SEEN.get()
    now = time.perf_counter()
    request.stages[stage].add(now - request.at)
    request.at = now


def of_request() -> dict[str, str]:
    """What a log record says of the present request."""
    request = _SEEN.get()
    if request is _NONE:
        return {}
    told = {"request_id": request.request_id, "route": request.route}
    return told | ({"app_id": request.app_id} if request.app_id else {})


class Observed:
    """ASGI middleware around everything that is ours.

    `leaving`: this worker was asked to end. Its answers then tell clients to come back on another connection, because
    one that is at rest when the worker ends is closed, and a request that is under way on it lost.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, leaving: Callable[[], bool] = bool) -> None:
        self._app = app
        self._metrics = metrics
        self._leaving = leaving
        self._made = map(f"{secrets.token_hex(6)}-{{:x}}".format, itertools.count(1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        now = time.perf_counter()
        request = Seen(self._metrics.stages, self._id(scope), now, now)
        _SEEN.set(request)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request.request_id.encode())]
                if self._leaving():
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception:
            log.exception("a request failed")
            if not request.status:
                await _fail(answer, request.request_id)
        seconds = time.perf_counter() - request.began
        if request.route is OTHER and scope["path"].startswith(CONSOLE):
            request.route = CONSOLE
        if request.status not in (0, HUNG_UP):
            self._metrics.request(request.route, request.status, seconds)
        if request.status >= 400 or seconds > SLOW_S:
            _tell(request, seconds)

    def _id(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and PLAIN_ID.fullmatch(value):
                return str(value, "ascii")
        return next(self._made)


def _tell(request: Seen, seconds: float) -> None:
    level = logging.ERROR if request.status >= 500 else logging.INFO if seconds <= SLOW_S else logging.WARNING
    more = {"status": request.status, "ms": round(seconds * 1000, 1)} | ({"code": request.code} if request.code else {})
    log.log(level, "gone before the answer" if request.status in (0, HUNG_UP) else "answered", extra=more)


async def _fail(send: Send, request_id: str) -> None:
    body = f"the server failed; its log has it as {request_id}".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
