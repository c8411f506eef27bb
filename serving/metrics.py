"""What a worker counts, and how Prometheus reads it.

BentoML's own metrics are off: they label a request with its raw path, so anybody could make labels without end, and
they cost 15 µs a request (these: 5). Here every label comes from a closed list: routes of the table, classes of status,
codes of our errors, columns of the contract. A request adds to plain numbers; each second they are copied into
`prometheus_client`'s files of this process, and the worker that is scraped adds the files of all workers up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import prometheus_client
from prometheus_client.registry import CollectorRegistry

from portraits.history import EVENTS
from serving.models import Models
from serving.tally import ROWS, SECONDS, STAGES, Tally
from serving.writer import Writer

COUNTERS = {
    "degraded": (("reason",), "Answers that could not use what they should have used."),
    "refused": (("code",), "Requests that were refused, by the code of the answer."),
    "events": (("outcome",), "Events by what became of them."),
    "offers_beyond": (("budget",), "Times that claims which a platform told of went beyond a budget."),
    "rejected_events": (("reason", "field"), "Events that were refused, by why and by the column concerned."),
}


class Metrics:
    """The numbers of this worker. The event loop adds to them; `publish` copies them to where Prometheus looks."""

    def __init__(self) -> None:
        self.stages = {stage: Tally() for stage in STAGES}
        self.degraded: Counter[tuple[str, ...]] = Counter()
        self.refused: Counter[tuple[str, ...]] = Counter()
        self.events: Counter[tuple[str, ...]] = Counter()
        self.rejected_events: Counter[tuple[str, ...]] = Counter()
        self.offers_beyond: Counter[tuple[str, ...]] = Counter()
        self._requests: dict[tuple[str, int], Tally] = {}
        self.registry = CollectorRegistry()
        self._families = {name: self._counter(name, *about) for name, about in COUNTERS.items()}
        self._lost = self._counter("lost_decisions", (), "Answers that were not written down: the store was away.")
        requests, stages = "Requests from the first byte to the last.", "Parts of requests, and of writes to the store."
        self._request_seconds = self._histogram("request_seconds", requests, ("route", "status"), SECONDS)
        self._stage_seconds = self._histogram("stage_seconds", stages, ("stage",), SECONDS)
        self._group = self._histogram("write_group_rows", "Rows that shared one transaction.", (), ROWS)
        self._waiting = self._gauge("waiting_rows", "Rows that wait to be written.", "livesum")
        self._broken = self._gauge("broken_models", "Apps whose active model cannot be opened.", "livemax")

    def request(self, route: str, status: int, seconds: float) -> None:
        """Counts an answer. `route` must come from a closed list."""
        which = route, status // 100
        tally = self._requests.get(which)
        if tally is None:
            tally = self._requests[which] = Tally()
        tally.add(seconds)

    def received(self, accepted: int, duplicates: int, rejected: Iterable[tuple[str, str]]) -> None:
        """Counts what became of events; `rejected`: why (of a closed list) and at which column, of each."""
        self.events[("accepted",)] += accepted
        self.events[("duplicate",)] += duplicates
        for reason, column in rejected:
            self.events[("rejected",)] += 1
            self.rejected_events[reason, column if column in EVENTS.names else "other"] += 1

    def publish(self, writer: Writer, models: Models) -> None:
        """Copies every number; 0.1 ms."""
        for (route, status), tally in list(self._requests.items()):
            _copy(tally, self._request_seconds.labels(route, f"{status}xx"))
        written = {"write_wait": writer.waited, "commit": writer.committed}
        for stage, tally in (self.stages | written).items():
            _copy(tally, self._stage_seconds.labels(stage))
        for name, family in self._families.items():
            for labels, count in list(getattr(self, name).items()):
                family.labels(*labels)._value.set(count)
        _copy(writer.groups, self._group)
        self._lost._value.set(writer.lost_decisions)
        self._waiting.set(writer.waiting)
        self._broken.set(models.broken)

    def _counter(self, name: str, labels: tuple[str, ...], meaning: str) -> Any:
        return prometheus_client.Counter(f"huaxiang_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, mode: Any) -> Any:
        return prometheus_client.Gauge(f"huaxiang_{name}", meaning, registry=self.registry, multiprocess_mode=mode)

    def _histogram(self, name: str, meaning: str, labels: tuple[str, ...], bounds: Iterable[float]) -> Any:
        return prometheus_client.Histogram(
            f"huaxiang_{name}", meaning, labels, registry=self.registry, buckets=tuple(bounds)
        )


def _copy(tally: Tally, histogram: Any) -> None:
    """By the values of `prometheus_client`'s histogram, because its own door takes one observation at a time."""
    for value, count in zip(histogram._buckets, tally.counts, strict=True):
        value.set(count)
    histogram._sum.set(tally.sum)
