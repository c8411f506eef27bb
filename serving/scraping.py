"""`/metrics`: what all workers counted, and how old what is served is.

How old models, portraits and the lake are is read from the store when somebody scrapes, so that it grows without a
request. It is told for the `OLDEST` apps only, and how many apps have one at all.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import prometheus_client
import psutil
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector, CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from portraits.errors import StoreUnavailable
from serving.context import Context
from serving.metrics import Metrics
from serving.observed import seen
from serving.reads import QUICK_S
from serving.stores import Store
from serving.stores.dialect import patience

PATH = "/metrics"
EVERY_S = 1.0
"""How often a worker copies what it counted to where all workers can read it."""
OLDEST = 100
FRESH_S = 10.0
"""How long what was read from the store for a scrape is used again."""
CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST


class Scrape:
    """The text that Prometheus reads, of all workers whose files are in `folder`; None: of this process alone."""

    def __init__(self, metrics: Metrics, store: Store, folder: Path | None) -> None:
        self._registry = metrics.registry
        self._folder = folder
        self._ages = CollectorRegistry()
        self._ages.register(_Ages(store))
        if folder is not None:
            self._registry = CollectorRegistry()
            MultiProcessCollector(self._registry, path=str(folder))  # type: ignore[no-untyped-call]
            _bury(folder)

    def text(self) -> bytes:
        """Blocks for some milliseconds."""
        return bytes(prometheus_client.generate_latest(self._registry) + prometheus_client.generate_latest(self._ages))


class _Ages(Collector):
    """Moments up to which models, portraits and the lake are true, of the apps where they are oldest."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._read_at = -FRESH_S
        self._known: dict[str, dict[str, int]] = {}
        self._apps = 0

    def describe(self) -> Iterator[Any]:
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        apps = GaugeMetricFamily("huaxiang_apps", "Apps: all, and those that have one.", labels=("what",))
        for what, moments in self._fresh().items():
            apps.add_metric((what,), len(moments))
            family = GaugeMetricFamily(f"huaxiang_{what}_timestamp_seconds", _MEANINGS[what], labels=("app",))
            for app_id, at_us in sorted(moments.items(), key=lambda one: one[1])[:OLDEST]:
                family.add_metric((app_id,), at_us / 1e6)
            yield family
        apps.add_metric(("all",), self._apps)
        yield apps

    def _fresh(self) -> Mapping[str, Mapping[str, int]]:
        """What was read at most `FRESH_S` ago; what was last read while the store is away, or silent for `QUICK_S`."""
        with self._lock:
            if time.monotonic() - self._read_at >= FRESH_S:
                with suppress(StoreUnavailable), patience(QUICK_S):
                    self._known, self._apps = self._store.moments(), len(self._store.apps())
                self._read_at = time.monotonic()
            return self._known


_MEANINGS = {
    "model": "The moment that the active model is true at (the oldest apps).",
    "portraits": "The moment that the active portraits are true at (the oldest apps).",
    "lake": "Events acknowledged before this moment are in the lake (the oldest apps).",
}


def metrics_route(context: Context, scrape: Scrape) -> Route:
    """GET /metrics."""

    async def answer(_: Request) -> Response:
        seen().route = PATH
        context.metrics.publish(context.writer, context.models)
        return Response(await asyncio.to_thread(scrape.text), headers={"content-type": CONTENT_TYPE})

    return Route(PATH, answer)


async def keep_publishing(context: Context) -> None:
    """Copies what was counted each second, until it is cancelled."""
    while True:
        await asyncio.sleep(EVERY_S)
        context.metrics.publish(context.writer, context.models)


def _bury(folder: Path) -> None:
    """Takes the gauges of killed workers away; what they counted stays."""
    for pid in {int(path.stem.rpartition("_")[2]) for path in folder.glob("gauge_live*_*.db")}:
        if not psutil.pid_exists(pid):
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
