"""How a call is made, without doing any input or output: what to send, how long to wait, what the answer means.

An exchange is a generator of steps; the sync and the async client do the steps and send back what came of them.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar, cast

import httpx

from serving.sdk.calls import Call
from serving.sdk.errors import NO_CODE, CallFailed, NoAnswer, of_answer

T = TypeVar("T")
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
AGAIN = (408, 429, 502, 503)
"""Statuses after which the same request is sent again. With 502 a proxy says that it lost the service, as it does with
a 504 of its own: what was sent may have been accepted, and may be sent twice all the same (see `calls`)."""


@dataclass(frozen=True, slots=True)
class Post:
    """Send this, and wait at most so long for the whole answer; the outcome is what came, or the httpx.RequestError
    that came instead."""

    call: Call[Any]
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Came:
    """An answer of HTTP."""

    status: int
    headers: httpx.Headers
    content: bytes

    @property
    def request_id(self) -> str:
        return str(self.headers.get("x-request-id", ""))

    @property
    def body(self) -> Any:
        """The JSON it holds; None where it is none."""
        try:
            return json.loads(self.content)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait as long."""

    seconds: float


Outcome = Came | httpx.RequestError | None
Steps = Generator[Post | Pause, Outcome, T]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try: at most `tries` times and `deadline_s` in all; one try is given up after `try_s`. Times in
    seconds. `try_s` is longer than the service lets anything wait to be written, so that it answers before."""

    tries: int = 5
    try_s: float = 5.0
    deadline_s: float = 15.0


PATIENT = Patience()


def exchange(call: Call[T], patience: Patience) -> Steps[T]:
    """Sends the call until it is answered, or patience ends. Raises CallFailed."""
    until = time.monotonic() + patience.deadline_s
    tried = 0
    while True:
        tried += 1
        outcome = yield Post(call, max(min(patience.try_s, until - time.monotonic()), 0.001))
        answer: Any = outcome.body if isinstance(outcome, Came) and outcome.status == httpx.codes.OK else None
        if isinstance(answer, dict):
            return cast(T, answer)
        failed, seconds = _what_went_wrong(outcome)
        if seconds is None or tried >= patience.tries:
            raise failed
        pause = max(seconds, backoff(tried, random.random()))
        if time.monotonic() + pause >= until:
            raise failed
        yield Pause(pause)


def backoff(tried: int, draw: float) -> float:
    """Seconds to wait after so many tries: anything up to a bound that doubles (full jitter), so that many clients do
    not come back at once. `draw`: uniform in [0, 1)."""
    return draw * min(FIRST_PAUSE_S * 2.0**tried, LONGEST_PAUSE_S)


def _what_went_wrong(outcome: Outcome) -> tuple[CallFailed, float | None]:
    """The error, and how long to wait at least before another try; None: another try would not help."""
    if not isinstance(outcome, Came):
        hopeless = isinstance(outcome, httpx.UnsupportedProtocol | httpx.LocalProtocolError)
        return NoAnswer(f"{type(outcome).__name__}: {outcome}", code="no_answer"), None if hopeless else 0.0
    failed = of_answer(outcome.status, outcome.body, outcome.request_id)
    of_proxy = outcome.status == httpx.codes.GATEWAY_TIMEOUT and failed.code == NO_CODE
    return failed, (_retry_after(outcome.headers) if outcome.status in AGAIN or of_proxy else None)


def _retry_after(headers: httpx.Headers) -> float:
    """Seconds that the answer asks for, said as a number or as a date (RFC 9110, 10.2.3); 0 where it says nothing."""
    told = headers.get("retry-after", "")
    if told.isdecimal():
        return float(told)
    try:
        return max((parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return 0.0
