"""A mixed load at about half of what the service can do, with a publication every minute: does anything grow?

    python tests/benchmarks/soak.py [--minutes 30] [--workers 2] [--users 50000] [--items 20000] [--share 0.5]

First it measures for some seconds what the service answers when asked as fast as it can; then clients send `share` of
that: of ten requests seven recommend, two are batches of 20 events, one changes the stock of 20 items. A minute's line
says of each worker: memory (RSS, PSS, which counts shared pages once, and what is its own, without the pages of mapped
files: of the store's file more and more as it grows), descriptors, threads; and of all: requests,
errors, p50 and p99, the write-ahead log. Each publication is a bundle of the same size under a new version. At the end:
memory a minute by least squares over the second half, with a 95 percent interval (a slope whose interval holds 0 is
flat).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from bench_http import plant
from serving_process import Service

from serving.publish import publish
from serving.settings import ProcessSettings
from serving.stores import Store

CLIENTS = 16
MEASURED_S = 8
BATCH = 20
MINUTE_S = 60.0
NAMES = ("rss", "pss", "own", "fds", "threads")


@dataclass
class Tally:
    """What the clients saw since the last line."""

    waits: list[float] = field(default_factory=list)
    errors: int = 0


@dataclass(frozen=True)
class Load:
    """Clients on keep-alive connections; `pause_s` between a client's requests."""

    url: str
    key: str
    users: int
    items: int
    tally: Tally
    numbers: Any = field(default_factory=itertools.count)

    async def run(self, seconds: float, pause_s: float) -> None:
        """Asks for so long."""
        until = time.monotonic() + seconds
        headers = {"authorization": f"Bearer {self.key}"}
        limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30, limits=limits) as http:
            await asyncio.gather(*(self._client(http, until, pause_s, client) for client in range(CLIENTS)))

    async def _client(self, http: httpx.AsyncClient, until: float, pause_s: float, client: int) -> None:
        rng = random.Random(client)
        due = time.monotonic() + rng.random() * pause_s
        while (now := time.monotonic()) < until:
            if now < due:
                await asyncio.sleep(due - now)
            due = max(due, now - pause_s) + pause_s
            path, body = self._request(rng)
            begun = time.perf_counter()
            try:
                answer = await http.post(f"/v1{path}", json=body)
                self.tally.errors += answer.status_code != 200
            except httpx.TransportError:
                self.tally.errors += 1
            self.tally.waits.append((time.perf_counter() - begun) * 1000)

    def _request(self, rng: random.Random) -> tuple[str, dict[str, Any]]:
        kind = rng.random()
        if kind < 0.7:
            return "/recommend", {"user_id": f"u{rng.randrange(self.users):06d}", "n": 10}
        if kind < 0.9:
            return "/events", {"events": [self._event(rng) for _ in range(BATCH)]}
        some = rng.sample(range(self.items), BATCH)
        return "/items", {"items": [{"item_id": f"i{item:06d}", "stock": rng.randrange(1, 100)} for item in some]}

    def _event(self, rng: random.Random) -> dict[str, Any]:
        moment = datetime.now(UTC).isoformat()
        user, item = f"u{rng.randrange(self.users):06d}", f"i{rng.randrange(self.items):06d}"
        named = {"event_id": f"soak-{next(self.numbers)}", "user_id": user, "item_id": item}
        return named | {"ts": moment, "type": "item_view", "platform": "wechat"}


def main() -> None:
    """Prints a line a minute and the slopes."""
    asked = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        settings = ProcessSettings(home=Path(folder) / "home", workers=asked.workers)
        key = plant(settings, asked.users, asked.items)
        store = Store.open(settings.store_url)
        with Service(settings) as service:
            asyncio.run(_soak(service, store, key, asked))
        store.close()


async def _soak(service: Service, store: Store, key: str, asked: argparse.Namespace) -> None:
    tally = Tally()
    load = Load(service.url, key, asked.users, asked.items, tally)
    await load.run(MEASURED_S, 0.0)  # every worker has opened the bundle and applied the catalogue
    tally.waits = []
    await load.run(MEASURED_S, 0.0)
    rate = len(tally.waits) / MEASURED_S
    pause_s = CLIENTS / (rate * asked.share)
    print(f"as fast as these clients can: {rate:.0f} requests/s; from here on {rate * asked.share:.0f}/s", flush=True)
    seen: list[list[dict[str, float]]] = []
    running = asyncio.create_task(load.run(asked.minutes * MINUTE_S, pause_s))
    for minute in range(asked.minutes):
        tally.waits, tally.errors = [], 0
        await asyncio.sleep(MINUTE_S / 2)
        await asyncio.to_thread(_publish, service.settings, store)
        await asyncio.sleep(MINUTE_S / 2)
        seen.append([_worker(worker) for worker in service.workers()])
        _tell(minute + 1, seen[-1], tally, service.settings)
    await running
    _slopes(seen)


def _publish(settings: ProcessSettings, store: Store) -> None:
    publish(settings, store, "shop", as_of=datetime.now(UTC), bundle=settings.home / "bundle")


def _worker(process: Any) -> dict[str, float]:
    full = process.memory_full_info()
    sizes = {"rss": full.rss / 1e6, "pss": full.pss / 1e6, "own": (full.rss - full.shared) / 1e6}
    return sizes | {"fds": process.num_fds(), "threads": process.num_threads()}


def _tell(minute: int, workers: Sequence[dict[str, float]], tally: Tally, settings: ProcessSettings) -> None:
    log = settings.home / "store.sqlite-wal"
    p50, p99 = np.percentile(tally.waits or [0.0], [50, 99])
    of_each = "  ".join(" ".join(f"{name} {worker[name]:.0f}" for name in NAMES) for worker in workers)
    size = log.stat().st_size / 1e6 if log.exists() else 0.0
    rate = len(tally.waits) / MINUTE_S
    print(
        f"{minute:3} min  {rate:6.0f}/s  p50 {p50:5.1f}  p99 {p99:6.1f} ms  errors {tally.errors}  wal {size:4.0f} MB"
        f"  | {of_each}",
        flush=True,
    )


def _slopes(seen: Sequence[Sequence[dict[str, float]]]) -> None:
    """Growth a minute over the second half, when what is read on the first use has been read."""
    half = seen[len(seen) // 2 :]
    if len(half) < 3:
        print("too few minutes for a slope")
        return
    for place, _ in enumerate(half[0]):
        for name in NAMES:
            values = [workers[place][name] for workers in half if place < len(workers)]
            fit = stats.linregress(np.arange(len(values)), values)
            wide = stats.t.ppf(0.975, max(len(values) - 2, 1)) * fit.stderr
            print(
                f"worker {place + 1} {name:8} {fit.slope:+.3f} a minute, 95% {fit.slope - wide:+.3f} to "
                f"{fit.slope + wide:+.3f}"
            )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--share", type=float, default=0.5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
