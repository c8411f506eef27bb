"""The replay of two past moments: what would have been learnt, chosen and shown, and how good it was.

At the inner split weights and ranker are learnt and the recipe is chosen (`recommender.fusion.learn`): sources are
fitted on what came before it, and what people took afterwards are the labels. At the outer split everything is
judged: every source alone and the shelf as it would have been served. Nothing is chosen there, so its figures are
honest. Only two things may be given up there, because they lose: to weigh worth, and to order by response. The gate
compares the order of the recipe: what visitors take of their own accord, which is all that a past can be asked for,
speaks against whoever would show them something else, so the order by response is held against popularity alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from portraits.engine import connect
from portraits.errors import NothingThere
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot
from recommender.bundles.bundle import Bundle, write_bundle
from recommender.candidates import SOURCES
from recommender.fusion.assemble import Fitted, bundle_arrays, manifest_of
from recommender.fusion.encounters import Encounters, Pairs, encounters_of
from recommender.fusion.learn import (
    ALWAYS,
    Learnt,
    examples_from,
    fit_sources,
    learn,
    learn_again,
    only,
    ordering,
    ranked,
)
from recommender.fusion.pool import Pool, Pooler
from recommender.fusion.ranker import Examples, feature_names
from recommender.fusion.recipe import Recipe
from recommender.fusion.response import Responding, Response, proven
from recommender.history.dataset import Dataset
from recommender.history.kinds import FEWEST_LEARNERS
from recommender.history.reading import History
from recommender.history.sample import some_visitors
from recommender.history.split import Split, by_time, horizon_us, last_of_each, last_share, leave_out
from recommender.judging import evaluate, gate
from recommender.judging.evaluate import Judged, K, Table
from recommender.plan import Plan
from recommender.sessions import session
from recommender.tuning.tune import Budget

FEWEST_JUDGED = FEWEST_LEARNERS
MOST_LEARNERS = 5_000
Way = Callable[[Dataset, int], Split]
"""How a past is split, by a seed."""


@dataclass(frozen=True)
class Backtest:
    """What the replay found. recipe: as it was learnt at the inner split and judged at the outer; final: the same with
    blends from both, as it will be served. ours: the pipeline as the recipe orders it; active: the active recipe
    refitted on the same split, None where there is none to compare with. examples: of both moments, for the ranker of
    `final`. tuning: how the parameters were found, for the report. session: what the events of a day weigh. encounters:
    of both moments, where what being shown leads to orders the shelf; response: how that was found, for the report.
    """

    recipe: Recipe
    final: Recipe
    examples: Examples
    ours: Judged
    popular: Judged
    active: Judged | None
    table: Table
    tuning: Mapping[str, Any]
    session: Mapping[str, Any]
    encounters: Sequence[Encounters] = ()
    response: Mapping[str, Any] = field(default_factory=dict)


def backtest_app(
    snapshot: Snapshot, settings: AppSettings, portraits: Path | None, as_of: datetime, ks: tuple[int, ...] = (K,)
) -> Table:
    """The table of one app's history before `as_of`. Raises NothingThere when too few visitors can be judged."""
    history = History(snapshot, settings, as_of, connect())
    dataset = history.dataset(portraits)
    history.release()
    plan = Plan(
        settings.seed,
        settings.repeat,
        moment=history.at,
        looks=history.looks,
        every_source=True,
        budget=Budget(settings.tuning_trials, settings.tuning_minutes),
        ks=ks,
    )
    replayed = splits(dataset, plan)
    if replayed is None:
        raise NothingThere("backtest of", settings.app_id, f"{FEWEST_JUDGED} returning visitors are needed to judge by")
    return replay(*replayed, plan).table


def splits(dataset: Dataset, plan: Plan) -> tuple[Split, Split] | None:
    """The inner and the outer split, both made in the first way that tells enough visitors apart: by time, the last
    events of each visitor, a draw. None when in no way enough visitors could be judged. Of a long history both are made
    of some of its visitors (`recommender.history.sample`)."""
    dataset = some_visitors(dataset, plan.seed)
    ways = _ways(dataset, plan)
    for place, way in enumerate(ways):
        outer = way(dataset, plan.seed)
        if len(outer.users) >= FEWEST_JUDGED:
            return first_enough(ways[place:], outer.train, plan), outer.sample(plan.judged, plan.seed)
    return None


def first_enough(ways: Sequence[Way], past: Dataset, plan: Plan) -> Split:
    """The split in which the fusion learns: `past` split in the first of `ways` that gives enough visitors, else in the
    last."""
    for way in ways:
        inner = way(past, plan.seed + 1)
        if len(inner.users) >= FEWEST_JUDGED:
            break
    return inner.sample(MOST_LEARNERS, plan.seed)


def _ways(dataset: Dataset, plan: Plan) -> list[Way]:
    def by_cut(past: Dataset, _seed: int) -> Split:
        cut = past.until_us - horizon_us(past)
        return by_time(past, cut, plan.moment(past, cut))

    def by_turn(past: Dataset, seed: int) -> Split:
        return last_of_each(past, last_share(past), seed)

    if dataset.time_kind == "none":
        return [leave_out]
    return [by_turn, leave_out] if dataset.time_kind == "turns" else [by_cut, by_turn, leave_out]


def replay(inner: Split, outer: Split, plan: Plan) -> Backtest:
    """Learn and choose at `inner`, judge at `outer`."""
    plan.on_step("learn", 0.1)
    learnt = learn(inner, plan)
    plan.on_step("judge", 0.3)
    pooler = fit_sources(outer.train, plan.seed, learnt.recipe.sources, learnt.recipe.params, fit=plan.fit)
    pools = list(pooler.pools(outer.users))
    recipe = learnt.recipe
    final = replace(recipe, blends=learn_again(learnt, pools, outer, plan.seed))
    examples = _examples(learnt, pooler, pools, outer, final)
    encounters, response = _met(learnt, pooler, outer, final, plan)
    if not recipe.needs_ranker and not encounters:
        recipe, final = recipe.lean(), final.lean()
    fitted = Fitted(only(pooler, recipe.sources), recipe, learnt.ranker if recipe.needs_ranker else None)
    names = None if plan.every_source else ALWAYS
    baselines = fit_sources(outer.train, plan.seed, names, known=pooler.sources, fit=plan.fit)
    shown = {source.name: source for source in (*baselines.sources, *pooler.sources)}
    sources = evaluate.judge_sources(outer, [shown[name] for name in SOURCES if name in shown], plan.longest)
    popular = next(judged for judged in sources if judged.name == "recent_popular")
    ours = _served("served", outer, fitted, plan)
    active = _active(ours, outer, fitted, learnt, plan)
    rivals = [] if active is None or active is ours else [active]
    if recipe.worth and gate.loses(ours, [popular, *rivals], plan.seed):
        final = replace(final, worth=0.0)
        fitted = replace(fitted, recipe=replace(recipe, worth=0.0))
        ours = _served("served", outer, fitted, plan)
    rows = [*rivals, ours]
    if encounters:
        responding = replace(fitted, responding=_responding(encounters[:1], fitted.pooler, fitted.recipe, plan))
        by_response = _served("by response", outer, responding, plan)
        response["used"] = not gate.loses(by_response, [popular], plan.seed)
        if response["used"]:
            fitted = responding
            rows = [*rivals, replace(ours, name="by recipe"), replace(by_response, name="served")]
        else:
            rows = [*rivals, by_response, ours]
            encounters, final = [], final if final.needs_ranker else final.lean()
    today = session.learn(outer, fitted, plan)
    return Backtest(
        recipe=fitted.recipe,
        final=final,
        examples=examples,
        ours=ours,
        popular=popular,
        active=active,
        table=evaluate.table(outer, [*sources, *rows], plan.seed, plan.ks),
        tuning=learnt.tuning,
        session=today,
        encounters=encounters,
        response=response,
    )


def refit(dataset: Dataset, found: Backtest, plan: Plan) -> Fitted:
    """What the replay found, fitted on the whole of a dataset."""
    pooler = fit_sources(dataset, plan.seed, found.final.sources, found.final.params, fit=plan.fit)
    ranker = ranked(pooler, found.examples, plan.seed) if found.final.needs_ranker else None
    responding = _responding(found.encounters, pooler, found.final, plan) if found.encounters else None
    return Fitted(pooler, found.final, ranker, responding)


def _met(
    learnt: Learnt, pooler: Pooler, outer: Split, final: Recipe, plan: Plan
) -> tuple[list[Encounters], dict[str, Any]]:
    """Encounters of both moments, where both have some and what is learnt from them is proven, and the figures."""
    order, pairs = ordering(pooler, learnt.recipe, learnt.ranker), Pairs(pooler, final.blends)
    later = encounters_of(pairs, outer, plan.looks, order, plan.seed)
    if learnt.encounters is None or later is None:
        return [], {}
    both = [learnt.encounters, later]
    figures = proven(both, pairs.names, outer.train.shape, plan.seed)
    return (both if figures.get("used") else []), figures


def _responding(parts: Sequence[Encounters], pooler: Pooler, recipe: Recipe, plan: Plan) -> Responding:
    pairs = Pairs(pooler, recipe.blends)
    return Responding(Response(pairs.names, pooler.dataset.shape[1], plan.seed).fit(parts), pairs)


def _examples(learnt: Learnt, pooler: Pooler, pools: Sequence[Pool], outer: Split, final: Recipe) -> Examples:
    """Of both moments, with the blends that will be served; none where there will be no ranker."""
    width = len(feature_names(pooler))
    if not final.needs_ranker:
        return Examples.together([], width)
    earlier = learnt.examples.with_blends(learnt.pools, pooler.names, final.blends)
    return Examples.together([earlier, examples_from(pooler, pools, outer, final.blends)], width)


def _active(ours: Judged, outer: Split, fitted: Fitted, learnt: Learnt, plan: Plan) -> Judged | None:
    """The active recipe on the same split, its sources fitted with its own parameters; None where nothing, popularity,
    or what cannot be refitted is active."""
    if learnt.active is None:
        return None
    recipe, ranker = learnt.active
    if recipe == fitted.recipe:
        return ours
    pooler = fit_sources(outer.train, plan.seed, recipe.sources, recipe.params, fitted.pooler.sources, fit=plan.fit)
    return _served("active", outer, Fitted(pooler, recipe, ranker), plan)


def _served(name: str, split: Split, fitted: Fitted, plan: Plan) -> Judged:
    """The lists that visitors of the split would have been answered, through a bundle of its past."""
    with TemporaryDirectory(prefix="huaxiang-judged-") as folder:
        place = Path(folder) / "bundle"
        arrays = bundle_arrays(fitted, split.users)
        write_bundle(place, arrays, manifest_of(arrays, split.train, fitted.recipe, plan))
        return evaluate.judge_served(name, split, Bundle.open(place, verify=False), plan.longest)
