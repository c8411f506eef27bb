"""Beliefs by rules, corrected by what is logged: by hand, and until the truth is found."""

from __future__ import annotations

import numpy as np
import pytest

from portraits.errors import InvalidValue
from recommender.effects.cold import KINDS, Beliefs, kinds
from recommender.effects.rows import NONE, rows_of
from recommender.effects.scores import averages, scores

EXPECTED = np.array([[0.02, 0.0], [0.04, 0.0], [0.1, 0.2]])
GROUP = np.array([0, 0, 2], np.uint8)


def test_groups_of_portraits() -> None:
    found = kinds(
        np.array([0.5, 1.0, 2.0, np.nan]),
        np.array([0.1, 1.0, np.nan, 0.79]),
        np.array(["visitor", "new", "loyal", None]),
    )
    assert found.dtype == np.uint8
    assert found.tolist() == [0, (1 * 2 + 1) * 4 + 1, (2 * 2 + 0) * 4 + 2, (1 * 2 + 0) * 4 + 0]
    assert kinds(np.array([9.0]), np.array([9.0]), np.array(["asleep"])).tolist() == [KINDS - 1]


def test_rules_are_believed_as_doubtful_as_they_are_large() -> None:
    found = Beliefs.of(EXPECTED, GROUP, 3)
    everybody = [0.16 / 3, 0.2 / 3]
    assert found.mean == pytest.approx(np.array([[0.03, 0.0], everybody, [0.1, 0.2]]))
    assert found.sd == pytest.approx(np.array([everybody, everybody, [0.1, 0.2]]))


def test_nobody_and_nothing() -> None:
    found = Beliefs.of(np.zeros((0, 2)), np.zeros(0, np.uint8), 2)
    assert found.mean.tolist() == found.sd.tolist() == [[0, 0], [0, 0]]
    with pytest.raises(InvalidValue, match="group"):
        Beliefs.of(EXPECTED, GROUP[:2], 3)


def test_corrected_by_the_conjugate_law() -> None:
    rng = np.random.default_rng(0)
    action = rng.integers(-1, 2, 400)
    bought = (rng.random(400) < np.where(action == 0, 0.3, 0.1)).astype(float)
    rows = rows_of(np.zeros((400, 1)), action, np.full(400, 1 / 3), bought, 2, group=np.zeros(400))
    told = scores(rows, np.full((400, 3), bought.mean()))
    before = Beliefs.of(EXPECTED, GROUP, 3)
    after = before.updated(told, rows)
    measured, error = averages(told, rows)
    sure, seen = 1 / before.sd[0] ** 2, 1 / error**2
    assert after.mean[0] == pytest.approx((sure * before.mean[0] + seen * measured) / (sure + seen))
    assert after.sd[0] == pytest.approx((sure + seen) ** -0.5)
    assert np.array_equal(after.mean[1:], before.mean[1:])
    assert (after.sd[0] < before.sd[0]).all()


def test_draws_find_the_better_offer() -> None:
    """Rules prefer offer 1; offer 0 is better. Each day every visitor gets the best draw, or none, and the log corrects
    the belief: in the end offer 0 is what is shown."""
    rng = np.random.default_rng(1)
    effect, shown = np.array([0.08, 0.02, 0.0]), []
    start = Beliefs.of(np.tile([0.02, 0.05], (10, 1)), np.zeros(10, np.uint8), 1, doubt=2.0)
    belief, action, chance, bought = start, np.zeros(0, int), np.zeros(0), np.zeros(0)
    for night in range(12):
        drawn = belief.mean[0] + belief.draws(400, night)[:, 0, :]
        best = np.where(drawn.max(axis=1) > 0, drawn.argmax(axis=1), NONE)
        share = np.array([np.mean(best == one) for one in (0, 1, NONE)]) * 0.8 + 0.2 / 3
        today = rng.choice(3, 400, p=share)
        action = np.append(action, np.where(today == 2, NONE, today))
        chance, bought = np.append(chance, share[today]), np.append(bought, rng.random(400) < 0.1 + effect[today])
        rows = rows_of(np.zeros((len(action), 1)), action, chance, bought, 2)
        belief = start.updated(scores(rows, np.full((len(action), 3), bought.mean())), rows)
        shown.append(np.mean(best == 0))
    assert shown[-1] > 0.9 > shown[0]
    assert belief.mean[0, 0] == pytest.approx(0.08, abs=0.03)
