"""What a visitor's events of the day are worth: NDCG@10 of what is taken next, given the day so far.

    python tests/benchmarks/bench_session.py [--sets online_retail sample] [--data DIR] [--events 300000]

The night is as it runs, on the past of a time split; the days after the cut are replayed
(`recommender.sessions.days`). Half of the cases are learnt from, the other half is judged: the night's word alone,
the defaults, what was learnt, and what was learnt without the factors; known visitors and strangers apart,
differences from the defaults paired by case with their standard error.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from real_sets import SETS, arguments

from portraits.sample import history
from recommender.backtest import first_enough, splits
from recommender.bundles.today import SIGNALS
from recommender.fusion.assemble import Fitted, bundle_arrays, manifest_of
from recommender.fusion.learn import fit_sources, learn, only
from recommender.history.dataset import Dataset
from recommender.history.split import Split, by_time, horizon_us
from recommender.plan import Plan
from recommender.sessions import days
from recommender.sessions.days import Cases
from recommender.sessions.session import Replay, search


def sample(events: int) -> Dataset:
    """The interactions of a sample shop of so many events."""
    with tempfile.TemporaryDirectory() as folder:
        history(0, events, Path(folder))
        columns = ["event_id", "user_id", "ts", "type", "item_id"]
        parts = [pd.read_parquet(path, columns=columns) for path in sorted(Path(folder, "events").glob("*.parquet"))]
    rows = pd.concat(parts).drop_duplicates("event_id").dropna(subset="item_id")
    ts = rows.ts.dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[us]").astype("int64").to_numpy()
    return Dataset.from_arrays(rows.user_id.to_numpy(str), rows.item_id.to_numpy(str), ts, rows.type.tolist())


def fitted_on(inner: Split, outer: Split, plan: Plan) -> Fitted:
    """The fusion as the night's backtest makes it on the past of `outer`."""
    learnt = learn(inner, plan)
    pooler = fit_sources(outer.train, plan.seed, learnt.recipe.sources, learnt.recipe.params)
    recipe = learnt.recipe if learnt.recipe.needs_ranker else learnt.recipe.lean()
    return Fitted(only(pooler, recipe.sources), recipe, learnt.ranker if recipe.needs_ranker else None)


def halves(split: Split, seed: int) -> tuple[Cases, Cases]:
    """Cases of two halves of the visitors."""
    after, found = split.after, []
    if after is None:
        raise SystemExit("a split in time is needed")
    side = np.random.default_rng(seed).random(len(after.users)) < 0.5
    for half in (side, ~side):
        part = after.subset(half[after.user], after.until_us)
        found.append(days.cases_of(Split(split.train, split.users, split.truth, split.new_truth, part), seed))
    return found[0], found[1]


def bench(name: str, inner: Split, outer: Split, plan: Plan) -> None:
    fitted = fitted_on(inner, outer, plan)
    mine, theirs = halves(outer, plan.seed)
    ids = np.concatenate([mine.known_ids, theirs.known_ids])
    users = np.unique(np.searchsorted(outer.train.users, ids)).astype(np.int32)
    arrays = bundle_arrays(fitted, users)
    manifest = manifest_of(arrays, outer.train, fitted.recipe, plan)
    began = time.perf_counter()
    replay = Replay(mine, fitted.pooler.sources, arrays, manifest)
    found = search(replay)
    print(f"\n{name}: learnt from {len(mine.asked)} cases in {time.perf_counter() - began:.0f} s: {found}")
    judge = Replay(theirs, fitted.pooler.sources, arrays, manifest)
    ways = {
        "night alone": {"signals": dict.fromkeys(SIGNALS, 0.0)},
        "defaults": {},
        "learnt, without factors": {name: value for name, value in found.items() if name != "fold"},
        "learnt": found,
    }
    base = judge.values({})
    for way, setting in ways.items():
        values, line = judge.values(setting), f"  {way:26}"
        for group, who in (("known", theirs.known), ("strangers", ~theirs.known)):
            if who.any():
                gain = (values - base)[who]
                error = gain.std() / np.sqrt(len(gain))
                line += f"{group} ({who.sum()}) {values[who].mean():.4f} ({gain.mean():+.4f} +- {error:.4f})   "
        print(line)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--sets", nargs="+", default=["online_retail", "sample"])
    parser.add_argument("--events", type=int, default=300_000)
    given = parser.parse_args()
    plan = Plan()
    for name in given.sets:
        if name == "sample":
            found = splits(sample(given.events), plan)
            if found is None:
                raise SystemExit("too few events to judge by")
            bench(name, *found, plan)
        else:
            outer = SETS[name](given.data).split.sample(plan.judged, plan.seed)
            inner = first_enough([lambda past, _: by_time(past, past.until_us - horizon_us(past))], outer.train, plan)
            bench(name, inner, outer, plan)


if __name__ == "__main__":
    main()
