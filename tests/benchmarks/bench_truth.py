"""Portraits beside the planted truth of the sample shop: how much is recovered, by the length of a visitor's history.

    python tests/benchmarks/bench_truth.py [--sizes 1e5 3e5 1e6] [--seed 0]

Each size is a shop of its own that goes through the lake. Columns are visits of a visitor; beside each value is n,
the visitors (needs, for rhythm of needs) it is about. Read along a row to see what more history is worth. At the
smallest size portraits of 30 days before the end are built twice, with and without the events that follow: not one
field may differ.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
import truth_recovery as truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["1e5", "3e5", "1e6"])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sizes = sorted(int(float(text)) for text in args.sizes)
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            shop = truth.live(args.seed, size, Path(folder))
            print(f"{size:,} events, {len(shop.people):,} portraits, {time.perf_counter() - began:.0f} s")
            show(shop)
    with tempfile.TemporaryDirectory() as folder:
        print(f"fields that the last 30 days of {sizes[0]:,} events move: {moved(args.seed, sizes[0], Path(folder))}")


def show(shop: truth.Shop) -> None:
    """One row a check."""
    print(f"{'':26} {'metric':9}" + "".join(f"{length:>16}" for length in truth.LENGTHS))
    for row in truth.table(shop):
        cells = "".join(f"{row[length]:>8.3f} {row[f'n {length}']:>7,}" for length in truth.LENGTHS)
        print(f"{row['check']:26} {row['metric']:9}{cells}", flush=True)


def moved(seed: int, events: int, folder: Path) -> list[str]:
    """Fields of portraits 30 days before the end that differ when the events since then are taken away."""
    whole = truth.lived_past(seed, events, folder)
    as_of = whole.as_of - timedelta(days=30)
    then = replace(whole, as_of=as_of)
    known = replace(then, lake_events=then.lake_events.filter(then.lake_events.ts < as_of))
    one, other = truth.as_arrow(then), truth.as_arrow(known)
    return [name for name in one.column_names if not one.column(name).equals(other.column(name))]


if __name__ == "__main__":
    main()
