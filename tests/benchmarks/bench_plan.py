"""Planning offers: seconds, memory and the gap to the dual bound by size; the exact LP where HiGHS can; pacing.

    python tests/benchmarks/bench_plan.py [--sizes 10000,100000,1000000] [--offers 50] [--alike]

Each size runs in a process of its own. Memory: most resident during planning beyond what the arrays given take.
`--alike`: visitors of 200 kinds instead of all different, as on a first night, where rules give the same numbers to
many. Pacing: a week's budget, spent by paced prices, by the night's price alone, and by first come, first served; the
value is told as a share of what could have been earned with hindsight.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import psutil  # noqa: E402
import scipy.sparse as sp  # noqa: E402
from pacing_shop import COST, MONDAY, WEEKS, price_for, usual, week  # noqa: E402
from scipy.optimize import linprog  # noqa: E402

from recommender.offers.allocate import Budgets, allocate  # noqa: E402
from recommender.offers.pacing import scheduled  # noqa: E402

LP_ROWS = 10_000
KINDS = 200


def planted(visitors: int, offers: int, *, alike: bool) -> dict[str, Any]:
    """Gains about the costs, 70% eligible; every offer has a budget for about half of its demand, and there is a total
    budget for half of those."""
    rng = np.random.default_rng(0)
    rows = KINDS if alike else visitors
    cost = (rng.uniform(100, 1000, offers) * rng.uniform(0.05, 1, (rows, offers))).astype(np.float32)
    gain = cost * rng.lognormal(0, 0.6, (rows, offers)).astype(np.float32)
    gain *= rng.uniform(0.8, 1.4, (rows, 1)).astype(np.float32)
    if alike:
        kind = rng.integers(0, KINDS, visitors)
        cost, gain = cost[kind], gain[kind]
    eligible = rng.random((visitors, offers), dtype=np.float32) < 0.7
    each = visitors / offers * 150 * rng.uniform(0.1, 1.5, offers)
    budgets = Budgets(each.tolist(), 0.5 * float(each.sum()))
    weight = np.ones(visitors) if alike else rng.gamma(2, 0.5, visitors)
    return {"gain": gain, "cost": cost, "eligible": eligible, "weight": weight, "budgets": budgets}


def one(visitors: int, offers: int, *, alike: bool) -> None:
    """Plans one size and prints what it took as JSON; in a process of its own."""
    shop = planted(visitors, offers, alike=alike)
    process = psutil.Process()
    given = process.memory_info().rss
    Path("/proc/self/clear_refs").write_text("5", "utf-8")  # what the arrays took while they were made is not counted
    begun, worked = time.perf_counter(), time.process_time()
    found = allocate(**shop)
    told: dict[str, Any] = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - worked}
    told |= {"gap": found.gap, "value": found.value}
    told |= {"given_mb": given / 2**20, "extra_mb": (_peak() - given) / 2**20}
    told |= {"spent": float(found.spent.sum() / shop["budgets"].total)}
    if visitors <= LP_ROWS and not alike:  # HiGHS takes minutes for ties
        begun = time.perf_counter()
        exact = exact_lp(shop)
        told |= {"lp_seconds": time.perf_counter() - begun, "of_lp": found.value / exact, "bound": found.bound / exact}
    sys.stdout.write(json.dumps(told))


def _peak() -> float:
    status = Path("/proc/self/status").read_text("utf-8")
    return float(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


def exact_lp(shop: dict[str, Any]) -> float:
    """The linear relaxation by HiGHS, in whole."""
    u, o = np.nonzero(shop["eligible"])
    n, (visitors, offers) = len(u), shop["gain"].shape
    weight = shop["weight"][u]
    spent = weight * shop["cost"][u, o]
    at = np.arange(n)
    matrix = sp.vstack(
        [
            sp.csr_array((np.ones(n), (u, at)), shape=(visitors, n)),
            sp.csr_array((spent, (o, at)), shape=(offers, n)),
            sp.csr_array(spent[None, :]),
        ]
    ).tocsr()
    right = np.r_[np.ones(visitors), shop["budgets"].offers, shop["budgets"].total]
    worth = weight * (shop["gain"][u, o].astype(float) - shop["cost"][u, o])
    found = linprog(-worth, A_ub=matrix, b_ub=right, bounds=(0, 1), method="highs", options={"time_limit": 300})
    return float("nan") if found.fun is None else -float(found.fun)


def pacing() -> None:
    """A week at four kinds of traffic."""
    arrivals = usual() * 10
    budget = COST * arrivals.sum() / 4
    price = price_for(arrivals, budget)
    start, end = (np.array([moment.timestamp() * 1e6]) for moment in (MONDAY, MONDAY + timedelta(days=7)))
    hours = [MONDAY + timedelta(hours=hour + 1) for hour in range(168)]
    course = np.array([scheduled(start, end, usual(), hour)[0] for hour in hours])
    print(f"\n{'week':18}{'policy':14}{'value / hindsight':>18}{'spent':>8}{'by Monday noon':>16}{'most ahead':>12}")
    for name, changed in WEEKS.items():
        for policy, paid, paced in (
            ("first come", 0.0, False),
            ("night's price", price, False),
            ("paced", price, True),
        ):
            lived = week(changed(arrivals), budget, paid, paced=paced)
            ahead = (lived.spent - course).max()
            value = lived.value / lived.best
            print(f"{name:18}{policy:14}{value:18.3f}{lived.spent[-1]:8.1%}{lived.spent[11]:16.1%}{ahead:12.1%}")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--offers", type=int, default=50)
    parser.add_argument("--alike", action="store_true")
    parser.add_argument("--one", type=int)
    asked = parser.parse_args()
    if asked.one:
        one(asked.one, asked.offers, alike=asked.alike)
        return
    print(
        f"{'visitors':>10}{'seconds':>9}{'cpu s':>8}{'arrays MB':>11}{'extra MB':>10}{'gap':>9}{'used':>9}   exact LP"
    )
    for size in map(int, asked.sizes.split(",")):
        more = ["--alike"] if asked.alike else []
        command = [sys.executable, __file__, "--one", str(size), "--offers", str(asked.offers), *more]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        lp = f"{told['of_lp']:.4f} of it, in {told['lp_seconds']:.0f} s" if "of_lp" in told else "-"
        print(
            f"{size:10,}{told['seconds']:9.1f}{told['cpu']:8.1f}{told['given_mb']:11,.0f}{told['extra_mb']:10,.0f}{told['gap']:9.3%}"
            f"{told['spent']:9.2%}   {lp}",
            flush=True,
        )
    pacing()


if __name__ == "__main__":
    main()
