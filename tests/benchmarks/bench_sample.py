"""How fast the sample shop writes its history, and in how much memory.

    python tests/benchmarks/bench_sample.py 1e5 1e6 1e7

Each size runs in a process of its own, so that its peak memory is its own. `wall` counts waiting for other work of the
machine, `cpu` does not; the aim is 300,000 events a second on one core.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from portraits.sample import World, history


def measure(n: int, variant: str) -> None:
    """Writes one history and prints its line."""
    with tempfile.TemporaryDirectory() as folder:
        history(0, 1_000, Path(folder) / "warm")  # imports, not work
        wall, cpu = time.perf_counter(), time.process_time()
        written = history(0, n, Path(folder) / "out", Path(folder) / "truth", variant=variant)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        size = sum(path.stat().st_size for path in (Path(folder) / "out").rglob("*.parquet"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rates = f"{written.events / wall:>12,.0f} {written.events / cpu:>12,.0f}"
    print(f"{variant:6} {written.events:>12,} {rates} {wall:>8.1f} {peak:>8,.0f} {size / written.events:>8.1f}")


def measure_world(n: int) -> None:
    """Opens a world and lives one day of it, with ten items shown in every visit."""
    begin = time.process_time()
    world = World(0, n)
    opened = time.process_time()
    visits = world.visitors().to_pylist()
    users = sorted({visit["user_id"] for visit in visits})[:200]
    best = time.process_time()
    slates, _ = world.best(users, 10)
    asked = time.process_time()
    answers = [
        {"decision_id": f"d{row}", "user_id": visit["user_id"], "item_id": item, "position": at, "ts": visit["ts"]}
        for row, visit in enumerate(visits)
        for at, item in enumerate(slates[row % len(slates)], start=1)
    ]
    made = time.process_time()
    events = world.day(answers)
    print(
        f"world of {n:,}: opened in {opened - begin:.1f} s; oracle {1e3 * (asked - best) / len(users):.2f} ms a user; "
        f"a day of {len(answers):,} shown items gave {len(events):,} events in {time.process_time() - made:.2f} s"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        measure(int(sys.argv[2]), sys.argv[3])
    elif sys.argv[1:2] == ["world"]:
        measure_world(int(sys.argv[2]))
    else:
        print(f"{'':6} {'events':>12} {'wall ev/s':>12} {'cpu ev/s':>12} {'s':>8} {'peak MB':>8} {'B/event':>8}")
        sizes = [str(int(float(size))) for size in sys.argv[1:] or ["1e5", "1e6"]]
        for each in sizes:
            for kind in ("shop", "media"):
                subprocess.run([sys.executable, __file__, "one", each, kind], check=True)
        subprocess.run([sys.executable, __file__, "world", sizes[0]], check=True)
