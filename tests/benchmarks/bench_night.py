"""A whole night of the sample shop by step: seconds, CPU seconds, peak memory.

    python tests/benchmarks/bench_night.py [--sizes 1e6 1e7] [--folder FOLDER] [--trials N] [--minutes 60]
        [--engine duckdb]

Histories come from the sample shop (kept in FOLDER for the next run, if given); each night is a process of its own: the
first one of its app, in a new home with an SQLite store, as of the history's end. Peak memory is that of the process
while the step runs (what a step holds from the ones before it included), read from Linux's /proc. With `--engine
spark://...` (or `here`: a master and two workers of one core on this machine) portraits are built and the heavy
sources trained there; their seconds are waiting then, and their memory is not this process's. Aims: 16 GB at a
hundred million events, and no step's seconds growing much faster than the history.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from portraits.history import CATALOGUES
from portraits.lake import Lake
from portraits.sample.history import history
from portraits.sample.plan import END
from portraits.settings import AppSettings
from serving.nightly import run_night
from serving.settings import ProcessSettings
from serving.stores import Store

sys.path.insert(0, str(Path(__file__).parents[1]))
from spark_cluster import Cluster

APP = "shop"
PEAK = "VmHWM:"


def main() -> None:
    asked = _arguments()
    if asked.shop:
        print(json.dumps(measure(asked)))
        return
    with ExitStack() as stack:
        folder = asked.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if asked.engine == "here":
            asked.engine = _enter_cluster(stack)
        for size in (int(float(text)) for text in asked.sizes):
            shop = folder / f"shop-{size}"
            if not (shop / "items.parquet").exists():
                history(0, size, shop)
            _show(size, _night(shop, asked))


def _show(size: int, found: dict[str, Any]) -> None:
    print(f"\n{size:,} events, status {found['status']}, {found['portraits']:,} portraits, {found['engine']}")
    print(f"{'step':28}{'s':>9}{'cpu s':>9}{'peak GB':>9}")
    for row in found["steps"]:
        print(f"{row['step']:28}{row['s']:>9.1f}{row['cpu']:>9.1f}{row['gb']:>9.2f}")
    steps = found["steps"]
    total, cpu = (sum(row[key] for row in steps) for key in ("s", "cpu"))
    print(f"{'whole night':28}{total:>9.1f}{cpu:>9.1f}{max(row['gb'] for row in steps):>9.2f}", flush=True)


def _night(shop: Path, asked: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--shop", str(shop), "--engine", asked.engine]
    command += ["--minutes", str(asked.minutes), *(["--trials", str(asked.trials)] if asked.trials is not None else [])]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


@dataclass
class Clock:
    """What each step took: hears of steps as they begin and end, with those of training among them."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    _now: tuple[str, float, float] | None = None

    def __call__(self, step: str, what: str) -> None:
        """As `night_steps.OnStep`."""
        self.stop()
        name = f"{step}: {what.rpartition(' (')[0]}" if step == "train" and " (" in what else step
        if not what.startswith("done in"):
            Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew from here
            self._now = (name, time.perf_counter(), _cpu_seconds())

    def stop(self) -> None:
        """The step that runs ends; a name that comes again adds up."""
        if self._now is None:
            return
        name, began, cpu = self._now
        row = {"step": name, "s": time.perf_counter() - began, "cpu": _cpu_seconds() - cpu, "gb": _peak_gigabytes()}
        known = next((one for one in self.rows if one["step"] == name), None)
        if known is None:
            self.rows.append(row)
        else:
            known.update(s=known["s"] + row["s"], cpu=known["cpu"] + row["cpu"], gb=max(known["gb"], row["gb"]))
        self._now = None


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """One night in this process."""
    with tempfile.TemporaryDirectory(dir=asked.shop.parent) as home:
        os.environ["BENTOML_HOME"] = f"{home}/bentoml"
        process = ProcessSettings(home=Path(home), secret="only for benchmarks", engine=asked.engine)
        trials = {} if asked.trials is None else {"tuning_trials": asked.trials}
        app = AppSettings(APP, tuning_minutes=asked.minutes, **trials)
        store, lake = Store.open(process.store_url), Lake(process.lake)
        store.add_app(app)
        _fill(lake, asked.shop)
        clock = Clock()
        summary = run_night(process, store, lake, APP, as_of=END, on_step=clock)
    told = {"status": summary.status, "portraits": summary.portraits, "engine": asked.engine}
    return {"steps": clock.rows, **told}


def _fill(lake: Lake, shop: Path) -> None:
    """The sample's files as they would have been imported, part by part."""
    for part in sorted((shop / "events").glob("*.parquet")):
        lake.append_events(APP, pq.read_table(part))
    for name in CATALOGUES:
        if (file := shop / f"{name}.parquet").exists():
            lake.upsert(APP, name, pq.read_table(file), END)


def _enter_cluster(stack: ExitStack) -> str:
    """A cluster of this machine; sessions read its settings as an operator's."""
    cluster = stack.enter_context(Cluster(memory="2g"))
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    lines = [f"{key} {value}" for key, value in cluster.settings.items() if "codegen" not in key]
    (folder / "spark-defaults.conf").write_text("\n".join(lines))
    os.environ["SPARK_CONF_DIR"] = str(folder)
    return cluster.url


def _cpu_seconds() -> float:
    """Of this process and of the children that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _peak_gigabytes() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(PEAK)) / 1e6


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["1e6"])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--trials", type=int, help="new points of parameters (default: the app's own default)")
    parser.add_argument("--minutes", type=float, default=60.0, help="after so many no new point is tried")
    parser.add_argument("--engine", default="duckdb")
    parser.add_argument("--shop", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
