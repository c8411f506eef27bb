"""The first nights of coupons that nobody knows yet: what learning who is changed by them costs, day by day.

    python tests/benchmarks/bench_offer_nights.py [--events 150000] [--days 14] [--every 1] [--seeds 2]
        [--first 0]

The sample shop's past is imported without what coupons it had; then eight new ones hold. Every policy has a world of
its own that begins at the same moment. Each day: who comes is asked about once, on the first visit; the day passes with
what was shown; its events and decisions are imported; a night learns from them. Nothing binds the budget: what is
judged is who gets which, by the planted law (`World.offer_profit`: expected, so no luck is in it).

    oracle          the best coupon of each visitor by the truth, or none
    huaxiang        the night's plan, `decide` with its draws and its exploration, and the holdout that gets none
    without nights  the same plan as on the first day, for ever
    rules of thumb  the first day's plan without draws, exploration or holdout
    everybody       each visitor any of the coupons
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from bench_offers import interval
from living_shop import APP, END, App, decisions, past_of, person, world_of

from portraits.build import build
from portraits.engine import connect
from portraits.sample import World
from portraits.sample.plan import uniform
from portraits.settings import AppSettings
from recommender.offers.decide import decide
from recommender.offers.night import plan_offers
from recommender.offers.plan_files import FOLDER, OfferPlan

HELD = 0.05
EXPLORED = 0.1
Visit = Mapping[str, Any]
Shown = list[str | None]


class Policy:
    """Says which coupon each visit is shown (None: none)."""

    def morning(self, world: World, day: int) -> None:
        """Before the first visit of a day."""

    def show(self, world: World, visits: Sequence[Visit], offers: Sequence[str], day: int) -> Shown:
        raise NotImplementedError

    def evening(self, events: pa.Table) -> None:
        """What the day was."""


class Oracle(Policy):
    def show(self, world: World, visits: Sequence[Visit], offers: Sequence[str], day: int) -> Shown:  # noqa: ARG002
        profit = np.subtract(*world.offer_profit([visit["user_id"] for visit in visits], offers))
        best = profit.argmax(axis=1)
        return [offers[one] if profit[row, one] > 0 else None for row, one in enumerate(best)]


class Everybody(Policy):
    def show(self, world: World, visits: Sequence[Visit], offers: Sequence[str], day: int) -> Shown:  # noqa: ARG002
        luck = np.random.default_rng(day)
        return [offers[one] for one in luck.integers(0, len(offers), len(visits))]


class Planned(Policy):
    """The night's plan. every: days from one night to the next, 0: the first one only; pure: by its means alone."""

    def __init__(self, app: App, every: int, pure: bool = False) -> None:
        self._app, self._every, self._pure = app, every, pure
        self._plan: OfferPlan | None = None
        self._written: list[dict[str, Any]] = []
        self.seconds = 0.0

    def morning(self, world: World, day: int) -> None:
        if self._plan is None or (self._every and day % self._every == 0):
            began = time.process_time()
            self._plan = night(self._app, world.now, self._app.home / f"portraits-{day}")
            self.seconds += time.process_time() - began

    def show(self, world: World, visits: Sequence[Visit], offers: Sequence[str], day: int) -> Shown:  # noqa: ARG002
        self._written = []
        return [self._one(visit, day, row) for row, visit in enumerate(visits)]

    def _one(self, visit: Visit, day: int, number: int) -> str | None:
        plan = self._plan
        if plan is None or visit["user_id"] in self._app.refuses:
            return None
        row = plan.row(visit["user_id"])
        columns = np.flatnonzero(plan.eligible[row])
        if self._pure:
            profit = np.where(plan.eligible[row], plan.gain[row] - plan.cost[row], -1.0)
            return plan.offers[int(profit.argmax())] if profit.max() > 0 else None
        choice = decide(plan, row, columns, 0.0, seed=day * 1_000_003 + number, exploration=EXPLORED, n=1)
        first = int(columns[choice.order[0]]) if choice.order else None
        held = uniform(1, int(person(visit["user_id"])))[0] < HELD
        entries: list[dict[str, Any]] = [{"source": "none", "propensity": choice.none}]
        if first is not None:
            chance = float(choice.propensity[choice.order[0]])
            chosen = {"offer_id": plan.offers[first], "position": 1, "source": choice.source, "propensity": chance}
            entries.insert(0, chosen)
        kept = {"decision_id": f"D{day}-{number}", "user_id": visit["user_id"], "ts": visit["ts"]}
        kept |= {"placement": "offers", "policy": "offers", "arm": "control" if held else "treated", "degraded": False}
        self._written.append({**kept, "candidates": json.dumps(entries)})
        return None if held or first is None else plan.offers[first]

    def evening(self, events: pa.Table) -> None:
        if self._every:
            self._app.take("events", events)
            self._app.take("decisions", decisions(self._written))


def night(app: App, as_of: datetime, folder: Path) -> OfferPlan:
    """Portraits and a plan as of a moment, as the night makes them."""
    snapshot, con = app.doors()[1].snapshot(APP), connect()
    build(snapshot, app.settings, as_of, folder, con)
    plan_offers(snapshot, app.settings, folder, as_of, con)
    return OfferPlan.open(folder / FOLDER)


def without_coupons(past: Path) -> None:
    """Takes what the past knows of coupons out of its files; all of them hold from the end on."""
    for part in [*sorted((past / "events").glob("*.parquet"))]:
        table = pq.read_table(part)
        table = table.filter(pc.invert(pc.starts_with(table["type"], "offer_")))
        place = table.schema.get_field_index("offer_id")
        pq.write_table(table.set_column(place, "offer_id", pa.nulls(len(table), pa.string())), part)
    table = pq.read_table(past / "decisions.parquet")
    pq.write_table(table.filter(pc.not_equal(table["placement"], "offers")), past / "decisions.parquet")
    table = pq.read_table(past / "offers.parquet")
    rows = [{**row, "starts": END, "ends": END.replace(year=END.year + 1)} for row in table.to_pylist()]
    rows = [{**row, "budget": None, "daily_budget": None} for row in rows]
    pq.write_table(pa.Table.from_pylist(rows, table.schema), past / "offers.parquet")


def live(world: World, policy: Policy, offers: Sequence[str], days: int) -> np.ndarray:
    """days x (earned, best, spent, shown, visitors): expected, fen."""
    told = np.zeros((days, 5))
    for day in range(days):
        policy.morning(world, day)
        first = {visit["user_id"]: visit for visit in reversed(world.visitors().to_pylist())}
        visits = sorted(first.values(), key=lambda visit: visit["ts"])
        shown = policy.show(world, visits, offers, day)
        gain, cost = world.offer_profit([visit["user_id"] for visit in visits], offers)
        place = {name: column for column, name in enumerate(offers)}
        rows = np.array([row for row, one in enumerate(shown) if one is not None], np.int64)
        columns = np.array([place[one] for one in shown if one is not None], np.int64)
        best = np.maximum((gain - cost).max(axis=1), 0).sum()
        spent = cost[rows, columns].sum()
        told[day] = (gain[rows, columns].sum() - spent, best, spent, len(rows), len(visits))
        answers = [
            {
                "decision_id": f"D{day}-{row}",
                "user_id": visit["user_id"],
                "ts": visit["ts"],
                "offer_id": one,
                "position": 1,
            }
            for row, (visit, one) in enumerate(zip(visits, shown, strict=True))
            if one is not None
        ]
        policy.evening(world.day(answers))
    return told


def run(seed: int, given: argparse.Namespace, folder: Path) -> dict[str, np.ndarray]:
    past, opened = past_of(folder / "past", seed, given.events), world_of(seed, given.events)
    without_coupons(past)
    settings = AppSettings(APP, tuning_trials=0, control_share=0.0, offer_days=1.0, offer_control_share=HELD, seed=seed)
    app = App.imported(folder / "app", past, settings)
    offers = pq.read_table(past / "offers.parquet")["offer_id"].to_pylist()
    made: dict[str, Callable[[], Policy]] = {
        "oracle": Oracle,
        "huaxiang": lambda: Planned(app.moved(folder / "learning"), given.every),
        "without nights": lambda: Planned(app.moved(folder / "still"), 0),
        "rules of thumb": lambda: Planned(app.moved(folder / "rules"), 0, pure=True),
        "everybody": Everybody,
    }
    found = {}
    for name, make in made.items():
        policy = make()
        found[name] = live(copy.deepcopy(opened), policy, offers, given.days)
        took = f", nights {policy.seconds:.0f} CPU s" if isinstance(policy, Planned) else ""
        earned, best = found[name][:, :2].sum(axis=0)
        print(f"  seed {seed} {name}: {earned / best:.3f} of the best{took}", file=sys.stderr, flush=True)
    return found


def show(found: Sequence[Mapping[str, np.ndarray]], days: int) -> None:
    """Shares of the best, and money, over seeds."""
    halves = {"all days": slice(0, days), "first half": slice(0, days // 2), "second half": slice(days // 2, days)}
    print(f"\nShare of the oracle's profit in the same world, mean over {len(found)} seeds [95% interval]:")
    print(f"{'':18}" + "".join(f"{name:>26}" for name in halves) + f"{'yuan a visitor':>16}{'spent':>10}{'shown':>8}")
    for name in found[0]:
        line = f"{name:18}"
        for part in halves.values():
            line += f"{interval([one[name][part, 0].sum() / one[name][part, 1].sum() for one in found]):>26}"
        earned, _, spent, shown, visitors = np.sum([one[name].sum(axis=0) for one in found], axis=0)
        print(line + f"{earned / visitors / 100:>16.3f}{spent / visitors / 100:>10.3f}{shown / visitors:>8.2f}")
    print("\nCumulative regret (what the best would have earned more), yuan, by day:")
    for name in found[0]:
        mean = np.mean([one[name] for one in found], axis=0)
        print(f"{name:18}" + " ".join(f"{one / 100:>7,.0f}" for one in np.cumsum(mean[:, 1] - mean[:, 0])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=150_000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--every", type=int, default=1, help="days from one night to the next")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    given = parser.parse_args()
    found = []
    for seed in range(given.first, given.first + given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            found.append(run(seed, given, Path(folder)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{given.events:,} events a shop, {given.days} days; {time.process_time():.0f} CPU s, peak {peak:,.0f} MB")
    show(found, given.days)


if __name__ == "__main__":
    main()
