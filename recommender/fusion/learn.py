"""What the night learns at the inner split: parameters, weights, the ranker, and which sources are needed at all.

Most sources never help beside the others. Those without a weight in any blend are dropped, unless a ranker without
them would be worse beyond noise; what is dropped is not fitted again this night.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from recommender.candidates import SOURCES, Params, Source, make
from recommender.candidates.protocol import Fit, fit_here
from recommender.fusion.blend import Blend, learn_blend
from recommender.fusion.choose import Scored, alone, choose, truth_of
from recommender.fusion.encounters import Encounters, Order, Pairs, encounters_of
from recommender.fusion.pool import Pool, Pooler
from recommender.fusion.ranker import TREES, Examples, Ranker, examples_of, feature_names, features_of
from recommender.fusion.recipe import ALL, NEW, REPEATS, Blends, Recipe, likelihood, lists, scores
from recommender.history.dataset import Dataset, Float32
from recommender.history.split import Split
from recommender.judging.evaluate import K, joined
from recommender.judging.metrics import Values, paired_bootstrap, per_user
from recommender.plan import Plan
from recommender.tuning.tune import tune

ALWAYS = ("popular", "recent_popular", "again")
"""Sources that are never dropped: they cost nothing, and what counts little in one month may count in the next."""
NEW_PER_SOURCE = 50
MOST_REPEATS = 100
TREES_TRIED = 40
"""Trees of the rankers that are only compared."""
METRIC = "ndcg"


@dataclass(frozen=True)
class Learnt:
    """recipe: what is to be served. ranker: None where there was too little to learn from. pools, split: what was
    learnt from; examples: the same for the ranker. tuning: for the report. active: the active recipe and its ranker,
    learnt at the same moment; None where there is none. encounters: what followed the moment where it is known what was
    shown, else None.
    """

    recipe: Recipe
    ranker: Ranker | None
    pools: Sequence[Pool]
    split: Split
    examples: Examples
    tuning: Mapping[str, Any] = field(default_factory=dict)
    active: tuple[Recipe, Ranker | None] | None = None
    encounters: Encounters | None = None


def fit_sources(
    dataset: Dataset,
    seed: int,
    names: Iterable[str] | None = None,
    params: Params | None = None,
    known: Sequence[Source] = (),
    *,
    fit: Fit = fit_here,
) -> Pooler:
    """The sources of these names (default: all that suit the dataset), fitted, ready to make pools.

    params: where they differ from the defaults. known: sources that are already fitted on this dataset. fit: where.
    """
    wanted = make(SOURCES if names is None else names, params or {})
    if names is None:
        wanted = [source for source in wanted if source.suits(dataset)]
    # Sources are equal when their parameters are.
    fitted = [next((one for one in known if one == source), None) or fit(source, dataset, seed) for source in wanted]
    return Pooler(dataset, fitted, NEW_PER_SOURCE, MOST_REPEATS)


def learn(inner: Split, plan: Plan) -> Learnt:
    """Tune, fit every source, weigh them, drop those that help nobody, choose the recipe, and learn the ranker."""
    tuned = tune(inner, plan.seed, plan.budget, plan.memory, fit=plan.fit)
    every = fit_sources(inner.train, plan.seed, params=tuned.params, fit=plan.fit)
    lesson = Lesson.of(every, inner, plan.seed)
    blends = blends_of(lesson.pools, lesson.split, every.names, plan.seed)
    pooler, lesson = needed(every, lesson, blends, plan.seed)
    params = {name: dict(tuned.params[name]) for name in pooler.names if name in tuned.params}
    recipe = chosen(pooler, lesson, Recipe(pooler.names, params=params), plan)
    recipe = replace(recipe, blends={**recipe.blends, **blends})
    examples = examples_from(pooler, lesson.pools, lesson.split, recipe.blends)
    ranker = ranked(pooler, examples, plan.seed)
    return Learnt(
        recipe=recipe,
        ranker=ranker,
        pools=lesson.pools,
        split=lesson.split,
        examples=examples,
        tuning=tuned.record,
        active=_active(inner, every, plan),
        encounters=encounters_of(
            Pairs(pooler, recipe.blends), inner, plan.looks, ordering(pooler, recipe, ranker), plan.seed
        ),
    )


def chosen(pooler: Pooler, lesson: Lesson, recipe: Recipe, plan: Plan) -> Recipe:
    """The best recipe with these sources: what one half of the visitors teaches is judged on the other half. What came
    after the inner split has no say in it, so that it can judge the outcome."""
    (first, second), (learnt, judged) = lesson.halves, lesson.drawn
    blends = blends_of(learnt, first, pooler.names, plan.seed)
    ranker = ranked(pooler, examples_from(pooler, learnt, first, blends), plan.seed)
    scored = judged_by(pooler, judged, ranker, blends)
    return choose(second, scored, replace(recipe, blends=blends), alone(learnt, pooler.names, first), plan)


def blends_of(pools: Sequence[Pool], split: Split, names: Sequence[str], seed: int) -> dict[str, Blend]:
    """The blends that can be learnt from pools of `split.users`, by part."""
    found = {part: learn_blend(pools, truth_of(split, part), names, how, seed) for part, how in REPEATS.items()}
    return {part: blend for part, blend in found.items() if blend}


def learn_again(learnt: Learnt, pools: Sequence[Pool], split: Split, seed: int) -> Blends:
    """The blends from both moments: what will be served may rest on all that is known. pools: of `split.users`, by the
    sources of `learnt.recipe`; a part that cannot be learnt any more keeps what it had."""
    both = _joined(learnt.split, split)
    return {**learnt.recipe.blends, **blends_of([*learnt.pools, *pools], both, learnt.recipe.sources, seed)}


def only(pooler: Pooler, names: Sequence[str]) -> Pooler:
    """A pooler of some of the sources; itself where these are all."""
    kept = [source for source in pooler.sources if source.name in names]
    return pooler if len(kept) == len(pooler.sources) else Pooler(pooler.dataset, kept, pooler.depth, pooler.repeats)


def examples_from(pooler: Pooler, pools: Sequence[Pool], split: Split, blends: Blends) -> Examples:
    """Every candidate of the pools of `split.users`, with its features, and whether it was taken."""
    parts, row = [], 0
    for pool in pools:
        truth = split.truth[row : row + len(pool.users)]
        parts.append(examples_of(pool, features_of(pooler, pool, blends), truth))
        row += len(pool.users)
    return Examples.together(parts, len(feature_names(pooler)))


def ranked(pooler: Pooler, examples: Examples, seed: int, trees: int = TREES) -> Ranker | None:
    """A ranker that learnt from the examples; None when there is too little to learn from."""
    return Ranker(feature_names(pooler), seed, trees).fit(examples) if examples.enough else None


def judged_by(pooler: Pooler, pools: Iterable[Pool], ranker: Ranker | None, blends: Blends) -> list[Scored]:
    """Pools with what the ranker says about them."""
    return [
        (pool, None if ranker is None else likelihood(pool, features_of(pooler, pool, blends), ranker))
        for pool in pools
    ]


def ordering(pooler: Pooler, recipe: Recipe, ranker: Ranker | None) -> Order:
    """By what a recipe orders pools, whatever items are worth."""

    def order(pool: Pool) -> Float32:
        (_, likely) = judged_by(pooler, [pool], ranker if recipe.needs_ranker else None, recipe.blends)[0]
        return scores(pool, recipe, likely)

    return order


class Lesson(NamedTuple):
    """Pools of two halves of the users: one to learn from, the other to judge on."""

    halves: tuple[Split, Split]
    drawn: tuple[list[Pool], list[Pool]]

    @classmethod
    def of(cls, pooler: Pooler, split: Split, seed: int) -> Lesson:
        """Halves drawn by `seed`."""
        order = np.random.default_rng(seed).permutation(len(split.users))
        first, second = (_some(split, np.sort(rows)) for rows in np.array_split(order, 2))
        return cls((first, second), (list(pooler.pools(first.users)), list(pooler.pools(second.users))))

    def with_pools(self, pooler: Pooler) -> Lesson:
        """The same halves with pools of another pooler."""
        first, second = self.halves
        return Lesson(self.halves, (list(pooler.pools(first.users)), list(pooler.pools(second.users))))

    @property
    def pools(self) -> list[Pool]:
        """Of all users, in the order of `split`."""
        return self.drawn[0] + self.drawn[1]

    @property
    def split(self) -> Split:
        """Both halves, one after the other."""
        return _joined(*self.halves)

    def worth(self, pooler: Pooler, blends: Blends, seed: int) -> dict[str, Values] | None:
        """What a ranker that learnt from the first half is worth on the second, by part; None: it cannot learn."""
        first, second = self.halves
        ranker = ranked(pooler, examples_from(pooler, self.drawn[0], first, blends), seed, TREES_TRIED)
        if ranker is None:
            return None
        judged = judged_by(pooler, self.drawn[1], ranker, blends)
        recipe, found = Recipe(pooler.names, blends=blends), {}
        for part in (ALL, NEW):
            listed = [lists(pool, scores(pool, recipe, likely), K, pool.part(REPEATS[part])) for pool, likely in judged]
            found[part] = per_user(joined(listed, K), truth_of(second, part), K)[METRIC]
        return found


def needed(every: Pooler, lesson: Lesson, blends: Blends, seed: int) -> tuple[Pooler, Lesson]:
    """A pooler of the sources that have a weight in a blend, and its pools; of all where a ranker loses without the
    others."""
    wanted = {*ALWAYS}.union(*(blend.weights for blend in blends.values()))
    weighted = tuple(name for name in every.names if name in wanted)
    if not blends or len(weighted) == len(every.names):
        return every, lesson
    pooler = only(every, weighted)
    smaller = lesson.with_pools(pooler)
    before, after = lesson.worth(every, blends, seed), smaller.worth(pooler, blends, seed)
    if before and after and any(paired_bootstrap(after[part], before[part], seed).high < 0 for part in before):
        return every, lesson
    return pooler, smaller


def _joined(first: Split, second: Split) -> Split:
    """The users of two splits one after the other, as if they were of the first."""
    return replace(
        first,
        users=np.concatenate([first.users, second.users]),
        truth=sp.vstack([first.truth, second.truth], format="csr"),
        new_truth=sp.vstack([first.new_truth, second.new_truth], format="csr"),
    )


def _some(split: Split, rows: npt.NDArray[np.intp]) -> Split:
    """The split of some of its users."""
    return replace(split, users=split.users[rows], truth=split.truth[rows], new_truth=split.new_truth[rows])


def _active(inner: Split, every: Pooler, plan: Plan) -> tuple[Recipe, Ranker | None] | None:
    """The active recipe and its ranker, from the same past; None where there is none or it cannot be fitted."""
    kept = (plan.active or {}).get("recipe")
    if kept is None or any(name not in SOURCES for name in kept["sources"]):
        return None
    recipe = Recipe.from_json(kept)
    pooler = fit_sources(inner.train, plan.seed, recipe.sources, recipe.params, every.sources, fit=plan.fit)
    recipe = replace(recipe, sources=pooler.names)
    if not recipe.needs_ranker:
        return recipe, None
    pools = list(pooler.pools(inner.users))
    ranker = ranked(pooler, examples_from(pooler, pools, inner, recipe.blends), plan.seed)
    return None if ranker is None else (recipe, ranker)
