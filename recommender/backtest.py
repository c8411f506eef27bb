"""The replay of two past moments: what would have been learnt, chosen and shown, and how good it was.

At the inner split the ranker learns: sources are fitted on what came before it, and what people took afterwards are
the labels. At the outer split everything is judged: every source alone, the fusion, and the shelf as it would have
been served. What wins there becomes the recipe.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from portraits.engine import connect
from portraits.errors import NothingThere, UnreadableFile
from portraits.lake import Snapshot
from portraits.settings import AppSettings
from recommender import evaluate
from recommender.assemble import Fitted, bundle_arrays, manifest_of
from recommender.bundle import Bundle, write_bundle
from recommender.candidates import SOURCES, make
from recommender.choose import choose
from recommender.dataset import Dataset
from recommender.evaluate import Judged, Table
from recommender.plan import MOST_JUDGED, Plan
from recommender.pool import Pooler
from recommender.ranker import Examples, Ranker, examples_of
from recommender.reading import History
from recommender.recipe import Recipe
from recommender.split import Split, by_time, given, horizon_us, leave_out

FEWEST_JUDGED = 30
MOST_LEARNERS = 5_000
NEW_PER_SOURCE = 50
MOST_REPEATS = 100


@dataclass(frozen=True)
class Backtest:
    """What the replay found. ours: the served pipeline; active: the active recipe refitted on the same split, None
    where there is none to compare with. ranker: None where there was too little to learn from. examples: of both
    moments.
    """

    recipe: Recipe
    ranker: Ranker | None
    examples: Examples
    ours: Judged
    popular: Judged
    active: Judged | None
    table: Table


def backtest_app(snapshot: Snapshot, settings: AppSettings, portraits: Path | None, as_of: datetime) -> Table:
    """The table of one app's history before `as_of`. Raises NothingThere when too few visitors can be judged."""
    history = History(snapshot, settings, as_of, connect())
    dataset = history.dataset(portraits)
    plan = Plan(settings.seed, settings.repeat, moment=lambda moment_us: history.at(dataset, moment_us))
    replayed = splits(dataset, plan)
    if replayed is None:
        raise NothingThere("history to judge by", settings.app_id, f"{FEWEST_JUDGED} returning visitors are needed")
    return replay(*replayed, plan).table


def backtest_files(train: Path, test: Path, seed: int = 0, judged: int = MOST_JUDGED) -> Table:
    """The table of a split that somebody else made: CSV files with a header and columns user, item and perhaps ts
    (a number). Items and users of both files form the vocabularies.

    Raises UnreadableFile when a column is missing or a ts is not a number, NothingThere when nobody is in both files.
    """
    past, future = _read(train), _read(test)
    extra = {"extra_users": future["user"], "extra_items": future["item"]}
    learnt = Dataset.from_arrays(past["user"], past["item"], past.get("ts"), **extra)
    extra = {"extra_users": past["user"], "extra_items": past["item"]}
    outer = given(learnt, Dataset.from_arrays(future["user"], future["item"], **extra)).sample(judged, seed)
    if not len(outer.users):
        raise NothingThere("user", "in both files", "the test file must hold users of the training file")
    plan = Plan(seed, judged=judged)
    return replay(_inner(outer.train, plan), outer, plan).table


def splits(dataset: Dataset, plan: Plan) -> tuple[Split, Split] | None:
    """The inner and the outer split: by time, or by a draw where time tells too little apart; None when even then
    too few visitors could be judged."""
    if dataset.time_kind != "none" and len(dataset.user):
        cut = dataset.until_us - horizon_us(dataset)
        outer = by_time(dataset, cut, plan.moment(cut))
        if len(outer.users) >= FEWEST_JUDGED:
            return _inner(outer.train, plan), outer.sample(plan.judged, plan.seed)
    outer = leave_out(dataset, plan.seed)
    if len(outer.users) < FEWEST_JUDGED:
        return None
    return _inner(outer.train, plan, drawn=True), outer.sample(plan.judged, plan.seed)


def _inner(train: Dataset, plan: Plan, drawn: bool = False) -> Split:
    if drawn or train.time_kind == "none" or not len(train.user):
        return leave_out(train, plan.seed + 1).sample(MOST_LEARNERS, plan.seed)
    cut = train.until_us - horizon_us(train)
    return by_time(train, cut, plan.moment(cut)).sample(MOST_LEARNERS, plan.seed)


def fit_sources(dataset: Dataset, seed: int) -> Pooler:
    """Every source of the registry, fitted, ready to make pools."""
    sources = [source.fit(dataset, seed) for source in make(SOURCES)]
    return Pooler(dataset, sources, NEW_PER_SOURCE, MOST_REPEATS)


def replay(inner: Split, outer: Split, plan: Plan) -> Backtest:
    """Learn at `inner`, choose and judge at `outer`."""
    plan.on_step("learn", 0.1)
    ranker, learnt = _learn(inner, plan)
    plan.on_step("judge", 0.3)
    pooler = fit_sources(outer.train, plan.seed)
    pools = list(pooler.pools(outer.users))
    names = tuple(SOURCES)
    recipe = choose(outer, pools, names, ranker, plan.repeat)
    fitted = Fitted(pooler, recipe, ranker)
    sources = evaluate.judge_sources(outer, pooler.sources)
    ours = _served("served", outer, fitted, plan)
    active = _active(ours, outer, fitted, plan)
    rivals = [] if active is None or active is ours else [active]
    return Backtest(
        recipe=recipe,
        ranker=ranker,
        examples=learnt + examples_of(pools, outer.truth, len(pooler.feature_names)),
        ours=ours,
        popular=next(judged for judged in sources if judged.name == "recent_popular"),
        active=active,
        table=evaluate.table(outer, [*sources, *rivals, ours], plan.seed),
    )


def _learn(inner: Split, plan: Plan) -> tuple[Ranker | None, Examples]:
    """The ranker, learnt at the inner split; None when there is too little to learn from."""
    pooler = fit_sources(inner.train, plan.seed)
    examples = examples_of(pooler.pools(inner.users), inner.truth, len(pooler.feature_names))
    return (Ranker(pooler.feature_names, plan.seed).fit(examples) if examples.enough else None), examples


def _active(ours: Judged, outer: Split, fitted: Fitted, plan: Plan) -> Judged | None:
    """The active recipe on the same split; None where nothing, popularity, or what cannot be refitted is active."""
    kept = (plan.active or {}).get("recipe")
    if kept is None:
        return None
    active = Recipe.from_json(kept)
    if active == fitted.recipe:
        return ours
    if active.sources != fitted.recipe.sources or (fitted.ranker is None and active.needs_ranker):
        return None
    return _served("active", outer, replace(fitted, recipe=active), plan)


def _served(name: str, split: Split, fitted: Fitted, plan: Plan) -> Judged:
    """The lists that visitors of the split would have been answered, through a bundle of its past."""
    with TemporaryDirectory(prefix="huaxiang-judged-") as folder:
        place = Path(folder) / "bundle"
        arrays = bundle_arrays(fitted, split.users)
        write_bundle(place, arrays, manifest_of(arrays, split.train, fitted.recipe, plan))
        return evaluate.judge_served(name, split, Bundle.open(place, verify=False))


def _read(path: Path) -> Mapping[str, Any]:
    """Columns user and item as text, ts as int64 where given."""
    with path.open(newline="", encoding="utf-8-sig") as lines:
        rows = csv.DictReader(lines)
        names = rows.fieldnames or []
        missing = [name for name in ("user", "item") if name not in names]
        if missing:
            raise UnreadableFile(
                str(path), f"no column {' and '.join(missing)}; the first line must name user,item[,ts]"
            )
        table = list(rows)
    columns: dict[str, Any] = {name: [row[name] for row in table] for name in ("user", "item")}
    if "ts" in names:
        try:
            columns["ts"] = np.array([float(row["ts"]) for row in table]).astype(np.int64)
        except (TypeError, ValueError) as wrong:
            raise UnreadableFile(str(path), f"ts is not a number ({wrong})") from None
    return columns
