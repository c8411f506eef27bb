"""What a purchase that an offer makes brings, and, by held-out trials, whether lift times that tells money.

A purchase is a steadier signal than what it brings: a lift of the chance times the margin to expect of a purchase (of
that visitor) is nearer to the truth than the effect on money itself, which a few large orders blur; where an offer
makes orders larger it is not. So half of the visitors judge what the other half taught, by the squared distance to
doubly robust scores of money; the steadier one is taken unless it is worse by `SURE` standard errors of the
difference. A lift that is not there tells nothing of money. The margin of a purchase is that of the visitor's usual
order, where portraits tell it, brought to the size that purchases have; else learnt from purchases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.effects.choice import CONSTANT, ENOUGH, PRIOR, ZERO, Chosen, losses
from recommender.effects.curves import Ranked, auuc, qini, uplift_at_k
from recommender.effects.learners import LEARNERS, Lesson
from recommender.effects.means import fit_mean
from recommender.effects.odds import Rule
from recommender.effects.rows import FEW, Rows, folds, rows_of
from recommender.effects.scores import scores
from recommender.offers.trials import Trials

MOST_CURVES, DRAWN = 10, 100
"""Offers whose curves are drawn, the most tried first, and draws of an interval."""
SHARES = (0.1, 0.3)
"""Uplift is told of so many of the visitors, the best first."""

Floats = NDArray[np.float64]
Table = NDArray[np.float32]
Prior = Callable[[Table], Floats]
Margin = Callable[[Table], Floats]
SURE = 2.0
DIRECT = "x"
"""The learner of effects on money itself."""


@dataclass(frozen=True, slots=True)
class Worth:
    """two_part: whether gain is told by lift. margin: of a purchase, by visitor; usual: its mean; minor units."""

    two_part: bool
    margin: Margin
    usual: float
    account: dict[str, Any]

    def gain(self, X: Table, lift: Floats) -> Floats:
        """[n, O]: expected margin of what is bought in addition."""
        return np.asarray(lift * self.margin(X)[:, None])

    def spread(self, lift: Floats) -> Floats:
        """The same of standard deviations."""
        return lift * abs(self.usual)


def held_out(
    trials: Trials,
    action: NDArray[np.int64],
    lift: Chosen,
    prior: Prior,
    *,
    margin: Margin,
    rule: Rule | None = None,
    unit: NDArray[np.int64],
    offers: int,
    seed: int,
    could: NDArray[np.bool_] | None = None,
) -> Worth:
    """Lift as chosen (`choice`) and money, each learnt from half of the visitors, judged by the other half. prior:
    lift by rules; margin: of a purchase by rules (all alike: it is learnt); rule: see `choice.choose`."""
    bought = trials.bought > 0
    learnt = _margin(trials, bought, margin, seed)
    usual = float(trials.margin[bought].mean()) if bought.any() else 0.0
    name = lift.account["chosen"]
    counts = np.bincount(action[action >= 0], minlength=offers)
    if max(counts, default=0) < 2 * FEW or np.count_nonzero(action < 0) < 2 * FEW:
        return Worth(name != ZERO, learnt, usual, {"two_part": name != ZERO, "why": "too few trials to judge by"})
    logged = trials.X, action, trials.propensity
    rows = [rows_of(*logged, one, offers, unit, could=could) for one in (trials.bought, trials.margin)]
    first = folds(rows[0].unit, 2, seed + 7) == 0
    past = [Lesson.of(one.take(first), seed, rule) for one in rows]
    later = Lesson.of(rows[0].take(~first), seed).rows
    told = _told(name, past[0], prior, later.X)
    account: dict[str, Any] = {"two_part": name != ZERO, "curves": _curves(told, later, seed)}
    if counts.sum() < ENOUGH * offers:
        return Worth(name != ZERO, learnt, usual, account | {"why": "too few trials to judge by"})
    now = Lesson.of(rows[1].take(~first), seed).rows
    product = told * _margin(trials, first & bought, margin, seed)(now.X)[:, None]
    score = scores(now, past[1].outcomes(now.X))
    judged = [losses(one, score, now) for one in (_told(DIRECT, past[1], prior, now.X), product)]
    means = [float(np.average(one, weights=now.weight)) for one in judged]
    of_units = np.bincount(now.unit, now.weight * (judged[1] - judged[0]))
    error = float(np.sqrt(np.sum((of_units - of_units.mean()) ** 2)) / now.weight.sum())
    two_part = name != ZERO and means[1] - means[0] <= SURE * error
    account |= {"two_part": two_part, "money": means[0], "product": means[1], "error": error}
    account |= {"judged_by": len(now), "learners": [name, DIRECT]}
    return Worth(two_part, learnt, usual, account)


def _margin(trials: Trials, of: NDArray[np.bool_], rule: Margin, seed: int) -> Margin:
    """[n, F] -> [n]: of a purchase, from those trials."""
    X, margin = trials.X[of], trials.margin[of]
    by_rule = rule(X)
    if not len(X) or not by_rule.mean() > 0:
        return rule
    if float(np.ptp(by_rule)) == 0.0:
        return fit_mean(X, margin, np.ones(len(margin)), seed)
    ratio = float(margin.mean() / by_rule.mean())
    return lambda X: ratio * rule(X)


def _curves(lift: Floats, rows: Rows, seed: int) -> dict[int, dict[str, list[float] | None]]:
    """How well the lift ranks visitors that it was not learnt from, by column of the most tried offers."""
    counts = rows.counts()[:-1]
    told = {}
    for offer in np.argsort(-counts, kind="stable")[:MOST_CURVES].tolist():
        if counts[offer] < FEW:
            continue
        own = (rows.action == offer) | ((rows.action < 0) & rows.could[:, offer])
        given = rows.action[own] == offer
        ranked = Ranked.of(lift[own, offer], given, rows.outcome[own], rows.propensity[own], rows.unit[own])
        figures = {"qini": qini(ranked, seed, DRAWN), "auuc": auuc(ranked, seed, DRAWN)}
        figures |= {f"uplift_at_{k:.0%}": uplift_at_k(ranked, k, seed, DRAWN) for k in SHARES}
        told[offer] = {name: figure.as_json() for name, figure in figures.items()}
    return told


def _told(name: str, lesson: Lesson, prior: Prior, X: Table) -> Floats:
    """[n, O]: what a candidate that was learnt from the lesson says."""
    if name == PRIOR:
        return np.asarray(prior(X))
    if name in (CONSTANT, ZERO):
        return np.tile(lesson.average.mean if name == CONSTANT else np.zeros(lesson.rows.offers), (len(X), 1))
    return LEARNERS[name]().fit_lesson(lesson).effects(X)
