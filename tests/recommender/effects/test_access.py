"""Offers that their visitor could not have had: comparisons with none go without those rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from portraits.errors import InvalidValue
from recommender.effects.access import levelled
from recommender.effects.choice import choose
from recommender.effects.learners import LEARNERS, Lesson
from recommender.effects.rows import NONE, Floats, rows_of

N = 16_000
EFFECTS = [0.06, 0.03]


@dataclass(frozen=True)
class Shop:
    """Rows, and what could have been given in each: [n, 2]."""

    X: NDArray[np.float32]
    action: NDArray[np.int64]
    propensity: Floats
    bought: Floats
    could: NDArray[np.bool_]

    @property
    def given(self) -> tuple[Any, ...]:
        return self.X, self.action, self.propensity, self.bought


@pytest.fixture(scope="module")
def shop() -> Shop:
    """Half of the visitors buy twice as often as the others, which no feature says; they have used up offer 1. Of what
    may be given each is as likely, and none, too. Offers do to everybody the same."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 3)).astype(np.float32)
    keen = rng.random(N) < 0.5
    could = np.stack([np.ones(N, bool), ~keen], axis=1)
    action = np.where(keen, rng.integers(NONE, 1, N), rng.integers(NONE, 2, N))
    mean = np.where(keen, 0.4, 0.2) + 0.03 * X[:, 0].clip(-2, 2) + np.array([*EFFECTS, 0.0])[action]
    bought = (rng.random(N) < mean).astype(np.float64)
    return Shop(X, action, np.where(keen, 1 / 2, 1 / 3), bought, could)


@pytest.mark.parametrize("name", [*sorted(LEARNERS), "choose"])
def test_who_could_not_have_it_says_nothing_of_it(shop: Shop, name: str) -> None:
    """A plain comparison is off by .07 and says that offer 1 keeps visitors from buying."""

    def told(could: NDArray[np.bool_] | None) -> Floats:
        if name == "choose":
            return choose(*shop.given, 2, 0, rule=lambda X: np.full((len(X), 2), 0.1), could=could).effects(shop.X)
        return LEARNERS[name]().fit(*shop.given, seed=0, could=could).effects(shop.X)

    assert told(None).mean(axis=0)[1] < 0
    assert told(shop.could).mean(axis=0) == pytest.approx(EFFECTS, abs=0.02)


def test_averages_are_of_those_who_could_have_it(shop: Shop) -> None:
    """The offer adds .2 to those who could have it and would take .2 from the others."""
    rng = np.random.default_rng(1)
    only = np.where(shop.action == 1, NONE, shop.action)
    could = rng.random((N, 1)) < 0.5
    action = np.where((only == 0) & could[:, 0], 0, NONE)
    bought = (rng.random(N) < np.where(action == 0, 0.5, np.where(could[:, 0], 0.3, 0.6))).astype(np.float64)
    chance = np.where(could[:, 0], (only[could[:, 0]] == 0).mean(), 1.0)
    propensity = np.where(action == 0, chance, np.where(could[:, 0], 1 - chance, 1.0))
    nothing = np.zeros((N, 0), np.float32)
    found = Lesson.of(rows_of(nothing, action, propensity, bought, could=could), 0)
    assert found.average.mean == pytest.approx([0.2], abs=0.03)
    assert (found.scores[~could[:, 0]] == 0).all()


def test_nothing_to_level_leaves_the_rows(shop: Shop) -> None:
    rows = rows_of(*shop.given)
    assert levelled(rows, 0) is rows


def test_what_was_given_could_be_and_shapes_are_looked_at(shop: Shop) -> None:
    rows = rows_of(*shop.given, could=np.zeros((N, 2), bool))
    assert (rows.could.sum(axis=1) == (shop.action >= 0)).all()
    assert rows.beside.tolist() == [0, 0]
    with pytest.raises(InvalidValue, match="could"):
        rows_of(*shop.given, could=np.ones((N, 3), bool))


def test_where_no_offer_could_be_had_instead_of_none_nothing_is_told(shop: Shop) -> None:
    """And the account is JSON all the same."""
    found = choose(*shop.given, 2, 0, could=np.zeros((N, 2), bool))
    assert found.effects(shop.X) == pytest.approx(0.0)
    assert "NaN" not in json.dumps(found.account)
