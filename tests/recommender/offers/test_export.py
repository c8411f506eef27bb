"""The plan as rows: by the same chances as the day decides."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.bundles.vocabulary import Vocabulary
from recommender.offers.decide import decide
from recommender.offers.export import BLOCK, first_chances, rows
from recommender.offers.plan_files import SEEN_DAYS, OfferPlan

U, OFFERS = 40, ("a", "b", "c")


def plan(visitors: int = U) -> OfferPlan:
    rng = np.random.default_rng(5)
    shape = (visitors + 1, len(OFFERS))
    arrays = {
        "users": Vocabulary.build(f"u{number:06}" for number in range(visitors)).array,
        "gain": rng.normal(50, 100, shape).astype(np.float32),
        "cost": rng.uniform(0, 80, shape).astype(np.float32),
        "lift": rng.normal(0, 0.1, shape).astype(np.float32),
        "eligible": rng.random(shape) < 0.7,
        "chosen": rng.integers(-1, 3, visitors + 1).astype(np.int16),
        "weight": np.ones(visitors + 1, np.float32),
        "group": rng.integers(0, 2, visitors + 1).astype(np.uint8),
        "shift": rng.normal(0, 40, (7, 2, 3)).astype(np.float32),
        "seen": np.zeros((visitors + 1, SEEN_DAYS), np.uint8),
    }
    manifest = {"offers": list(OFFERS), "prices": {"a": 0.5, "b": 0.0, "c": 0.0, "": 0.25}, "pace": [1 / 168] * 168}
    return OfferPlan.of(arrays, manifest)


@pytest.mark.law
def test_chances_are_those_that_the_day_decides_by() -> None:
    made = plan()
    told = first_chances(made, np.arange(U), 0.2)
    prices = np.array([made.prices[name] + made.prices[""] for name in OFFERS])
    for row in range(U):
        columns = np.flatnonzero(made.eligible[row])
        choice = decide(made, row, columns, prices[columns], 1, exploration=0.2, n=1)
        assert told[row, columns] == pytest.approx(choice.propensity)
        assert told[row].sum() == pytest.approx(choice.propensity.sum())


def test_a_row_for_each_eligible_offer_of_each_visitor() -> None:
    made = plan()
    (batch,) = rows(made, 0.1)
    told = batch.to_pylist()
    assert len(told) == made.eligible[:-1].sum(), "the stranger is not among them"
    first = next(one for one in told if (one["user_id"], one["offer_id"]) == ("u000003", "b"))
    gain, cost = float(made.gain[3, 1]), float(made.cost[3, 1])
    assert first["expected_profit"] == gain - cost
    assert (first["uplift_money"], first["expected_cost"], first["uplift"]) == (gain, cost, float(made.lift[3, 1]))
    assert first["chosen"] == (made.chosen[3] == 1)
    assert first["eligible"] is True


def test_of_one_offer_and_without_some_visitors() -> None:
    made = plan()
    (batch,) = rows(made, 0.1, left_out=["u000003", "nobody"], offer="b")
    users = batch["user_id"].to_pylist()
    assert set(batch["offer_id"].to_pylist()) == {"b"}
    assert users == [f"u{row:06}" for row in range(U) if made.eligible[row, 1] and row != 3]


def test_many_visitors_come_in_blocks() -> None:
    made = plan(BLOCK + 5)
    sizes = [len(batch) for batch in rows(made, 0.0)]
    assert len(sizes) == 2
    assert sum(sizes) == made.eligible[:-1].sum()
