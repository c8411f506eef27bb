"""Shifts of the log odds: found where there are any, near the rule where rows are few."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from recommender.effects.odds import Odds, Rule, expit, fit_odds, logit
from recommender.effects.rows import NONE, Floats, rows_of
from recommender.effects.scores import Crossfitted

OFFERS = 3


@dataclass(frozen=True)
class Shop:
    """Visitors keen by feature 0, each offer moving who takes discounts (feature 1) by its depth."""

    X: NDArray[np.float32]
    action: NDArray[np.int64]
    bought: Floats
    effects: Floats

    def learnt(self, rule: Rule | None = None, season: Floats | None = None) -> Odds:
        chance = np.full(len(self.X), 1 / (OFFERS + 1))
        rows = rows_of(self.X, self.action, chance, self.bought, OFFERS, season=season)
        return fit_odds(rows, Crossfitted.fit(rows, 0), 0, rule)


def depths(X: NDArray[np.float32]) -> Floats:
    return np.clip(X[:, [1]], 0, None) * np.array([0.5, 1.0, 1.5])


def shop(n: int, seed: int, scale: float = 1.0) -> Shop:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)).astype(np.float32)
    start, shift = X[:, 0] - 0.5, scale * depths(X)
    action = rng.integers(NONE, OFFERS, n)
    moved = np.where(action >= 0, shift[np.arange(n), action.clip(0)], 0.0)
    bought = (rng.random(n) < expit(start + moved)).astype(np.float64)
    return Shop(X, action, bought, expit(start[:, None] + shift) - expit(start)[:, None])


def test_a_chance_of_a_half_is_even_odds() -> None:
    assert logit(np.array([0.5, 0.0])).tolist() == [0, logit(np.array([0.01]))[0]]
    assert expit(np.array([0.0]))[0] == 0.5


def test_a_rule_that_is_right_needs_few_rows() -> None:
    new, found = shop(2_000, 1), []
    for seed in range(3):
        seen = shop(600, 10 * seed)
        told = [seen.learnt(rule).effects(new.X).ravel() for rule in (depths, None)]
        found.append([np.corrcoef(one, new.effects.ravel())[0, 1] for one in told])
    with_rule, without = np.mean(found, axis=0)
    assert with_rule > 0.8
    assert with_rule > without + 0.1


def test_many_rows_correct_a_rule_that_is_wrong() -> None:
    seen, new = shop(20_000, 2, scale=0.25), shop(2_000, 3, scale=0.25)
    told = seen.learnt(depths).effects(new.X)
    by_rule = shop(2_000, 3).effects
    assert np.abs(told - new.effects).mean() < 0.5 * np.abs(by_rule - new.effects).mean()


def test_without_a_rule_who_is_moved_is_learnt() -> None:
    seen, new = shop(20_000, 4), shop(2_000, 5)
    told = seen.learnt().effects(new.X)
    assert np.corrcoef(told.ravel(), new.effects.ravel())[0, 1] > 0.8
    assert told.mean(axis=0) == pytest.approx(new.effects.mean(axis=0), abs=0.03)


@pytest.mark.parametrize("rule", [None, lambda X: np.full((len(X), OFFERS), 1.5)])
def test_one_field_of_many_moves_visitors_in_opposite_directions(rule: Rule | None) -> None:
    """Also beside a rule that knows nothing of it and says too much."""
    rng = np.random.default_rng(8)
    X = rng.normal(size=(6_000, 50)).astype(np.float32)
    shift = X[:, [3]] * np.array([0.8, -0.8, 0.8])
    action = rng.integers(NONE, OFFERS, len(X))
    moved = np.where(action >= 0, shift[np.arange(len(X)), action.clip(0)], 0.0)
    bought = (rng.random(len(X)) < expit(0.5 * X[:, 0] - 0.5 + moved)).astype(np.float64)
    start = 0.5 * X[:, [0]] - 0.5
    told = Shop(X, action, bought, expit(start + shift) - expit(start))
    assert np.corrcoef(told.learnt(rule).effects(X).ravel(), told.effects.ravel())[0, 1] > 0.9


def test_a_season_is_no_effect() -> None:
    """All offers run when everybody buys more."""
    seen = shop(8_000, 6, scale=0.0)
    rng = np.random.default_rng(7)
    late = seen.action >= 0
    more = late & (seen.bought == 0) & (rng.random(8_000) < 0.2)
    added = float(more[late].mean())
    busy = Shop(seen.X, seen.action, seen.bought + more, seen.effects)
    assert busy.learnt().effects(seen.X).mean() > 0.08
    assert busy.learnt(season=late * added).effects(seen.X).mean() == pytest.approx(0, abs=0.03)
