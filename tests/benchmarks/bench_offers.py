"""What plans of coupons earn in the sample shop, whose true effects are known, beside the plan of an oracle.

    python tests/benchmarks/bench_offers.py [--events 60000] [--seeds 20] [--first 0] [--policies huaxiang random ...]

Each seed is another shop: 180 days with a random half of the visitors getting one coupon after another (the history
that a merchant would import), portraits and trials as of its end, then one plan of who gets which of the coupons that
still hold, tomorrow, under one budget. The judge is the planted law (`World.offer_profit`, `World.coming`): expected
profit = chance to come x (margin of purchases the coupon makes - what it takes off, from those who would have bought
anyway too). Every policy learns from the same trials and portraits. Budgets are shares of what the oracle spends when
nothing binds it: tight a tenth, half a half, ample twice. Whose plan would really spend more than the budget earns the
share of its plan that the money lasts for, as visitors come in no order.

Two references are learnt from the truth: "best of portraits" is the most that these portraits can tell, "true averages"
what can be had without telling visitors apart. All else knows the trials alone.

An effect is looked for within the day of the trial (offer_days=1), as the truth is that of one showing.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from living_shop import APP, END, App, past_of, world_of
from offer_policies import POLICIES, Array, Case
from scipy import stats

from portraits.build import build
from portraits.build import past_of as lake_past
from portraits.engine import connect
from portraits.sample.plan import plan
from portraits.settings import AppSettings
from recommender.bundles.vocabulary import Vocabulary
from recommender.offers.audience import PERIOD_DAYS, Audience, claims_of
from recommender.offers.estimate import Known
from recommender.offers.features import features_now
from recommender.offers.trials import trials

BUDGETS = {"tight": 0.1, "half": 0.5, "ample": 2.0}


def case_of(folder: Path, seed: int, events: int) -> Case:
    """A shop with its trials, portraits and truth."""
    past = past_of(folder / "past", seed, events)
    settings = AppSettings(APP, tuning_trials=0, control_share=0.0, offer_days=1.0, seed=seed)
    app = App.imported(folder / "app", past, settings)
    snapshot, con = app.doors()[1].snapshot(APP), connect()
    build(snapshot, settings, END, folder / "portraits", con)
    ids, X, names = features_now(folder / "portraits", snapshot, con)
    world = world_of(seed, events)
    people = plan(seed, events).users
    in_shop = np.array([one[0] == "u" and int(one[1:]) < people for one in ids])  # and not a program
    users = Vocabulary.build([one for one, here in zip(ids, in_shop, strict=True) if here])
    ids, X = [one for one, here in zip(ids, in_shop, strict=True) if here], X[in_shop]
    behind = lake_past(snapshot, settings, END, con)
    audience = Audience.read(users, folder / "portraits", behind)
    catalogue = pq.read_table(past / "offers.parquet").to_pylist()
    held = [one for one in catalogue if one["ends"] > END]
    offers = [one["offer_id"] for one in held]
    gain, cost = world.offer_profit(ids, offers)
    return Case(
        seed=seed,
        settings=settings,
        known=Known(ids, X, names),
        trials=trials(snapshot, settings, END, con).to_learn,
        offers=offers,
        catalogue=catalogue,
        eligible=audience.eligible(held, claims_of(behind, held))[:-1],
        weight=1 - (1 - audience.weight[:-1].astype(np.float64)) ** (1 / PERIOD_DAYS),
        gain=gain,
        cost=cost,
        come=world.coming(ids),
    )


def judged(case: Case, chosen: Array, budget: float) -> tuple[float, float]:
    """Expected profit and spending of a plan, cut where the money is gone."""
    rows = np.flatnonzero(chosen >= 0)
    gain, cost = (np.sum(case.come[rows] * told[rows, chosen[rows]]) for told in (case.gain, case.cost))
    lasts = min(1.0, budget / cost) if cost > 0 else 1.0
    return float(lasts * (gain - cost)), float(lasts * cost)


def shares_of(case: Case, policies: Sequence[str]) -> dict[tuple[str, str], tuple[float, float]]:
    """(policy, budget) -> profit and spending a day, in yuan."""
    free, found = judged(case, POLICIES["oracle"](case)(np.inf), np.inf)[1], {}
    for name in policies:
        plan = POLICIES[name](case)
        for budget, share in BUDGETS.items():
            earned, spent = judged(case, plan(share * free), share * free)
            found[name, budget] = (earned / 100, spent / 100)
    return found


def interval(values: Sequence[float]) -> str:
    """Mean and 95% interval over seeds (Student's t)."""
    told = np.array(values)
    if len(told) < 2:
        return f"{told.mean():.3f}"
    half = stats.t.ppf(0.975, len(told) - 1) * told.std(ddof=1) / np.sqrt(len(told))
    return f"{told.mean():.3f} [{told.mean() - half:.3f},{told.mean() + half:.3f}]"


def show(found: dict[tuple[str, str], list[tuple[float, float]]], policies: Sequence[str]) -> None:
    print("\nShare of the oracle's profit at the same budget, mean over seeds [95% interval]:")
    print(f"{'':20}" + "".join(f"{budget:>26}" for budget in BUDGETS))
    for name in policies:
        line = f"{name:20}"
        for budget in BUDGETS:
            pairs = zip(found[name, budget], found["oracle", budget], strict=True)
            line += f"{interval([mine[0] / best[0] for mine, best in pairs]):>26}"
        print(line)
    print("\nExpected profit (and spending) of a day, yuan, mean over seeds:")
    for name in policies:
        line = f"{name:20}"
        for budget in BUDGETS:
            earned, spent = np.mean(found[name, budget], axis=0)
            line += f"{f'{earned:,.1f} ({spent:,.1f})':>26}"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), choices=list(POLICIES))
    given = parser.parse_args()
    policies = list(dict.fromkeys(["oracle", *given.policies]))
    found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    tried = 0
    for seed in range(given.first, given.first + given.seeds):
        began = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            case = case_of(Path(folder), seed, given.events)
        made = time.process_time() - began
        tried += len(case.trials)
        for key, told in shares_of(case, policies).items():
            found[key].append(told)
        took = time.process_time() - began
        shares = ", ".join(
            f"{name} {found[name, 'half'][-1][0] / found['oracle', 'half'][-1][0]:.2f}" for name in policies[1:]
        )
        print(
            f"  seed {seed}: {len(case.trials):,} trials, half: {shares} ({made:.0f}+{took - made:.0f} CPU s)",
            file=sys.stderr,
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{given.seeds} shops of {given.events:,} events, {len(case.known.ids):,} visitors, {tried / given.seeds:,.0f}"
    )
    print(f"trials each, {len(case.offers)} offers that hold; {time.process_time():.0f} CPU s, peak {peak:,.0f} MB")
    show(found, policies)


if __name__ == "__main__":
    main()
