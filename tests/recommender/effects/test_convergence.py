"""A law of estimates: the more rows, the nearer to the truth, for offers that do much, little, nothing, or harm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from recommender.effects.choice import choose
from recommender.effects.learners import LEARNERS, Lesson
from recommender.effects.odds import Rule
from recommender.effects.rows import Floats, rows_of

pytestmark = pytest.mark.law
EFFECTS = np.array([0.5, 0.03, -0.1, 0.0])
FEW, MANY = 1_200, 24_000
RULES: dict[str, Rule | None] = {
    "choose": None,
    "choose by a rule of nothing": lambda X: np.zeros((len(X), 4)),
    "choose by a rule that is wrong": lambda X: np.tile([-0.5, 0.5, 0.5, 0.5], (len(X), 1)),
}
NEW = np.random.default_rng(9).normal(size=(2_000, 4)).astype(np.float32)


@dataclass(frozen=True)
class Found:
    """Effects on new visitors by who told them. compared: what a mere comparison says of the strong offer."""

    told: dict[str, Floats]
    compared: float

    def error(self, name: str) -> float:
        """Root mean squared, over visitors and offers."""
        return float(np.sqrt(((self.told[name] - EFFECTS) ** 2).mean()))


def given(n: int, seed: int) -> tuple[Any, ...]:
    """n visitors who differ in what they buy, four offers or none by a fair lot."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)).astype(np.float32)
    action = rng.integers(-1, len(EFFECTS), n)
    chance = 0.2 + 0.08 * np.tanh(X[:, 0]) + np.append(EFFECTS, 0.0)[action]
    return X, action, np.full(n, 0.2), (rng.random(n) < chance).astype(np.float64)


def learnt(n: int, seed: int) -> Found:
    rows = given(n, seed)
    lesson = Lesson.of(rows_of(*rows), 0)
    told = {name: make().fit_lesson(lesson).effects(NEW) for name, make in LEARNERS.items()}
    told |= {name: choose(*rows, 4, 0, rule=rule).effects(NEW) for name, rule in RULES.items()}
    _, action, _, bought = rows
    return Found(told, bought[action == 0].mean() - bought[action < 0].mean())


@pytest.fixture(scope="module")
def few() -> list[Found]:
    return [learnt(FEW, seed) for seed in range(3)]


@pytest.fixture(scope="module")
def many() -> Found:
    return learnt(MANY, 7)


EVERY = pytest.mark.parametrize("name", [*sorted(LEARNERS), *RULES])


@EVERY
def test_the_error_falls_with_rows(few: list[Found], many: Found, name: str) -> None:
    before = np.mean([one.error(name) for one in few])
    assert many.error(name) < 0.6 * before
    assert many.error(name) < 0.03


@EVERY
def test_the_truth_is_reached_however_large_it_is(many: Found, name: str) -> None:
    """Within 2.5 standard errors of a mere comparison (.0083 for the strongest)."""
    assert many.told[name].mean(axis=0) == pytest.approx(EFFECTS, abs=0.021)


@EVERY
def test_of_few_rows_a_strong_offer_is_told_as_strong(few: list[Found], name: str) -> None:
    """Of 240 rows each, also by a rule that says the opposite: beside a mere comparison no more than a sixth is held
    back."""
    told = np.mean([one.told[name][:, 0].mean() for one in few])
    assert 5 / 6 < told / np.mean([one.compared for one in few]) < 1.05
