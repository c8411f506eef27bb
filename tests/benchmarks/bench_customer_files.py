"""What `huaxiang offers export` says of customer files of other systems, beside learners of scikit-learn and the truth.

    python tests/benchmarks/bench_customer_files.py [--forms A B] [--worlds ...] [--sizes 20000] [--seeds 1] [--first 0]
        [--twice]

Each file (`customer_worlds`: planted effects, known for each customer) goes through the command line as a merchant's
would: `app add`, `import` by the mappings of notebooks/mappings/forms, `offers export`. References learn from the same
rows: boosted trees as they come, an S-, T- and X-learner, logistic regressions an arm ("line"), average effects, who is
likely to buy, by lot. For profit each of them may choose, by the truth, the better of money itself and lift x a usual
order: what they would reach at best.

rank: Spearman with the true effect on the chance to buy, mean over offers. rank profit: the same of profit. value: of
the best offer or none for each, as a share of the oracle's. qini: of the ranking by lift, area under the true curve as
a share of the oracle's. slope: of true effects on those that were told (1 is right). --twice: exports again, and says
whether the bytes are equal.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from customer_worlds import WORLDS_A, WORLDS_B, World, log_of, one_row
from scipy.stats import spearmanr
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FORMS = Path(__file__).parents[2] / "notebooks" / "mappings" / "forms"
APP = "file"
SIZES = {"A": 20_000, "B": 5_000}
WORLDS = {"A": ("two features", "often costs"), "B": ("by income", "sure things")}
USED = """
[[event]]
when = "used = '1'"
columns.type = { constant = "offer_redeem" }
columns.event_id = { sql = "'used-c' || _line" }
columns.ts = { constant = "2020-01-01T01:01:00Z" }
columns.offer_id = "segment"
columns.discount = { constant = 2000 }
"""
"""What a merchant adds to one_row_events.toml whose file tells whether the offer was used."""
Array = Any
Told = tuple[Array, list[Array]]
"""lift [n, O]; ways to tell profit [n, O]."""


def run(home: Path, *words: str) -> tuple[float, float]:
    """A command; CPU seconds and MB at most."""
    command = [sys.executable, "-c", "from serving.cli import main; main()", *words]
    with subprocess.Popen(command, env={**os.environ, "HUAXIANG_HOME": str(home)}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True) as process:  # fmt: skip
        said = process.stdout.read() if process.stdout else ""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)}: {said}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def imported(form: str, world: str, n: int, seed: int, room: Path) -> tuple[World, list[tuple[str, Path, Path]]]:
    """The truth, and tables with their files and mappings."""
    if form == "B":
        truth = log_of(world, n, seed, room)
        parts = (("users", "profile", "_users"), ("offers", "portfolio", "_offers"), ("events", "transcript", ""))
        return truth, [
            (table, room / f"{name}.csv", FORMS / f"offer_events_csv{end}.toml") for table, name, end in parts
        ]
    truth = one_row(world, n, seed, room / "customers.csv")
    mapping = room / "events.toml"
    told = (FORMS / "one_row_events.toml").read_text()
    mapping.write_text(told + USED * bool(truth.paid.any()))
    maps = {"users": FORMS / "one_row_users.toml", "decisions": FORMS / "one_row_decisions.toml", "events": mapping}
    return truth, [(table, room / "customers.csv", one) for table, one in maps.items()]


def exported(form: str, files: list[tuple[str, Path, Path]], room: Path, twice: bool) -> tuple[Path, str]:
    """The plan as a file, and what it took."""
    home, out = room / "home", room / "plan.parquet"
    run(home, "app", "add", APP)
    if form == "B":
        run(home, "app", "set", APP, "offer_days=7")
    took = [
        run(home, "import", table, "--app", APP, "--from", str(path), "--map", str(one)) for table, path, one in files
    ]
    last = run(home, "offers", "export", "--app", APP, "--out", str(out))
    most = max(one[1] for one in [*took, last])
    said = f"import {sum(one[0] for one in took):.0f} s, export {last[0]:.0f} s (CPU), {most:.0f} MB"
    if twice:
        run(home, "offers", "export", "--app", APP, "--out", str(room / "again.parquet"))
        said += ", again " + ("equal" if out.read_bytes() == (room / "again.parquet").read_bytes() else "DIFFERENT")
    return out, said


def told_by(path: Path, truth: World) -> Told:
    """The export as arrays of the truth's shape, yuan; nothing for whom it leaves out."""
    table = pq.read_table(path).to_pandas()
    rows, columns = (
        table[name].map({one: place for place, one in enumerate(ids)})
        for name, ids in (("user_id", truth.ids), ("offer_id", truth.offers))
    )
    lift, profit = np.zeros_like(truth.lift), np.full_like(truth.lift, -1e-9)
    lift[rows, columns] = table.uplift
    profit[rows, columns] = table.expected_profit / 100
    return lift, [profit]


def _boosted(chance: bool) -> Any:
    return HistGradientBoostingClassifier(random_state=0) if chance else HistGradientBoostingRegressor(random_state=0)


def _line(chance: bool) -> Any:
    last = LogisticRegression(C=0.1, max_iter=300) if chance else Ridge(100.0)
    return make_pipeline(StandardScaler(), last)


class Fitted:
    """E[y | x] of 0 and 1, or of money."""

    def __init__(self, make: Callable[[bool], Any], X: Array, y: Array) -> None:
        self.constant = float(y[0]) if np.ptp(y) == 0 else None
        self.chance = bool(np.isin(y, (0.0, 1.0)).all())
        self.model = None if self.constant is not None else make(self.chance).fit(X, y)

    def __call__(self, X: Array) -> Array:
        if self.model is None:
            return np.full(len(X), self.constant)
        return self.model.predict_proba(X)[:, 1] if self.chance else self.model.predict(X)


def two(make: Callable[[bool], Any], rows: World, y: Array) -> Array:
    """T-learner: [n, O]."""
    arms = [Fitted(make, rows.X[rows.action == a], y[rows.action == a]) for a in range(-1, len(rows.offers))]
    return np.stack([arm(rows.X_now) - arms[0](rows.X_now) for arm in arms[1:]], axis=1)


def single(make: Callable[[bool], Any], rows: World, y: Array) -> Array:
    """S-learner."""
    many = np.arange(len(rows.offers))
    whole = Fitted(make, np.hstack([rows.X, rows.action[:, None] == many]), y)
    told = [whole(np.hstack([rows.X_now, np.tile(many == a, (len(rows.X_now), 1))])) for a in range(-1, len(many))]
    return np.stack([one - told[0] for one in told[1:]], axis=1)


def crossed(make: Callable[[bool], Any], rows: World, y: Array) -> Array:
    """X-learner, both sides alike."""
    none = rows.action < 0
    without, found = Fitted(make, rows.X[none], y[none]), []
    for offer in range(len(rows.offers)):
        own = rows.action == offer
        given = Fitted(make, rows.X[own], y[own])
        one = Fitted(lambda _: make(False), rows.X[own], y[own] - without(rows.X[own]))
        other = Fitted(lambda _: make(False), rows.X[none], given(rows.X[none]) - y[none])
        found.append((one(rows.X_now) + other(rows.X_now)) / 2)
    return np.stack(found, axis=1)


def references(rows: World) -> dict[str, Told]:
    """What learns from the same rows."""
    usual = rows.spent[rows.bought > 0].mean()
    given = [rows.action == offer for offer in range(len(rows.offers))]
    paid = np.tile([rows.paid[one].mean() for one in given], (len(rows.X_now), 1))

    def told(learn: Callable[..., Array], make: Callable[[bool], Any]) -> Told:
        lift = learn(make, rows, rows.bought)
        cost = np.stack([Fitted(make, rows.X[one], rows.paid[one])(rows.X_now) for one in given], axis=1)
        return lift, [learn(make, rows, rows.spent) - cost, lift * usual - cost]

    found = {
        name: told(learn, _boosted) for name, learn in (("S trees", single), ("T trees", two), ("X trees", crossed))
    }
    X, now = (np.where(np.isnan(one), np.nanmean(rows.X, axis=0), one) for one in (rows.X, rows.X_now))
    filled = World(**{**vars(rows), "X": X, "X_now": now})
    found["T line"] = (
        two(_line, filled, rows.bought),
        [two(_line, filled, y) - paid for y in (rows.spent, rows.bought * usual)],
    )
    means = [np.array([y[one].mean() - y[rows.action < 0].mean() for one in given]) for y in (rows.bought, rows.spent)]
    tiled = [np.tile(one, (len(rows.X_now), 1)) for one in means]
    found["average"] = (tiled[0], [tiled[1] - paid, tiled[0] * usual - paid])
    likely = np.stack([Fitted(_boosted, rows.X[one], rows.bought[one])(rows.X_now) for one in given], axis=1)
    found["likely to buy"] = (likely, [likely * usual - paid])
    lot = np.random.default_rng(0).standard_normal(rows.lift.shape)
    return found | {"random": (lot, [lot])}


def judged(told: Told, truth: World) -> list[float]:
    """rank, rank of profit, value, qini, slope."""
    lift, ways = told
    values = [_value(one, truth.profit) for one in ways]
    best = _value(truth.profit, truth.profit)
    profit = ways[int(np.argmax(values))]
    value = max(values) / best if best > 0 else max(values) / len(truth.ids)
    return [
        _rank(lift, truth.lift),
        _rank(profit, truth.profit),
        value,
        _qini(lift, truth.lift),
        _slope(lift, truth.lift),
    ]


def _value(profit: Array, true: Array) -> float:
    at = np.arange(len(true))
    best = profit.argmax(axis=1)
    return float(np.where(profit[at, best] > 0, true[at, best], 0.0).sum())


def _mean(told: Array, true: Array, of: Callable[[Array, Array], float]) -> float:
    varying = [o for o in range(true.shape[1]) if np.ptp(true[:, o]) > 1e-9]
    found = [of(told[:, o], true[:, o]) if np.ptp(told[:, o]) > 1e-12 else 0.0 for o in varying]
    return float(np.mean(found)) if found else float("nan")


def _rank(told: Array, true: Array) -> float:
    return _mean(told, true, lambda one, other: float(spearmanr(one, other).statistic))


def _slope(told: Array, true: Array) -> float:
    return _mean(told, true, lambda one, other: float(np.polyfit(one, other, 1)[0]))


def _qini(told: Array, true: Array) -> float:
    def area(by: Array, of: Array) -> float:
        ranked = of[np.argsort(-by, kind="stable")]
        return float(np.mean(np.cumsum(ranked - ranked.mean())))

    return _mean(told, true, lambda one, other: area(one, other) / area(other, other))


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--forms", nargs="*", default=["A", "B"])
    asked.add_argument("--worlds", nargs="*", choices=sorted({*WORLDS_A, *WORLDS_B}))
    asked.add_argument("--sizes", type=int, nargs="*")
    asked.add_argument("--seeds", type=int, default=1)
    asked.add_argument("--first", type=int, default=0, help="the first seed")
    asked.add_argument("--twice", action="store_true")
    given = asked.parse_args()
    for form in given.forms:
        for world in given.worlds or WORLDS[form]:
            for n in given.sizes or [SIZES[form]]:
                _table(form, world, n, range(given.first, given.first + given.seeds), given.twice)


def _table(form: str, world: str, n: int, seeds: range, twice: bool) -> None:
    found: dict[str, list[list[float]]] = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="huaxiang-files-") as room:
            truth, files = imported(form, world, n, seed, Path(room))
            out, said = exported(form, files, Path(room), twice)
            ways = {"huaxiang": told_by(out, truth)}
        begun = time.process_time()
        ways |= references(truth)
        took = time.process_time() - begun
        for name, told in ways.items():
            found.setdefault(name, []).append(judged(told, truth))
    best = _value(truth.profit, truth.profit) / n
    print(f"\n{form}, {world}, {n:,} customers, {len(seeds)} seeds: {said}; references {took:.0f} s (CPU)")
    print(f"oracle {best:.3f} yuan each")
    print(f"{'':16}" + "".join(f"{name:>12}" for name in ("rank", "rank profit", "value", "qini", "slope")))
    for name, rows in found.items():
        print(f"{name:16}" + "".join(f"{one:12.2f}" for one in np.mean(rows, axis=0)), flush=True)


if __name__ == "__main__":
    main()
