"""Held-out trials: whether the chance to buy tells money better than money does, and how good the lift is.

A purchase is a steadier signal than what it brings: a lift of the chance times the margin to expect of a purchase (of
that visitor) is often nearer to the truth than the effect on money itself, which a few large orders blur; where an
offer makes orders larger it is not. So half of the visitors judge what the other half taught, by the squared distance
to doubly robust scores of money; as in `recommender.effects.choice` the steadier one is taken unless it is worse by
more than a standard error of the difference. A lift that is not there tells nothing of money.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.effects.choice import CONSTANT, PRIOR, ZERO, Chosen
from recommender.effects.curves import Ranked, auuc, qini, uplift_at_k
from recommender.effects.learners import LEARNERS, Lesson
from recommender.effects.means import Mean, fit_mean
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


@dataclass(frozen=True, slots=True)
class Worth:
    """two_part: whether gain is told by lift. margin: of a purchase, by visitor; usual: its mean; minor units."""

    two_part: bool
    margin: Mean
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
    chosen: tuple[Chosen, Chosen],
    priors: tuple[Prior, Prior],
    *,
    unit: NDArray[np.int64],
    offers: int,
    seed: int,
) -> Worth:
    """Lift and money as chosen (`choice`), each learnt from half of the visitors, judged by the other half."""
    bought = trials.bought > 0
    margin = _margin(trials.X[bought], trials.margin[bought], seed)
    usual = float(trials.margin[bought].mean()) if bought.any() else 0.0
    names = tuple(one.account["chosen"] for one in chosen)
    counts = np.bincount(action[action >= 0], minlength=offers)
    if max(counts, default=0) < 2 * FEW or np.count_nonzero(action < 0) < 2 * FEW:
        return Worth(False, margin, usual, {"two_part": False, "why": "too few trials to judge by"})
    rows = [rows_of(trials.X, action, trials.propensity, one, offers, unit) for one in (trials.bought, trials.margin)]
    first = folds(rows[0].unit, 2, seed + 7) == 0
    past = [Lesson.of(one.take(first), seed) for one in rows]
    now = Lesson.of(rows[1].take(~first), seed).rows
    effects = [_told(name, lesson, prior, now.X) for name, lesson, prior in zip(names, past, priors, strict=True)]
    own = first & bought
    product = effects[0] * _margin(trials.X[own], trials.margin[own], seed)(now.X)[:, None]
    score = scores(now, past[1].outcomes(now.X))
    losses = [_losses(one, score, now) for one in (effects[1], product)]
    means = [float(np.average(one, weights=now.weight)) for one in losses]
    of_units = np.bincount(now.unit, now.weight * (losses[1] - losses[0]))
    error = float(np.sqrt(np.sum((of_units - of_units.mean()) ** 2)) / now.weight.sum())
    two_part = names[0] != ZERO and means[1] - means[0] <= error
    account: dict[str, Any] = {"two_part": two_part, "money": means[0], "product": means[1], "error": error}
    account |= {"judged_by": len(now), "learners": list(names)}
    account["curves"] = _curves(effects[0], Lesson.of(rows[0].take(~first), seed).rows, seed)
    return Worth(two_part, margin, usual, account)


def _curves(lift: Floats, rows: Rows, seed: int) -> dict[int, dict[str, list[float] | None]]:
    """How well the lift ranks visitors that it was not learnt from, by column of the most tried offers."""
    counts = rows.counts()[:-1]
    told = {}
    for offer in np.argsort(-counts, kind="stable")[:MOST_CURVES].tolist():
        if counts[offer] < FEW:
            continue
        own = (rows.action == offer) | (rows.action < 0)
        given = rows.action[own] == offer
        ranked = Ranked.of(lift[own, offer], given, rows.outcome[own], rows.propensity[own], rows.unit[own])
        figures = {"qini": qini(ranked, seed, DRAWN), "auuc": auuc(ranked, seed, DRAWN)}
        figures |= {f"uplift_at_{k:.0%}": uplift_at_k(ranked, k, seed, DRAWN) for k in SHARES}
        told[offer] = {name: figure.as_json() for name, figure in figures.items()}
    return told


def _margin(X: Table, margin: Floats, seed: int) -> Mean:
    return fit_mean(X, margin, np.ones(len(margin)), seed)


def _told(name: str, lesson: Lesson, prior: Prior, X: Table) -> Floats:
    """[n, O]: what a candidate that was learnt from the lesson says."""
    if name == PRIOR:
        return np.asarray(prior(X))
    if name in (CONSTANT, ZERO):
        return np.tile(lesson.average.mean if name == CONSTANT else np.zeros(lesson.rows.offers), (len(X), 1))
    learners = [name] if name in LEARNERS else list(LEARNERS)  # what is none of them is the mean of all
    found = [LEARNERS[one]().fit_lesson(lesson).effects(X) for one in learners]
    return np.asarray(np.mean(found, axis=0))


def _losses(told: Floats, score: Floats, rows: Rows) -> Floats:
    """[n]: squared distance to the scores, offers weighed by how little these vary."""
    counts = rows.counts()
    known = (counts[:-1] > 1) & (counts[-1] > 1)
    share = np.where(known, 1 / np.maximum(score.var(axis=0), 1e-12), 0.0)
    return np.asarray((score - told) ** 2 @ (share / max(float(share.sum()), 1e-300)))
