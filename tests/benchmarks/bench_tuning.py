"""What tuning costs and brings: each source with its defaults and with what a night's search found, on real data.

    python tests/benchmarks/bench_tuning.py [--sets NAME ...] [--sources NAME ...] [--trials 60] [--nights 2]

The search sees the past alone (the night's inner split); both are then fitted on the whole past and judged on the
future: NDCG@10 over all items and over new ones, with the difference, paired by visitor, and its 95% interval. Beside
the processor's seconds of the search stand those of one fit of all sources with their defaults; a night has three.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from real_sets import SETS, Task, arguments

from recommender.backtest import splits
from recommender.candidates import SOURCES
from recommender.judging.evaluate import PARTS
from recommender.judging.metrics import paired_bootstrap
from recommender.memory import Memory
from recommender.plan import Plan
from recommender.tuning.rungs import Values, mean, ndcg
from recommender.tuning.tune import Budget, Tuned, tune

JUDGED = 2_000


def bench(name: str, task: Task, trials: int, nights: int, sources: dict[str, Any]) -> None:
    """Prints the table of one set: each night remembers those before it."""
    found = splits(task.past, Plan())
    if found is None:
        print(f"{name}: too little to tune on")
        return
    inner = found[0]
    begun = time.process_time()
    for source in sources.values():
        if source.suits(inner.train):
            source().fit(inner.train, 0)
    fits = time.process_time() - begun
    known: list[Tuned] = []
    for night in range(nights):
        begun = time.process_time()
        memory = Memory.of([{"tuning": one.record} for one in reversed(known)])
        known.append(tune(inner, 0, Budget(trials), memory, sources))
        took = time.process_time() - begun
        shares = ", ".join(f"{share:.2f}" for share in known[-1].rungs)
        print(f"\n{name}, night {night + 1}: {trials} trials on {shares} of {len(inner.train.user):,} interactions,")
        print(f"{took:.0f} s of the processor; all sources fitted once {fits:.0f} s")
        _table(task, known[-1], sources)


def _table(task: Task, tuned: Tuned, sources: dict[str, Any]) -> None:
    outer = task.split.sample(JUDGED, 0)
    print(f"{'':16}{'trials':>7}" + "".join(f"{part + ' default -> tuned':>26}{'difference':>28}" for part in PARTS))
    for name in dict.fromkeys(one.source for one in tuned.trials):
        params = tuned.params.get(name, {})
        usual, best = (ndcg(sources[name](**point).fit(outer.train, 0), outer) for point in ({}, params))
        line = f"{name:16}{sum(one.source == name for one in tuned.trials):7d}"
        for part in PARTS:
            line += f"{mean(usual[part]):16.4f} -> {mean(best[part]):.4f}{_difference(best[part], usual[part]):>28}"
        print(line, params)


def _difference(ours: Values, theirs: Values) -> str:
    judged = ~np.isnan(ours)
    found = paired_bootstrap(ours[judged], theirs[judged], seed=0)
    return f"{found.mean:+.4f} [{found.low:+.4f} {found.high:+.4f}]"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--sets", nargs="*", default=["online_retail", "complete_journey"], choices=list(SETS))
    parser.add_argument("--sources", nargs="*", default=[], choices=list(SOURCES))
    parser.add_argument("--trials", type=int, default=Budget().trials)
    parser.add_argument("--nights", type=int, default=1)
    asked = parser.parse_args()
    sources = {name: SOURCES[name] for name in SOURCES if not asked.sources or name in asked.sources}
    for name in asked.sets:
        bench(name, SETS[name](asked.data), asked.trials, asked.nights, sources)


if __name__ == "__main__":
    main()
