"""Batch answers: visitors a second and the most memory, beside the least that NumPy and Arrow could do.

    python tests/benchmarks/bench_batch.py [--users 100000 1000000] [--items 20000] [--n 10] [--news 0.02]

The reference takes the first n items of each visitor's table as they stand and writes the same columns, without rules,
without what was bought before, without a store, and with one reason for all. `news`: the share of visitors who did
something since the night, whom only the store and `recommend` can answer. Each figure is of a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bench_request import arrays

from portraits.settings import AppSettings
from recommender.bundles.bundle import Bundle, write_bundle
from serving.batch import ANSWERS, answer_file, open_batch
from serving.publish import bundle_folder, publish
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.database import now_us
from serving.stores.events import EventRow


def prepare(home: Path, users: int, items: int, news: float) -> None:
    """A published bundle of random tables, a file of all its visitors in any order and a tenth as many strangers."""
    rng = np.random.default_rng(0)
    settings = ProcessSettings(home=home)
    store = Store.open(settings.store_url)
    store.add_app(AppSettings("shop"))
    made = arrays(items, users, rng)
    write_bundle(home / "made", made, {"sources": ["als", "again", "similar"], "repeat": False, "target": "purchase"})
    publish(settings, store, "shop", as_of=datetime.now(UTC), bundle=home / "made")
    moment = now_us() + 1_000_000
    rows = [
        EventRow(f"e{n}", 0, f"user-{user:08d}", moment, "item_view", f"item-{rng.integers(items):08d}", "{}", "")
        for n, user in enumerate(rng.choice(users, int(users * news), replace=False).tolist())
    ]
    for start in range(0, len(rows), 10_000):
        store.append_events("shop", rows[start : start + 10_000])
    wanted = rng.permutation(users + users // 10)
    pq.write_table(pa.table({"user_id": [f"user-{user:08d}" for user in wanted.tolist()]}), home / "users.parquet")
    store.close()


def ours(home: Path, n: int) -> int:
    settings = ProcessSettings(home=home)
    batch = open_batch(settings, Store.open(settings.store_url), "shop", n, None)
    return answer_file(batch, home / "users.parquet", home / "ours.parquet", lambda _share: None)[0]


def least(home: Path, n: int) -> int:
    settings = ProcessSettings(home=home)
    version = Store.open(settings.store_url).active("shop").bundle
    if version is None:
        raise SystemExit("nothing is published")
    bundle = Bundle.open(bundle_folder(settings, "shop", version.version), verify=False)
    wanted = pq.read_table(home / "users.parquet")["user_id"]
    ids = pa.array(bundle.items.array.tolist(), pa.binary()).cast(pa.string())
    known = bundle.users.array.searchsorted(np.array(wanted.cast(pa.binary()).to_pylist(), np.bytes_))
    known = np.minimum(known, len(bundle.users) - 1)
    with pq.ParquetWriter(home / "least.parquet", ANSWERS, compression="zstd") as file:
        for start in range(0, len(wanted), 10_000):
            rows = known[start : start + 10_000]
            owner = np.repeat(np.arange(start, start + len(rows)), n)
            columns: list[Any] = [
                wanted.take(pa.array(owner)),
                np.tile(np.arange(1, n + 1, dtype=np.int32), len(rows)),
                ids.take(pa.array(bundle.candidate_items[rows, :n].ravel())),
                bundle.candidate_scores[rows, :n].ravel().astype(np.float64),
                pa.array(["als"]).take(pa.array(np.zeros(len(owner), np.int8))),
                pa.array(["Picked for you"]).take(pa.array(np.zeros(len(owner), np.int8))),
            ]
            file.write_table(pa.table(columns, schema=ANSWERS))
    return len(wanted)


def run(what: str, home: Path, n: int) -> None:
    began = time.perf_counter()
    visitors = (ours if what == "ours" else least)(home, n)
    took = time.perf_counter() - began
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    most = int(status["VmHWM"].split()[0]) / 1024  # not ru_maxrss, which begins with that of the parent
    print(f"  {what:6} {took:7.1f} s  {visitors / took:10,.0f} visitors/s  at most {most:,.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--n", type=int, default=10)
    parser.add_argument("--news", type=float, default=0.02)
    parser.add_argument("--run", nargs=2, metavar=("WHAT", "HOME"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        run(asked.run[0], Path(asked.run[1]), asked.n)
        return
    for users in asked.users:
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), users, asked.items, asked.news)
            print(f"{users:,} visitors x {asked.items:,} items, n = {asked.n}, {asked.news:.0%} with something new")
            for what in ("least", "ours"):
                subprocess.run([sys.executable, __file__, "--run", what, folder, "--n", str(asked.n)], check=True)


if __name__ == "__main__":
    main()
