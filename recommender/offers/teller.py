"""Of any visitors: lift, gain and cost of each offer, by what was learnt, by how offers are used, or by rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.effects.choice import Chosen
from recommender.effects.means import Mean
from recommender.effects.rows import FEW
from recommender.offers.costs import Costs
from recommender.offers.material import Material, Source
from recommender.offers.thumb import Thumb
from recommender.offers.used import Used
from recommender.offers.worth import Worth

RATIO = (0.2, 3.0)
"""How far the tried offers may correct the rules of thumb."""
ASKED = 1 << 13
"""Trials by whose visitors what is usual is told, at most."""

Floats = NDArray[np.float64]
Table = NDArray[np.float32]


@dataclass(frozen=True)
class Learnt:
    """Effects on the chance to buy and, where they are needed, on money; worth: how the first tells the second, where
    it does; base: the chance to buy without an offer, None where it is not learnt."""

    lift: Chosen
    money: Chosen | None
    worth: Worth
    base: Mean | None

    def __call__(self, X: Table) -> tuple[Floats, Floats]:
        """[n, columns] each: lift, gain."""
        lift = self.lift.effects(X)
        return lift, self.worth.gain(X, lift) if self.money is None else self.money.effects(X)


@dataclass(frozen=True)
class Teller:
    """usual: what `learnt` says of the trials' visitors on average, lift and gain, [columns] each."""

    learnt: Learnt
    thumb: Thumb
    costs: Costs
    sources: Sequence[tuple[Source, int]]
    usual: tuple[Floats, Floats]
    ratio: tuple[float, float]
    used: Used | None

    def __call__(self, X: Table) -> tuple[Floats, Floats, Floats]:
        """[n, O] each: lift, gain, cost."""
        lift, gain = self.learnt(X)
        by_rule = [place for place, (source, _) in enumerate(self.sources) if source == "rule"]
        columns = [column for _, column in self.sources]
        bought = np.clip(self.learnt.base(X)[:, None] + lift, 0.0, 1.0) if self.learnt.base is not None else None
        cost = self.costs(X, self.thumb.cost(X, bought))
        if self.used is not None:
            lift, gain, cost = self._with_use(self.used, X, lift, gain, cost)
        lift, gain, cost = lift[:, columns], gain[:, columns], cost[:, columns]
        if by_rule:
            lift[:, by_rule] = self.ratio[0] * self.thumb.lift(X)[:, by_rule]
            gain[:, by_rule] = self.ratio[1] * self.thumb.money(X)[:, by_rule]
        return lift, gain, cost

    def _with_use(self, used: Used, X: Table, *learnt: Floats) -> tuple[Floats, Floats, Floats]:
        """As far as use counts, it tells who is moved how much; where it knows nobody's taste, how much on average.
        Money that tells itself is not told by lifts."""
        lift, gain, cost = learnt
        if used.personal:
            told, brought = used(X)
            paid = np.broadcast_to(used.cost, cost.shape)
        else:
            more = used.mean - self.usual[0]
            told, brought, paid = lift + more, gain + more * used.margin, cost
        share = used.weight
        lift, cost = share * told + (1 - share) * lift, share * paid + (1 - share) * cost
        return lift, share * brought + (1 - share) * gain if self.learnt.money is None else gain, cost


def usual_of(learnt: Learnt, lesson: Material) -> tuple[Floats, Floats]:
    """What is said of the trials' visitors on average: lift, gain, [columns] each."""
    X = _some(lesson)
    if not len(X):
        return np.zeros(len(lesson.columns)), np.zeros(len(lesson.columns))
    lift, gain = learnt(X)
    return lift.mean(axis=0), gain.mean(axis=0)


def ratio_of(usual: tuple[Floats, Floats], thumb: Thumb, lesson: Material) -> tuple[float, float]:
    """What the tried offers have of the lift and the money that the rules of thumb gave them."""
    tried = lesson.counts >= FEW
    X = _some(lesson)
    if not tried.any() or not len(X):
        return 1.0, 1.0
    found = []
    for told, rule in zip(usual, (thumb.lift(X), thumb.money(X)), strict=True):
        ratio = told[tried].mean() / max(float(rule[:, tried].mean()), 1e-12)
        found.append(float(np.clip(ratio, *RATIO)))
    return found[0], found[1]


def _some(lesson: Material) -> Table:
    X = lesson.trials.X
    return X[:: max(-(-len(X) // ASKED), 1)]
