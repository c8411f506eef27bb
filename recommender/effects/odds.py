"""Effects that live on the log odds: offers move the odds of a purchase, visitors differ in where they start.

    logit P(y = 1 | x, o) = c0 + c1 logit base(x) + [o is an offer] shift_o(x)
    shift_o(x) = (1 + k + k_o) rule_o(x) + a + a_o + z (b + b_o),    z = (x, logit base(x))
    effect_o(x) = expit(start + shift_o(x)) - expit(start)

The same shift changes the chance of those who sit on the fence most and that of sure things hardly, so much of how
visitors differ needs no coefficient (Ai & Norton 2003, "Interaction terms in logit and probit models", on why an effect
on one scale is none on the other). base: what is to be expected without an offer, cross-fitted, from all rows and what
those of none say beside (`scores.Crossfitted`). rule: what rules of thumb say of the shift, where there are any;
without, the first term falls away. All coefficients but c are normal around 0 (a ridge: partial pooling of offers,
Gelman & Hill 2007, ch. 12-14), so few trials leave the rule, or one small shift for all. How wide they are is averaged
over (`NEAR`, `FAR`, `ANYWHERE`, `WIDTHS`) by what held-out rows say; which fields reach farther, rows tell (`design`).
Iterated least squares (McCullagh & Nelder 1989), also where season was taken from the outcomes, as only their mean has
to be right (Wedderburn 1974).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.effects.design import Design, shifts_of
from recommender.effects.means import Scale, Table
from recommender.effects.rows import Floats, Rows, folds
from recommender.effects.scores import Crossfitted

Rule = Callable[[Table], Floats]
"""[n, F] -> [n, O]: shifts of the log odds."""

NEAR, FAR, ANYWHERE = (0.06, 0.03, 0.3, 0.15), (0.5, 0.3, 1.0, 0.5), (1.0, 1.5, 1.5, 1.0)
"""How wide a, a_o, k and k_o are where a rule is to be believed, where it is not, or there is none, and where an offer
does far more than offers do (a gift): a belief that it does not would tell half of that from a hundred rows."""
WIDTHS: tuple[tuple[float, float], ...] = (
    (0.0, 0.0),
    (0.15, 0.0),
    (0.4, 0.0),
    (0.8, 0.0),
    (1.6, 0.0),
    (0.4, 0.4),
    (0.8, 0.8),
    (1.6, 1.6),
)
"""Standard deviations over visitors that b and b_o may give the shift."""
USUAL = (0.4, 0.4)
"""Those by which is told which fields reach farther than others."""
NOWHERE = (0.0, 0.0)
FEW_WIDTHS = (NOWHERE, (0.4, 0.0), (1.6, 0.0))
"""Those that are tried with `ANYWHERE`."""
MOST_OWN = 2_000
"""Columns of b_o at most; with more there are none."""
STEPS, HALVINGS, FOLDS = 4, 4, 3
STEP, UNLIKELY = 4.0, 7.0
"""How unlikely it is beforehand that a rule is left by one step, one in fifty, and that offers do far more, one in a
thousand: e to the power of these. What leaves a rule that is right fits a few hundred rows by chance."""
LEAST = 0.01
"""Chances are taken as no nearer to 0 and 1."""
FARTHEST = 3.0
"""No offer shifts the log odds by more."""


@dataclass(frozen=True, slots=True)
class Odds:
    """What was fitted; see the module. start: c0, c1; theta: of the columns of `design.Design`; own: with b_o."""

    base: Callable[[Table], Floats]
    scale: Scale
    rule: Rule | None
    start: Floats
    theta: Floats
    offers: int
    own: bool

    def effects(self, X: Table) -> Floats:
        """[n, O]: changes of the chance."""
        at = logit(self.base(X))
        return _effects(self.start[0] + self.start[1] * at, self._shifts(X, at))

    def shifts(self, X: Table) -> Floats:
        """[n, O]: of the log odds."""
        return self._shifts(X, logit(self.base(X)))

    def _shifts(self, X: Table, at: Floats) -> Floats:
        table, told = _table(self.scale, X, at), None if self.rule is None else self.rule(X)
        return shifts_of(table, told, self.theta, self.offers, own=self.own)


def fit_odds(rows: Rows, outcomes: Crossfitted, seed: int, rule: Rule | None = None) -> Odds:
    """From rows whose outcomes are 0 and 1."""
    scale = Scale.of(rows.X)
    at = logit(outcomes.mu[:, -1])
    table = _table(scale, rows.X, at)
    told = None if rule is None else rule(rows.X)
    wide = rows.offers * table.shape[1] <= MOST_OWN
    widths = [one for one in WIDTHS if wide or not one[1]] if table.shape[1] else [NOWHERE]
    design = Design.of(rows, at, table, told, own=wide)
    lean = Design.of(rows, at, table, told, own=False)  # what is `ANYWHERE` has no b_o
    common = [(one, trust) for trust in ([FAR] if rule is None else [NEAR, FAR]) for one in widths]
    tried = common + [(one, ANYWHERE) for one in widths if one in FEW_WIDTHS]
    spreads = [_precision(_spread(table.shape[1], rows.offers, *one, rule=rule is not None, own=wide)) for one in tried]
    fold = folds(rows.unit, FOLDS, seed + 3)
    rare = [one[: lean.many] for one in spreads[len(common) :]]
    usual = _precision(_spread(table.shape[1], rows.offers, USUAL, common[0][1], rule=rule is not None, own=wide))
    near, far = (_fitted(rows, one, _begin(one), at[0]) for one, at in ((design, spreads), (lean, rare)))
    likely = np.append(
        _held_out(rows, design, near, spreads[: len(common)], usual, fold),
        _held_out(rows, lean, far, rare, usual[: lean.many], fold),
    )
    share = _shares(likely, tried, rule=rule is not None)
    theta = np.append(far, np.zeros(design.many - len(far)))
    reach = design.reach(*_sums(rows, design, near), usual)
    theta = _fitted(rows, design, theta, spreads[int(np.argmax(share))] / reach**2)
    gram, moment = _sums(rows, design, theta)
    reach = design.reach(gram, moment, usual)
    found = np.asarray(share @ np.stack([design.solved(gram, moment, one / reach**2) for one in spreads]))
    return Odds(outcomes.without, scale, rule, found[:2], found[2:], rows.offers, wide)


def logit(chance: Floats) -> Floats:
    """Log odds, of chances no nearer to 0 and 1 than `LEAST`."""
    kept = np.clip(chance, LEAST, 1 - LEAST)
    return np.asarray(np.log(kept / (1 - kept)))


def expit(odds: Floats) -> Floats:
    """Chances."""
    return np.asarray(1 / (1 + np.exp(-odds)))


def _effects(start: Floats, shifts: Floats) -> Floats:
    moved = np.clip(shifts, -FARTHEST, FARTHEST)
    return expit(start[:, None] + moved) - expit(start)[:, None]


def _table(scale: Scale, X: Table, at: Floats) -> Floats:
    """What shifts may go by: features, and where visitors start, if there are features."""
    return np.hstack([scale(X)[:, scale.varying], at[:, None]]) if X.shape[1] else np.zeros((len(X), 0))


def _spread(
    many: int, offers: int, width: tuple[float, float], trust: tuple[float, ...], *, rule: bool, own: bool
) -> Floats:
    """How wide each of the coefficients is, [P]."""
    each = 1 / np.sqrt(max(many, 1))
    found = [trust[0], *([trust[1]] * offers), *([trust[2], *([trust[3]] * offers)] if rule else [])]
    found += [width[0] * each] * many + ([width[1] * each] * (many * offers) if own else [])
    return np.array(found)


def _precision(spread: Floats) -> Floats:
    return np.concatenate([[1e-3, 1e-3], 1 / np.maximum(spread, 1e-6) ** 2])


def _sums(rows: Rows, design: Design, theta: Floats) -> tuple[Floats, Floats]:
    """Of a step of iterated least squares: c1 is held near 1, not 0."""
    own = design @ theta
    chance = np.clip(expit(own + design.offset), LEAST, 1 - LEAST)
    sure = chance * (1 - chance)
    gram, moment = design.sums(rows.weight * sure, own + (rows.settled - chance) / sure)
    moment[1] += 1e-3
    return gram, moment


def _fitted(rows: Rows, design: Design, theta: Floats, precision: Floats) -> Floats:
    """As likely as can be, steps halved that lead to what is less likely."""

    def belief(at: Floats) -> float:
        return _likely(rows, design, at) - float(precision @ (at - begin) ** 2) / 2

    begin = _begin(design)
    for _ in range(STEPS):
        ahead, now = design.solved(*_sums(rows, design, theta), precision), belief(theta)
        for _ in range(HALVINGS):
            if belief(ahead) >= now:
                break
            ahead = (ahead + theta) / 2
        theta = ahead
    return theta


def _begin(design: Design) -> Floats:
    """The base as it is, and no shift but the rule's."""
    theta = np.zeros(design.many)
    theta[1] = 1.0
    return theta


def _held_out(  # noqa: PLR0917
    rows: Rows, design: Design, theta: Floats, spreads: list[Floats], usual: Floats, fold: NDArray[np.int64]
) -> Floats:
    """The log likelihood of held-out rows by each of the widths, told by one step of least squares from `theta`, which
    has the levels as all rows tell them: from a rule that is far off that step goes too far, the more so the wider."""
    held = [(rows.take(own), design.take(own)) for own in (fold == one for one in range(FOLDS))]
    parts = [_sums(*one, theta) for one in held]
    gram, moment = (np.sum([part[at] for part in parts], axis=0) for at in (0, 1))
    found = np.zeros(len(spreads))
    for one, (own_gram, own_moment) in zip(held, parts, strict=True):
        past = gram - own_gram, moment - own_moment
        reach = design.reach(*past, usual)
        for place, precision in enumerate(spreads):
            found[place] += _likely(*one, design.solved(*past, precision / reach**2))
    return found * (len(rows) / float(rows.weight.sum()))


def _likely(rows: Rows, design: Design, theta: Floats) -> float:
    chance = np.clip(expit(design @ theta + design.offset), LEAST, 1 - LEAST)
    return float(rows.weight @ (rows.settled * np.log(chance) + (1 - rows.settled) * np.log(1 - chance)))


def _shares(likely: Floats, tried: Sequence[tuple[tuple[float, float], tuple[float, ...]]], *, rule: bool) -> Floats:
    """How much each of the widths counts (pseudo-BMA: Yao et al. 2018, "Using stacking to average Bayesian predictive
    distributions"). Beside a rule each step that leaves it (levels, what is common to offers, what is an offer's own)
    is unlikely by `STEP`, and what is `ANYWHERE` by `UNLIKELY`."""
    steps = [(trust is FAR) + (one[0] > 0) + (one[1] > 0) if rule else 0 for one, trust in tried]
    rare = [UNLIKELY if trust is ANYWHERE else 0.0 for _, trust in tried]
    found = likely - STEP * np.array(steps) - np.array(rare)
    share = np.exp(found - found.max())
    return np.asarray(share / share.sum())
