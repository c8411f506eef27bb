"""How long the store's write lock is held, and what else waits for it meanwhile.

    python tests/benchmarks/bench_writer.py [--seconds 5] [--events 1000000]

On a temporary SQLite store: many senders of batches of 20 events (with decisions behind, and visitors who were
forgotten), then together with them each of a day's other writes (500 items, 500 users, 100 identities, 500 pins) and
each write of the night on a store with a million events: marking and deleting what was drained, activating a version,
forgetting a visitor, saving a segment. For each: transactions and the median, p99 and longest time that one held the
lock, in milliseconds; a line is marked where one went beyond the 50 ms that events may be kept waiting.

The lock counts from the moment that a writer has its turn until the next may take it: sync of the disk and checkpoint
of the write-ahead log included.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np

from portraits.checking import check
from portraits.history import IDENTITIES
from portraits.settings import AppSettings
from serving.catalogues import _store
from serving.events import store_batch
from serving.sent_events import prepare
from serving.stores import Store
from serving.stores.events import DecisionRow, EventRow
from serving.stores.promotions import put_rules
from serving.writer import Writer

BOUND_MS = 50
SENDERS = 128
BATCH = 20


class Watched:
    """Times every turn at the lock, by the thread that had it."""

    def __init__(self) -> None:
        self.held: dict[str, list[float]] = {}

    def watch(self, store: Store) -> None:
        """From now on, all turns of this store."""
        dialect: Any = store._dialect
        turn = dialect._turn

        @contextmanager
        def timed() -> Iterator[None]:
            with turn():
                begun = time.perf_counter()
                try:
                    yield
                finally:
                    took = (time.perf_counter() - begun) * 1000
                    self.held.setdefault(threading.current_thread().name, []).append(took)

        dialect._turn = timed

    def clear(self) -> None:
        self.held.clear()


def told(name: str, held: list[float], more: str = "") -> None:
    """One line of the report."""
    if not held:
        return
    p50, p99 = np.percentile(held, [50, 99])
    over = sum(one > BOUND_MS for one in held)
    mark = f"  {over} OVER {BOUND_MS} ms" if over else ""
    print(
        f"{name:44} {len(held):6} turns  p50 {p50:6.1f}  p99 {p99:6.1f}  max {max(held):6.1f} ms{mark}{more}",
        flush=True,
    )


def main() -> None:
    """Prints one line for each kind of write."""
    asked = _arguments()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        store = Store.open(f"sqlite:///{folder}/store.sqlite")
        store.add_app(AppSettings("shop"))
        store.add_app(AppSettings("cafe"))
        for number in range(20):
            store.forget("shop", f"gone {number}")
        watched = Watched()
        watched.watch(store)
        by_day(store, watched, asked.seconds)
        by_night(store, watched, asked.events)
        store.close()


def by_day(store: Store, watched: Watched, seconds: float) -> None:
    """The writing thread under load, alone and together with everything else that a request may write."""
    others: dict[str, Callable[[int], Any] | None] = {
        "nothing": None,
        "500 items": lambda turn: partial(_store, app_id="shop", name="items", rows=_items(turn)),
        "500 users": lambda turn: partial(_store, app_id="shop", name="users", rows=_users(turn)),
        "100 identities": lambda turn: partial(_store, app_id="shop", name="identities", rows=_identities(turn)),
        "500 pins": lambda turn: partial(put_rules, app_id="shop", texts=_pins(turn)),
        "500 events of another app": lambda turn: partial(store_batch, app_id="cafe", batch=_batch(turn, 500)),
    }
    for name, other in others.items():
        watched.clear()
        sent, waited = asyncio.run(_load(store, seconds, other))
        waits = np.percentile(waited, [50, 99]) if waited else (0, 0)
        more = f"  {sent * BATCH / seconds:,.0f} events/s, answered p50 {waits[0]:.0f} p99 {waits[1]:.0f} ms"
        told(f"{SENDERS} senders of {BATCH} events with {name}", watched.held.get("store-writer", []), more)


async def _load(store: Store, seconds: float, other: Callable[[int], Any] | None) -> tuple[int, list[float]]:
    writer = Writer(store)
    writer.start()
    until = time.perf_counter() + seconds
    waited: list[float] = []

    async def send(sender: int) -> int:
        count = 0
        while time.perf_counter() < until:
            count += 1
            batch = _batch(sender * 1_000_000 + count, BATCH)
            begun = time.perf_counter()
            await writer.write("shop", partial(store_batch, app_id="shop", batch=batch))
            waited.append((time.perf_counter() - begun) * 1000)
            writer.behind("shop", DecisionRow(f"{sender}-{time.time_ns()}", f"u{count}", 1, "{}" + " " * 1_500))
        return count

    async def also() -> int:
        turn = 0
        while other is not None and time.perf_counter() < until:
            turn += 1
            await writer.write("cafe" if "cafe" in str(other(0)) else "shop", other(turn), 500)
        return 0

    counts = await asyncio.gather(*(send(sender) for sender in range(SENDERS)), also())
    await asyncio.to_thread(writer.close)
    return sum(counts), waited


def by_night(store: Store, watched: Watched, events: int) -> None:
    """What a night writes into a store with many events, while nobody else does."""
    _fill(store, events)
    now = datetime.now(UTC)
    last = store.events_to_drain("shop", limit=10_000_000).last_seq
    steps: dict[str, Callable[[], Any]] = {
        "mark events drained": lambda: store.mark_drained("shop", last),
        "mark and delete drained changes": lambda: store.mark_changes_drained("shop", 10**9),
        "delete drained decisions": lambda: store.delete_decisions("shop", 10**9),
        "delete refused rows": lambda: store.delete_rejected("shop", 10**9),
        "begin and end a run": lambda: (
            store.start_run("shop", "one", now),
            store.finish_run("shop", "one", "held", {}),
        ),
        "activate a version": lambda: store.activate("shop", as_of=now, bundle="one", portraits="one"),
        "forget a visitor of 10,000 events": lambda: store.forget("shop", "busy"),
        "import 20,000 items": lambda: [store.upsert("shop", "items", _items(turn)) for turn in range(40)],
        "delete drained events": lambda: store.delete_drained("shop", int(now.timestamp() * 1e6)),
        "empty the log": store._dialect.empty_log,
    }
    for name, step in steps.items():
        watched.clear()
        with _visitors(store) as waited:
            begun = time.perf_counter()
            step()
            took = time.perf_counter() - begun
        told(name, [one for held in watched.held.values() for one in held], f"  {took:.1f} s in all; {waited()}")


@contextmanager
def _visitors(store: Store) -> Iterator[Callable[[], str]]:
    """Another process sends 20 events every few milliseconds; afterwards: how long they waited."""
    ours, theirs = multiprocessing.Pipe()
    visitors = multiprocessing.get_context("fork").Process(target=_visit, args=(store, theirs))
    visitors.start()
    ours.recv()
    said = ["?"]
    yield lambda: said[0]
    ours.send("enough")
    p50, p99, longest, count = ours.recv()
    visitors.join()
    said[0] = f"{count} batches of a service waited p50 {p50:.1f}  p99 {p99:.1f}  max {longest:.1f} ms"


def _visit(store: Store, pipe: Any) -> None:
    store = Store.open(store._dialect.engine.url.render_as_string())
    waited: list[float] = []
    pipe.send("ready")
    while not pipe.poll(0.003):
        batch = _batch(time.time_ns() % 2**60, BATCH)
        begun = time.perf_counter()
        store.append_events("cafe", batch.rows)
        waited.append((time.perf_counter() - begun) * 1000)
    pipe.send((*np.percentile(waited or [0], [50, 99]), max(waited, default=0), len(waited)))
    store.close()


def _fill(store: Store, events: int) -> None:
    text = "x" * 300
    for start in range(0, events, 5_000):
        whose = ["busy" if n < 10_000 else f"u{n % 50_000}" for n in range(start, start + 5_000)]
        rows = [
            EventRow(f"n{start + place}", 20_000, user, 1_000_000 + start + place, "item_view", "i1", text, "c")
            for place, user in enumerate(whose)
        ]
        store.append_events("shop", rows)
    decisions = [DecisionRow(f"n{n}", f"u{n}", 1, text * 4) for n in range(20_000)]
    store.add_decisions("shop", decisions)


def _batch(number: int, size: int) -> Any:
    ts = datetime.now(UTC).isoformat()
    rng = np.random.default_rng(number)
    users, items = rng.integers(0, 50_000, size).tolist(), rng.integers(0, 20_000, size).tolist()
    shared = {"ts": ts, "type": "item_view", "platform": "wechat", "scene": "1001", "session_id": "s1"}
    sent = [
        {"event_id": f"{number}-{place}", "user_id": f"u{user}", "item_id": f"i{item}", **shared}
        for place, (user, item) in enumerate(zip(users, items, strict=True))
    ]
    return prepare(sent, datetime.now(UTC))


def _items(turn: int) -> list[dict[str, Any]]:
    start = turn % 40 * 500
    return [
        {"item_id": f"i{n}", "title": f"Item {n}", "category": ["tea", "green"], "price": turn, "tags": ["a", "b"]}
        for n in range(start, start + 500)
    ]


def _users(turn: int) -> list[dict[str, Any]]:
    start = turn % 100 * 500
    return [{"user_id": f"u{n}", "member_tier": "gold", "points": turn} for n in range(start, start + 500)]


def _identities(turn: int) -> list[dict[str, Any]]:
    links = (
        {"link_id": f"l{n}", "user_id": f"u{n}", "openid": f"o{n}", "unionid": f"x{n}"}
        for n in range(turn * 100, turn * 100 + 100)
    )
    return [dict(check(IDENTITIES, link)) for link in links]


def _pins(turn: int) -> dict[str, str]:
    return {
        f"p{n}": f'{{"rule_id":"p{n}","kind":"pin","item_id":"i{n}","position":1,"turn":{turn}}}' for n in range(500)
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--folder", help="where the store is made, e.g. on another disk")
    return parser.parse_args()


if __name__ == "__main__":
    main()
