"""Microseconds of one decision about offers inside the process, without HTTP or store, by number of offers.

    python tests/benchmarks/bench_decide.py [--offers 5 50 200] [--users 10000] [--draws 100] [--requests 5000]

The reference is the least that NumPy could do: take a visitor's row of the gains, subtract the costs, and the greatest.
Printed apart: which offers hold by their rules, the choice with its exact chance over all draws, and the choice on a
slate of ten items. Every figure is the median of the requests, each for another visitor.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from recommender.offers.decide import decide
from recommender.offers.eligible import OfferFacts
from recommender.offers.plan_files import OfferPlan
from recommender.offers.rulebook import Rulebook
from recommender.offers.slate import places
from recommender.types import Query

sys.path.insert(0, str(Path(__file__).parents[1]))
from planted_plan import plan

NOW = datetime(2026, 3, 2, 4, tzinfo=UTC)
GROUPS = 20


def night(users: int, offers: int, draws: int) -> OfferPlan:
    """A plan in which a third of the offers are worth something to a visitor."""
    rng = np.random.default_rng(0)
    gain, cost = rng.normal(80, 100, (users + 1, offers)), rng.random((users + 1, offers)) * 200
    shift, group = rng.normal(0, 40, (draws, GROUPS, offers)), rng.integers(0, GROUPS, users + 1)
    return plan(gain, cost, shift=shift, group=group.tolist())


def rules(offers: int) -> Rulebook:
    """Offers with limits, hours and budgets, a tenth of them for members."""
    common = {"kind": "cash", "value": 100, "minimum": 1_000, "budget": 10**6, "per_user_limit": 1}
    hours = [str(hour) for hour in range(8, 22)]
    return Rulebook(
        [
            {"offer_id": f"o{n}", **common, "hours": hours, "tiers": ["gold"] if n % 10 == 9 else None}
            for n in range(offers)
        ]
    )


def median_us(call: Callable[[int], object], requests: int) -> float:
    """Median microseconds of `call` by number of request, after a tenth as many to warm up."""
    for number in range(requests // 10):
        call(number)
    times = []
    for number in range(requests):
        began = time.perf_counter()
        call(number)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def measured(offers: int, users: int, draws: int, requests: int) -> list[float]:
    """Microseconds of the reference, of the rules, of the choice, and of the choice on a slate."""
    known, rulebook = night(users, offers, draws), rules(offers)
    columns = np.array([known.offers.index(one) for one in rulebook.ids])
    rows = itertools.cycle(np.random.default_rng(1).integers(0, users, 10_007).tolist())
    facts, query, local = OfferFacts("silver"), Query("u", 5, NOW), NOW.astimezone()
    prices = np.full(offers, 0.1)
    slate = places(np.ones((offers, 10), bool), np.linspace(1, 0.1, 10), np.zeros(10, bool), 500.0)
    choose: dict[str, Any] = {"exploration": 0.1, "n": min(5, offers), "alone": rulebook.alone}
    calls: list[Callable[[int], object]] = [
        lambda _: int((known.gain[next(rows)] - known.cost[0]).argmax()),
        lambda _: rulebook.holding(query, facts, local),
        lambda seed: decide(known, next(rows), columns, prices, seed, **choose),
        lambda seed: decide(known, next(rows), columns, prices, seed, placing=slate.placing, **choose),
    ]
    return [median_us(call, requests) for call in calls]


def main() -> None:
    """Prints a line for each number of offers."""
    asked = _arguments()
    print(f"{asked.users:,} visitors, {asked.draws} draws; median microseconds of {asked.requests:,} requests")
    print("offers  reference  rules  choice  on a slate  rules + choice / reference")
    for offers in asked.offers:
        least, rule, choice, slate = measured(offers, asked.users, asked.draws, asked.requests)
        ratio = (rule + choice) / least
        print(f"{offers:6} {least:10.1f} {rule:6.1f} {choice:7.1f} {slate:11.1f} {ratio:27.1f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--offers", type=int, nargs="+", default=[5, 50, 200])
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--requests", type=int, default=5_000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
