"""Which way of telling effects suits these rows: learners, a constant an offer, rules, or no effect at all.

Effects cannot be seen, so their error cannot either. What can be told is how far they are from doubly robust scores of
held-out rows, whose expectation they are: E[(score - effect)^2] is their squared error plus a constant (Saito & Yasui
2020, "Counterfactual cross-validation"; Mahajan et al. 2023 find it among the best of such losses). Offers count by how
exactly they are known. Losses are paired by row.

Scores are so noisy that some thousand rows rarely tell candidates apart. What is taken then matters most: not the
simplest, as a constant throws away how visitors differ, but the one that is drawn together by itself as far as rows are
few (`odds`: to the rule, or to one small shift). Without a rule it is the mean of learners, where rows are enough
for trees. Others must be better by a standard error of the difference (`line`, `odds` on the outcome itself,
where visitors buy again and again), what tells nobody apart by `SURE` of them. The mean and rules are then calibrated
(`calibration`); `odds` and `line` have their own measure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from recommender.effects.calibration import Calibration, as_json
from recommender.effects.learners import LEARNERS, LINE, MEAN, ODDS, Fitted, Lesson
from recommender.effects.odds import Rule
from recommender.effects.pooling import pooled
from recommender.effects.rows import FEW, Floats, Rows, folds, rows_of
from recommender.effects.scores import FOLDS, averages, scores

PRIOR, ZERO, CONSTANT = "prior", "zero", "constant"
SURE = 3.0
NEEDED: Mapping[str, float] = {ZERO: SURE, CONSTANT: SURE}
"""Standard errors by which a candidate must be better than the usual one; others: by one."""
ENOUGH, ENOUGH_BESIDE_RULE = 300, 3_000
"""Rows an offer, on average, from which trees are tried; and where a rule says already what they would have to find."""
Prior = Callable[[NDArray[Any]], Floats]


@dataclass(frozen=True)
class Chosen:
    """spread: [G, O], how uncertain the mean effect of an offer in a group of visitors is (standard deviation).
    account: what was chosen and why, for JSON."""

    fitted: Fitted
    calibration: Calibration
    spread: Floats
    account: dict[str, Any]

    def effects(self, X: NDArray[Any]) -> Floats:
        """float64 [n, O]: the expected outcome with each offer minus that with none."""
        return self.calibration(self.fitted.effects(X))

    def draws(self, many: int, seed: int) -> NDArray[np.float32]:
        """float32 [R, G, O]: what may be true beside what is expected, for Thompson sampling (effects(x) + draw)."""
        noise = np.random.default_rng(seed).standard_normal((many, *self.spread.shape))
        return (noise * self.spread).astype(np.float32)


@dataclass(frozen=True)
class Told:
    """Effects by a function."""

    tell: Prior

    def effects(self, X: NDArray[Any]) -> Floats:
        """See `Fitted`."""
        return np.asarray(self.tell(np.asarray(X)), np.float64)


def choose(  # noqa: PLR0917
    X: NDArray[Any],
    action: NDArray[Any],
    propensity: NDArray[Any],
    outcome: NDArray[Any],
    offers: int,
    seed: int,
    prior: Prior | None = None,
    *,
    unit: NDArray[Any] | None = None,
    group: NDArray[Any] | None = None,
    groups: int = 1,
    season: NDArray[Any] | None = None,
    rule: Rule | None = None,
    could: NDArray[Any] | None = None,
) -> Chosen:
    """The candidate that held-out rows speak for, learnt from all and calibrated. Rows as in `learners.Learnt.fit`.

    prior: effects by rules, [n, F] -> [n, O]; rule: shifts of the log odds by the same, where `odds` begins, so that
    prior is taken only where there are hardly any rows. group: each row's group of visitors, 0 to groups - 1 (one by
    default). season: what its time adds to a row's outcome. could: bool [n, O], the offers that could have been given
    in each row (`Rows.could`); all, by default. Raises InvalidValue naming what is wrong."""
    rows = rows_of(X, action, propensity, outcome, offers=offers, unit=unit, group=group, season=season, could=could)
    with threadpool_limits(1):
        return _choose(Lesson.of(rows, seed, rule), max(groups, int(rows.group.max(initial=0)) + 1), prior)


def _choose(lesson: Lesson, groups: int, prior: Prior | None) -> Chosen:
    rows = lesson.rows
    calibration, counts = Calibration.none(rows.offers), rows.counts()
    reached = np.average(rows.could, axis=0, weights=rows.weight) if len(rows) else np.ones(rows.offers)
    account: dict[str, Any] = {"rows": round(float(rows.weight.sum())), "learnt_from": len(rows)}
    account |= {"counts": counts.tolist(), "could": as_json(reached), **lesson.told}
    if counts[:-1].sum() < FEW or counts[-1] < FEW or not rows.compared(2).any():
        chosen = CONSTANT if prior is None else PRIOR
        account |= {"chosen": chosen, "why": f"fewer than {FEW} rows with an offer or without, or none to compare"}
        left = lesson.scores - _fitted(chosen, lesson, prior).effects(rows.X)
    else:
        held, score = _held_out(lesson, prior)
        usual = ODDS if lesson.rule is not None or MEAN not in held else MEAN
        chosen, told = _taken({name: losses(one, score, rows) for name, one in held.items()}, rows, usual)
        if chosen in {PRIOR, MEAN}:
            calibration = Calibration.fit(held[chosen], score, rows, lesson.scale)
        account |= {"chosen": chosen, "losses": told, "calibration": calibration.told}
        left = score - calibration(held[chosen])
    account |= {"average": as_json(lesson.average.mean), "average_sd": as_json(lesson.average.sd)}
    return Chosen(_fitted(chosen, lesson, prior), calibration, _spread(left, lesson, groups), account)


def _held_out(lesson: Lesson, prior: Prior | None) -> tuple[dict[str, Floats], Floats]:
    """What each candidate says of rows that it was not learnt from, and their scores: [n, O] each."""
    rows = lesson.rows
    least = ENOUGH if lesson.rule is None else ENOUGH_BESIDE_RULE
    trees = [MEAN] if rows.counts()[:-1].sum() >= least * rows.offers else []
    rules = [] if prior is None or lesson.rule is not None else [PRIOR]
    score = np.zeros((len(rows), rows.offers))
    said = {name: np.zeros_like(score) for name in (ZERO, *rules, CONSTANT, *trees, ODDS, LINE)}
    fold = folds(rows.unit, FOLDS, lesson.seed + len(trees))
    for one in range(FOLDS):
        held = fold == one
        clean = Lesson(rows.take(~held), lesson.seed + one, rule=lesson.rule)
        past, now = clean if trees else lesson.but(held, one), rows.take(held)
        score[held] = scores(now, past.outcomes(now.X))
        for name, told in said.items():
            told[held] = _fitted(name, past, prior).effects(now.X)
    return said, score


def _fitted(name: str, lesson: Lesson, prior: Prior | None) -> Fitted:
    if name in LEARNERS:
        return LEARNERS[name]().fit_lesson(lesson)
    if name == PRIOR and prior is not None:
        return Told(prior)
    level = lesson.average.mean if name == CONSTANT else np.zeros(lesson.rows.offers)
    return Told(lambda X: np.tile(level, (len(X), 1)))


def losses(told: Floats, score: Floats, rows: Rows) -> Floats:
    """[n]: squared distance to the scores where offers could be had, offers weighed by how little these vary."""
    many = np.maximum(rows.could.sum(axis=0), 1)
    mean = score.sum(axis=0) / many  # 0 where the offer could not be given
    variance = np.maximum((rows.could * (score - mean) ** 2).sum(axis=0) / many, 1e-12)
    share = np.where(rows.compared(2), 1 / variance, 0.0)
    return np.asarray((rows.could * (score - told) ** 2) @ (share / max(float(share.sum()), 1e-300)))


def _taken(found: Mapping[str, Floats], rows: Rows, usual: str) -> tuple[str, dict[str, Any]]:
    """The candidate, and of each the losses: how much less than that of no effect, how far behind the usual one."""
    means = {name: float(np.average(loss, weights=rows.weight)) for name, loss in found.items()}
    told, better = {}, [usual]
    for name, loss in found.items():
        behind, error = _behind(loss, found[usual], rows)
        told[name] = {"gain": means[ZERO] - means[name], "behind": behind, "error": error}
        if behind < -NEEDED.get(name, 1.0) * error:
            better.append(name)
    return min(better, key=lambda name: means[name]), told


def _behind(loss: Floats, other: Floats, rows: Rows) -> tuple[float, float]:
    """How much larger a loss is on average than another, and the standard error of that, units whole."""
    total = float(rows.weight.sum())
    of_units = np.bincount(rows.unit, rows.weight * (loss - other))
    return float(of_units.sum()) / total, float(np.sqrt(np.sum((of_units - of_units.mean()) ** 2))) / total


def _spread(left: Floats, lesson: Lesson, groups: int) -> Floats:
    """[G, O]: how far the effects of a group of visitors may be off on average."""
    rows = lesson.rows
    off, error = np.zeros((groups, rows.offers)), np.full((groups, rows.offers), np.inf)
    for group in np.unique(rows.group):
        own = rows.group == group
        off[group], error[group] = averages(left[own], rows.take(own))
    return np.stack([pooled(off[:, o], error[:, o], lesson.scale).sd for o in range(rows.offers)], axis=1).reshape(
        groups, rows.offers
    )
