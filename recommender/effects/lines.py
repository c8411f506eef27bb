"""Effects that live on the outcome itself, money above all: a line in what is known of a visitor.

    y = c0 + c1 base(x) + [o is an offer] (a + a_o + z (b + b_o)) + noise,   z = (x, base(x))

The shape of `odds` without the odds: where people buy again and again the chance of a purchase says little, and what an
offer brings goes with what they spend anyway. base: what is to be expected without an offer, cross-fitted. All
coefficients but c are normal around 0 (partial pooling of offers); how wide b and b_o are is averaged over by what
held-out rows say, and which fields' are wider is told by rows, as in `odds`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recommender.effects.design import Design, shifts_of
from recommender.effects.means import Scale, Table
from recommender.effects.rows import Floats, Rows, folds
from recommender.effects.scores import Crossfitted

FOLDS, MOST_OWN = 3, 2_000
"""Columns of b_o at most; with more there are none."""
LEVEL = (0.3, 0.15)
"""How wide a and a_o are, in standard deviations of what the base leaves."""
WIDTHS = ((0.0, 0.0), (0.1, 0.0), (0.3, 0.0), (0.1, 0.1), (0.3, 0.3), (0.8, 0.8))
"""Standard deviations over visitors that b and b_o may give the effect, in the same."""
USUAL = (0.3, 0.3)
"""Those by which is told which fields reach farther than others."""


@dataclass(frozen=True, slots=True)
class Line:
    """What was fitted. middle, size: of the base; unit: of the effects."""

    base: Callable[[Table], Floats]
    scale: Scale
    middle: float
    size: float
    unit: float
    theta: Floats
    offers: int
    own: bool

    def effects(self, X: Table) -> Floats:
        """[n, O]: changes of the outcome."""
        table = _table(self.scale, X, (self.base(X) - self.middle) / self.size)
        return self.unit * shifts_of(table, None, self.theta, self.offers, own=self.own)


def fit_lines(rows: Rows, outcomes: Crossfitted, seed: int) -> Line:
    """From rows of any outcome."""
    scale, base = Scale.of(rows.X), outcomes.mu[:, -1]
    middle, size = float(base.mean()), max(float(base.std()), 1e-9)
    at = (base - middle) / size
    table = _table(scale, rows.X, at)
    wide = rows.offers * table.shape[1] <= MOST_OWN
    design = Design.of(rows, at, table, None, own=wide)
    unit = max(float((rows.settled - base).std()), 1e-9)
    y = rows.settled / unit
    fold = folds(rows.unit, FOLDS, seed + 5)
    parts = [design.take(fold == one).sums(rows.weight[fold == one], y[fold == one]) for one in range(FOLDS)]
    gram, moment = (np.sum([part[one] for part in parts], axis=0) for one in (0, 1))
    tried = [_precision(table.shape[1], rows.offers, *one, own=wide) for one in WIDTHS if wide or not one[1]]
    usual = _precision(table.shape[1], rows.offers, *USUAL, own=wide)
    fit = np.zeros(len(tried))
    for one, (own_gram, own_moment) in enumerate(parts):
        held = fold == one
        of_fold, past = design.take(held), (gram - own_gram, moment - own_moment)
        reach = design.reach(*past, usual)
        for place, precision in enumerate(tried):
            left = y[held] - of_fold @ design.solved(*past, precision / reach**2)
            fit[place] -= 0.5 * float(rows.weight[held] @ left**2)
    fit *= len(rows) / float(rows.weight.sum())
    share = np.exp(fit - fit.max())
    share /= share.sum()
    reach = design.reach(gram, moment, usual)
    theta = np.asarray(share @ np.stack([design.solved(gram, moment, one / reach**2) for one in tried]))
    return Line(outcomes.without, scale, middle, size, unit, theta[2:], rows.offers, wide)


def _table(scale: Scale, X: Table, at: Floats) -> Floats:
    return np.hstack([scale(X)[:, scale.varying], at[:, None]])


def _precision(many: int, offers: int, common: float, each: float, *, own: bool) -> Floats:
    share = 1 / np.sqrt(max(many, 1))
    wide = [LEVEL[0], *([LEVEL[1]] * offers), *([common * share] * many), *([each * share] * (many * offers * own))]
    return np.concatenate([[1e-3, 1e-3], 1 / np.maximum(np.array(wide), 1e-6) ** 2])
