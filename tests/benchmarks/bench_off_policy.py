"""Off-policy estimates of open_bandit's policies from each other's logs, beside the known click rates.

    python tests/benchmarks/bench_off_policy.py

Each log has 10,000 rows with 46 to 69 clicks, so intervals are wide; they are shown with the effective size. "logged"
weighs by the chance that was logged, "averaged" by that of the week's average policy (`open_bandit_logs.averaged`).
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from open_bandit_logs import DISTINCT, POLICIES, TRUTH, as_other, averaged, covers, even, shown

from portraits.lake import Lake
from recommender.effects.policy_value import Estimate, dr, ips, predict, snips

DATA = Path(os.environ.get("HUAXIANG_DATA", Path(__file__).parents[3] / "shared" / "data"))


def main() -> None:
    print("campaign policy from weights   estimate  value   95% interval     effective  known  covers")
    with tempfile.TemporaryDirectory() as folder:
        for campaign, items in DISTINCT.items():
            random, bts = (shown(DATA, Lake(Path(folder)), campaign, policy) for policy in POLICIES)
            logs = (
                ("bts", "random", "logged", random, random.log(), as_other(random, bts, items)),
                ("random", "bts", "logged", bts, bts.log(), even(bts, items)),
                ("random", "bts", "averaged", bts, bts.log(averaged(bts, items)), even(bts, items)),
            )
            for asked, source, weights, rows, log, target in logs:
                guess = predict(np.eye(3, dtype=np.float32)[rows.place], log, items)
                for name, found in (
                    ("IPS", ips(log, target)),
                    ("SNIPS", snips(log, target)),
                    ("DR", dr(log, target, guess)),
                ):
                    line = f"{campaign:8} {asked:6} {source:6} {weights:9} {name:6}"
                    print(line, _told(found, TRUTH[campaign, asked]))


def _told(found: Estimate, known: float) -> str:
    interval = found.says or f"{found.low:.2%} to {found.high:.2%}"
    covered = "-" if found.says else "yes" if covers(found, known) else "NO"
    return f"{found.value:9.3%}   {interval:18} {found.effective_size:6.0f}  {known:.2%}  {covered}"


if __name__ == "__main__":
    main()
