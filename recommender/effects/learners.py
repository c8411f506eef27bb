"""Learners of effects: what each offer adds to the outcome of a visitor, beside no offer, told from logged actions.

- s: one expectation of the outcome given features and action; the effect is what the action changes (Kuenzel et al.
  2019, "Metalearners for estimating heterogeneous treatment effects using machine learning").
- t: one expectation for each action; the effect is their difference (the same).
- x: the effect on each row is imputed by the other side's expectation and then learnt; the two sides are weighed by
  how many rows they have (the same).
- dr: doubly robust scores are learnt (Kennedy 2020, "Towards optimal doubly robust estimation of heterogeneous causal
  effects"): the only one that reads propensities, and right where they are.

- odds: shifts of the log odds (`odds`), with what rules of thumb say of them as a beginning; of money, times what is
  brought when anything is (two-part: Duan, Manning, Morris & Newhouse 1983).
- line: the same shape on the outcome itself (`lines`).
- mean: half the mean of the first four, a quarter `odds`, a quarter `line`. They err differently: on planted effects
  (`bench_effects`, `bench_customer_files`) it gains about as much as the best of them, whichever that is.

All several offers at once, for outcomes of 0 and 1 and for money, over `recommender.effects.means`. An offer of fewer
than `rows.FEW` rows gets the average effect that it has, drawn to that of the others (`pooling`). One seed, one thread:
equal arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from recommender.effects.access import levelled
from recommender.effects.lines import fit_lines
from recommender.effects.means import Mean, Table, all_told, fit_mean
from recommender.effects.money import tamed
from recommender.effects.odds import Rule, fit_odds
from recommender.effects.pooling import Pooled, pooled
from recommender.effects.propensities import with_propensities
from recommender.effects.rows import FEW, NONE, Floats, Rows, capped, rows_of
from recommender.effects.scores import Crossfitted, averages, scores, spread_of

MOST_ROWS = 120_000
"""Rows that are learnt from, of each action as many as of the others where there are so many; more make the night
longer and effects hardly better (`tests/benchmarks/bench_effects.py`)."""


LIKELY = 0.1
"""How large an average effect may well be, in standard deviations of the outcome: half of what Cohen (1988) calls a
small effect. Coupons move few; twice this drew averages from few rows too little to the truth on planted effects."""


BESIDE = 3
"""Rows of another action for each row of the offer, at most, that its effect is learnt from."""


class Fitted(Protocol):
    """Effects that were learnt."""

    def effects(self, X: NDArray[Any]) -> Floats:
        """float64 [n, O]: the expected outcome with each offer minus that with none."""


@dataclass
class Lesson:
    """Rows to learn from, with what several learners need of them. told: what was done to propensities and outcomes;
    rule: shifts of the log odds by rules; expected: `outcomes`, where they are known already; found: what learners made
    of the rows so far."""

    rows: Rows
    seed: int
    told: dict[str, Any] = field(default_factory=dict)
    rule: Rule | None = None
    expected: Crossfitted | None = None
    found: dict[str, Effects] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Rows, seed: int, rule: Rule | None = None) -> Lesson:
        """With unknown propensities estimated, money tamed, no more than MOST_ROWS rows, and less what those buy anyway
        who could have had an offer (`access`)."""
        known, of_chances = with_propensities(capped(rows, MOST_ROWS, seed), seed)
        calm, of_money = tamed(known)
        return cls(levelled(calm, seed), seed, {"propensities": of_chances, "money": of_money}, rule)

    @property
    def scale(self) -> float:
        """How large an average effect may well be."""
        return LIKELY * spread_of(self.rows)

    @cached_property
    def outcomes(self) -> Crossfitted:
        """Cross-fitted expectations of the outcome."""
        return self.expected or Crossfitted.fit(self.rows, self.seed)

    @cached_property
    def scores(self) -> Floats:
        """Doubly robust scores [n, O]."""
        return scores(self.rows, self.outcomes.mu)

    @cached_property
    def average(self) -> Pooled:
        """The average effect of each offer."""
        return pooled(*averages(self.scores, self.rows), self.scale)

    def but(self, held: NDArray[np.bool_], fold: int) -> Lesson:
        """Without a fold of `outcomes`. What is expected of an outcome is not learnt again: of the fold it is told by
        the model that did not see it, of the other rows by those that did not see them, but did see the fold: good
        enough for `odds`, which takes no more of it than where visitors start; trees find what was seen twice."""
        expected = Crossfitted((self.outcomes.models[fold],), self.outcomes.mu[~held])
        return Lesson(self.rows.take(~held), self.seed + fold, rule=self.rule, expected=expected)

    def thin(self) -> NDArray[np.bool_]:
        """[O]: offers too few to learn more of than their average."""
        return ~self.rows.compared(FEW)


@dataclass(frozen=True)
class Effects:
    """What a learner of this module found. Offers of few rows: their average."""

    found: Callable[[Table], Floats]
    thin: NDArray[np.bool_]
    average: Floats

    def effects(self, X: NDArray[Any]) -> Floats:
        """See `Fitted`."""
        table = np.ascontiguousarray(X, np.float32)
        with threadpool_limits(1):
            return np.where(self.thin, self.average, self.found(table))


@dataclass(frozen=True)
class Learnt:
    """A learner by `learn`, which makes of a lesson what tells effects [n, O]."""

    name: str
    learn: Callable[[Lesson], Callable[[Table], Floats]]

    def fit(
        self,
        X: NDArray[Any],
        action: NDArray[Any],
        propensity: NDArray[Any],
        outcome: NDArray[Any],
        seed: int,
        *,
        offers: int | None = None,
        unit: NDArray[Any] | None = None,
        could: NDArray[Any] | None = None,
    ) -> Effects:
        """From n rows: features [n, F] (nan: unknown), the action taken [n] (-1: none), its probability (nan: to be
        estimated), what came of it. `offers`: how many there are, by default as many as were seen. `unit`: whose
        row it is. could: see `Rows`. Raises InvalidValue naming what is wrong."""
        rows = rows_of(X, action, propensity, outcome, offers=offers, unit=unit, could=could)
        with threadpool_limits(1):
            return self.fit_lesson(Lesson.of(rows, seed))

    def fit_lesson(self, lesson: Lesson) -> Effects:
        """The same, sharing what other learners of the lesson made."""
        if self.name not in lesson.found:
            thin = lesson.thin()
            told = _nothing(lesson) if thin.all() else self.learn(lesson)
            lesson.found[self.name] = Effects(told, thin, lesson.average.mean)
        return lesson.found[self.name]


def _nothing(lesson: Lesson) -> Callable[[Table], Floats]:
    return lambda X: np.zeros((len(X), lesson.rows.offers))


def _single(lesson: Lesson) -> Callable[[Table], Floats]:
    rows = lesson.rows

    def beside(X: Table, action: NDArray[Any]) -> Table:
        """Features with columns that tell: an offer at all, which."""
        which = action[:, None] == np.arange(rows.offers)
        return np.hstack([X, (action >= 0)[:, None], which]).astype(np.float32)

    whole = fit_mean(beside(rows.X, rows.action), rows.settled, rows.weight, lesson.seed)

    def effects(X: Table) -> Floats:
        said = [whole(beside(X, np.full(len(X), action))) for action in (*range(rows.offers), NONE)]
        return np.stack(said[:-1], axis=1) - said[-1][:, None]

    return effects


def _two(lesson: Lesson) -> Callable[[Table], Floats]:
    rows = lesson.rows
    arms = [_arm(rows.of(action), lesson.seed) for action in (*range(rows.offers), NONE)]

    def effects(X: Table) -> Floats:
        said = all_told(arms, X)
        return said[:, :-1] - said[:, -1:]

    return effects


def _arm(rows: Rows, seed: int) -> Mean:
    return fit_mean(rows.X, rows.settled, rows.weight, seed)


def _crossed(lesson: Lesson) -> Callable[[Table], Floats]:
    rows, mu, thin = lesson.rows, lesson.outcomes.mu, lesson.thin()
    none = rows.action == NONE
    sides: list[tuple[float, Mean, Mean]] = []
    for offer in range(rows.offers):
        own = rows.action == offer
        if thin[offer]:
            sides.append((0.0, Mean(0.0), Mean(0.0)))
            continue
        treated = rows.settled[own] - mu[own, -1]
        beside = _some(none & rows.could[:, offer], BESIDE * int(own.sum()), lesson.seed)
        others = mu[beside, offer] - rows.settled[beside]
        share = float(own.sum() / (own.sum() + rows.beside[offer]))
        told = fit_mean(rows.X[own], treated, rows.weight[own], lesson.seed)
        sides.append((share, told, fit_mean(rows.X[beside], others, rows.weight[beside], lesson.seed)))

    shares, own_side, other_side = zip(*sides, strict=True)
    part = np.array(shares)

    def effects(X: Table) -> Floats:
        said = all_told((*own_side, *other_side), X)
        return (1 - part) * said[:, : len(part)] + part * said[:, len(part) :]

    return effects


def _robust(lesson: Lesson) -> Callable[[Table], Floats]:
    thin = lesson.thin()
    found = [Mean(0.0) if thin[offer] else _of_scores(lesson, offer) for offer in range(lesson.rows.offers)]

    return partial(all_told, found)


def _of_scores(lesson: Lesson, offer: int) -> Mean:
    """From the offer's rows and, where there are many more, some of none and some of other offers, which stand for the
    rest of their kind: those know little of this offer."""
    rows, weight = lesson.rows, lesson.rows.weight.copy()
    own, could = rows.action == offer, rows.could[:, offer]
    kept = [np.flatnonzero(own)]
    for kind in (could & (rows.action == NONE), could & (rows.action >= 0) & ~own):
        some = _some(kind, BESIDE * len(kept[0]), lesson.seed)
        weight[some] *= kind.sum() / max(len(some), 1)
        kept.append(some)
    which = np.sort(np.concatenate(kept))
    return fit_mean(rows.X[which], lesson.scores[which, offer], weight[which], lesson.seed)


def _some(kind: NDArray[np.bool_], most: int, seed: int) -> NDArray[np.int64]:
    """Indices of what is of a kind, `most` by lot; not fewer than 1,000."""
    which = np.flatnonzero(kind)
    if len(which) <= max(most, 1_000):
        return which
    return np.sort(np.random.default_rng([seed, len(which)]).choice(which, max(most, 1_000), replace=False))


def _together(lesson: Lesson) -> Callable[[Table], Floats]:
    trees = [LEARNERS[name]().fit_lesson(lesson) for name in ALONE]
    odds, line = (LEARNERS[name]().fit_lesson(lesson) for name in (ODDS, LINE))
    return lambda X: np.asarray(
        np.mean([one.found(X) for one in trees], axis=0) / 2 + (odds.found(X) + line.found(X)) / 4
    )


def _by_odds(lesson: Lesson) -> Callable[[Table], Floats]:
    rows = lesson.rows
    if float(np.ptp(rows.outcome)) == 0.0 and lesson.rule is None:
        return _nothing(lesson)
    if np.isin(rows.outcome, (0.0, 1.0)).all():
        return fit_odds(rows, lesson.outcomes, lesson.seed, lesson.rule).effects
    happened = rows.outcome != 0
    often = levelled(replace(rows, outcome=happened.astype(np.float64), season=np.zeros(len(rows))), lesson.seed)
    lift = fit_odds(often, Crossfitted.fit(often, lesson.seed), lesson.seed, lesson.rule)
    worth = fit_mean(rows.X[happened], rows.outcome[happened], rows.weight[happened], lesson.seed)
    return lambda X: lift.effects(X) * worth(X)[:, None]


def _by_line(lesson: Lesson) -> Callable[[Table], Floats]:
    if float(np.ptp(lesson.rows.outcome)) == 0.0:
        return _nothing(lesson)
    return fit_lines(lesson.rows, lesson.outcomes, lesson.seed).effects


MEAN, ODDS, LINE = "mean", "odds", "line"
_Way = Callable[[Lesson], Callable[[Table], Floats]]
ALONE: Mapping[str, _Way] = {"s": _single, "t": _two, "x": _crossed, "dr": _robust}
_BESIDE: Mapping[str, _Way] = {MEAN: _together, ODDS: _by_odds, LINE: _by_line}
LEARNERS: Mapping[str, Callable[[], Learnt]] = {
    name: partial(Learnt, name, learn) for name, learn in (*ALONE.items(), *_BESIDE.items())
}
"""name -> what makes one."""
