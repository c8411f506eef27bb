"""Learners of effects against planted truth: error, and what choosing by them gains as a share of what the truth would.

    python tests/benchmarks/bench_effects.py [--rows 2000 20000 200000] [--seeds 3] [--many 50]

Beside each other: the learners, what `choose` takes, and as references a T-learner over scikit-learn's boosted trees as
they come, the average of each offer, and effects at random. The world is `planted_effects`: three offers at random
beside none, sleeping dogs, sure things; visits that buy or not, and money (log-normal). Error is in standard deviations
of the true effects (1.0 to 1.2 is what knowing nothing gets); gain is of the best offer where its effect is above 0.
`--many`: instead of all that, how long expectations of so many offers and chances that no log tells take, and the most
memory beyond the rows, by rows of 136 features, as many as a portrait has.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

sys.path.append(str(Path(__file__).parents[1]))

from planted_effects import OFFERS, Planted, planted

from recommender.effects.choice import choose
from recommender.effects.learners import LEARNERS, MOST_ROWS, Lesson
from recommender.effects.propensities import with_propensities
from recommender.effects.rows import NONE, Floats, capped, rows_of
from recommender.effects.scores import Crossfitted

NEW = 20_000
"""Visitors who are judged on, none of them learnt from."""
FEATURES = 136
Tell = Callable[[Any], Floats]


def plain_t(seen: Planted) -> Tell:
    """Boosted trees for each action, with scikit-learn's defaults."""
    arms = [
        HistGradientBoostingRegressor(random_state=0).fit(seen.X[seen.action == a], seen.outcome[seen.action == a])
        for a in (*range(OFFERS), NONE)
    ]
    return lambda X: np.stack([arm.predict(X) for arm in arms[:-1]], axis=1) - arms[-1].predict(X)[:, None]


def averages(seen: Planted) -> Tell:
    """The average effect of each offer."""
    level = Lesson.of(rows_of(*seen.given), 0).average.mean
    return lambda X: np.tile(level, (len(X), 1))


def at_random(seen: Planted) -> Tell:
    """Effects by lot."""
    return lambda X: np.random.default_rng(0).normal(size=(len(X), OFFERS)) * seen.outcome.std() / 10


def main() -> None:
    """Prints a table for each size and kind of outcome."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rows", type=int, nargs="*", default=[2_000, 20_000, 200_000])
    asked.add_argument("--seeds", type=int, default=3)
    asked.add_argument("--many", type=int)
    given = asked.parse_args()
    for rows in given.rows if given.many else ():
        _speed(rows, given.many)
    for rows in () if given.many else given.rows:
        for money in (False, True):
            _table(rows, money, given.seeds)


def _table(rows: int, money: bool, seeds: int) -> None:
    found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    chosen = []
    for seed in range(seeds):
        seen, new = planted(rows, seed, money), planted(NEW, 1_000 + seed, money)
        ways: dict[str, Callable[[Planted], Tell]] = {
            name: (lambda seen, make=make: make().fit(*seen.given, seed=0).effects) for name, make in LEARNERS.items()
        }
        ways |= {"plain T": plain_t, "constant": averages, "random": at_random}
        for name, learn in ways.items():
            begun = time.process_time()
            told = learn(seen)(new.X)
            found[name].append((new.error(told), new.value(told), time.process_time() - begun))
        begun = time.process_time()
        best = choose(*seen.given, offers=OFFERS, seed=0)
        told = best.effects(new.X)
        found["choose"].append((new.error(told), new.value(told), time.process_time() - begun))
        chosen.append(best.account["chosen"])
    print(f"\n{rows:,} rows, {'money' if money else 'bought or not'}, {seeds} seeds; chosen: {', '.join(chosen)}")
    print(f"{'':10}{'error':>8}{'gain':>8}{'lowest':>8}{'seconds':>9}")
    for name, told_by in found.items():
        error, value, took = np.array(told_by).mean(axis=0)
        print(f"{name:10}{error:8.2f}{value:8.0%}{min(one[1] for one in told_by):8.0%}{took:9.1f}", flush=True)


def _speed(rows: int, offers: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, FEATURES), dtype=np.float32)
    X[rng.random(rows) < 0.3, : FEATURES // 4] = np.nan
    action = rng.integers(NONE, offers, rows)
    bought = (rng.random(rows) < 0.2 + 0.1 * (X[:, -1] > 0) * (action >= 0)).astype(float)
    seen = rows_of(X, action, np.full(rows, np.nan), bought, offers)
    print(f"\n{rows:,} rows, {offers} offers{'CPU s':>12}{'MB':>8}")
    _took("chances", lambda: with_propensities(seen, 0))
    models = _took("learning", lambda: Crossfitted.fit(capped(seen, MOST_ROWS, 0), 0))
    _took("telling", lambda: [models(X[start : start + NEW]) for start in range(0, rows, NEW)])


def _took(name: str, work: Callable[[], Any]) -> Any:
    Path("/proc/self/clear_refs").write_text("5", "utf-8")  # the peak is counted anew from here
    before, begun = _kilobytes("VmRSS"), time.process_time()
    found = work()
    took, more = time.process_time() - begun, (_kilobytes("VmHWM") - before) / 1024
    print(f"{name:30}{took:12.1f}{more:8.0f}", flush=True)
    return found


def _kilobytes(what: str) -> int:
    status = Path("/proc/self/status").read_text("utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(what)))


if __name__ == "__main__":
    main()
