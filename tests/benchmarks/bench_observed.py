"""What it costs a request to be observed, beside BentoML's own metrics, which are off for it.

    python tests/benchmarks/bench_observed.py

Microseconds a request of an empty application: alone, inside `serving.observed` with the stages of a recommendation,
and inside BentoML's metrics as it would put them around every request.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp()  # as in a worker: before prometheus_client is imported

import uvloop
from bentoml._internal.context import server_context
from bentoml._internal.server.http.instruments import RunnerTrafficMetricsMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.metrics import Metrics
from serving.observed import Observed, lap, seen

REQUESTS = 20_000
RUNS = 5
STAGES = ("accept", "read", "model", "rank", "record", "work", "encode")
HEADERS = [(b"host", b"localhost"), (b"authorization", b"Bearer " + b"x" * 50), (b"content-length", b"22")]
SCOPE = {"type": "http", "path": "/v1/recommend", "headers": HEADERS}


async def empty(_: Scope, __: Receive, send: Send) -> None:
    """Answers."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def staged(scope: Scope, receive: Receive, send: Send) -> None:
    """The same, with the marks that a recommendation makes on its way."""
    seen().route, seen().app_id = "/v1/recommend", "shop"
    for stage in STAGES:
        lap(stage)
    await empty(scope, receive, send)


async def receive() -> Message:
    """Nothing comes."""
    return {"type": "http.disconnect"}


async def send(_: Message) -> None:
    """Nobody listens."""


async def microseconds(app: ASGIApp) -> float:
    """The best of several runs."""
    best = float("inf")
    for _ in range(RUNS):
        began = time.perf_counter()
        for _ in range(REQUESTS):
            await app(SCOPE, receive, send)
        best = min(best, time.perf_counter() - began)
    return best / REQUESTS * 1e6


async def main() -> None:
    """Prints the figures."""
    server_context.service_routes, server_context.service_name = [], "bench"
    server_context.bento_name = server_context.bento_version = "bench"
    metrics = Metrics()
    bare = await microseconds(empty)
    rows: dict[str, Callable[..., Any]] = {
        "serving.observed": Observed(empty, metrics),
        f"serving.observed, {len(STAGES)} stages": Observed(staged, metrics),
        "BentoML's metrics": RunnerTrafficMetricsMiddleware(empty, namespace="bench"),
    }
    print(f"{'an empty application':32} {bare:6.2f} us")
    for name, app in rows.items():
        print(f"{name:32} {await microseconds(app) - bare:+6.2f} us")
    print(f"{len(list(Path(os.environ['PROMETHEUS_MULTIPROC_DIR']).iterdir()))} files shared with other workers")


if __name__ == "__main__":
    uvloop.run(main())
