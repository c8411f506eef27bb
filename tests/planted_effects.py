"""Visitors and offers whose effects are known: an experiment, or a log in which the eager got the offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.effects.rows import NONE, Floats, Ints

OFFERS = 3
MONEY = 30.0
"""Median of what a purchase brings."""


@dataclass(frozen=True)
class Planted:
    """Rows as learners take them, and the truth: base [n], the outcome without an offer; effects [n, O]."""

    X: NDArray[np.float32]
    action: Ints
    propensity: Floats
    outcome: Floats
    base: Floats
    effects: Floats

    @property
    def given(self) -> tuple[Any, ...]:
        """What `Learner.fit` and `choose` begin with."""
        return self.X, self.action, self.propensity, self.outcome

    def value(self, effects: Floats) -> float:
        """What a visitor gains who gets the offer of the highest effect, if that is above 0, as a share of what the
        truth would choose."""
        best = effects.argmax(axis=1)
        got = np.where(effects.max(axis=1) > 0, self.effects[np.arange(len(best)), best], 0.0)
        return float(got.mean() / self.effects.max(axis=1).clip(0).mean())

    def error(self, effects: Floats) -> float:
        """Root mean squared error, in standard deviations of the true effects over visitors and offers."""
        return float(np.sqrt(((effects - self.effects) ** 2).mean()) / self.effects.std())


def planted(n: int, seed: int, money: bool = False, confounded: float = 0.0) -> Planted:
    """n visitors of 8 features, some unknown.

    Offer 0 wakes those of a high feature 3 and chases the others away ("sleeping dogs"); offer 1 works the better the
    keener the visitor (feature 0); offer 2 works on those who rarely buy and costs purchases among who buy anyway
    ("sure things"). Feature 0 also drives the outcome, so effect and habit are easily mistaken for each other.
    `confounded`: how much more often the keen got offers; 0: each action by a fair lot.
    """
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8)).astype(np.float32)
    base = 1 / (1 + np.exp(2 - 0.8 * X[:, 0] - 0.5 * X[:, 1] * (X[:, 2] > 0)))
    effects = np.stack(
        [0.1 * (X[:, 3] > 0) - 0.04, 0.06 * X[:, 0].clip(-1, 1), np.where(base > 0.2, -0.05, 0.06)], axis=1
    )
    odds = confounded * np.stack([X[:, 0], X[:, 0], X[:, 0], -X[:, 0]], axis=1).astype(np.float64)
    chance = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    drawn = (rng.random(n)[:, None] > chance.cumsum(axis=1)).sum(axis=1).clip(0, OFFERS)
    action = np.where(drawn == OFFERS, NONE, drawn)
    at = np.arange(n)
    mean = (base + np.where(action >= 0, effects[at, action.clip(0)], 0.0)).clip(0.01, 0.99)
    outcome = (rng.random(n) < mean).astype(np.float64)
    if money:
        outcome *= MONEY * rng.lognormal(0.0, 1.0, n)
        effects, base = effects * MONEY * np.exp(0.5), base * MONEY * np.exp(0.5)
    X[:, 4:][rng.random((n, 4)) < 0.1] = np.nan
    return Planted(X, action, chance[at, drawn], outcome, base.astype(np.float64), effects.astype(np.float64))
