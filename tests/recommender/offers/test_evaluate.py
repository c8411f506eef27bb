"""What a plan would earn: told from planted trials by known chances, beside the truth they were made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted_answers import at, lake_of
from planted_coupons import CATALOGUE, SETTINGS
from planted_plan import plan

from portraits.engine import connect
from portraits.errors import NothingThere
from recommender.offers.evaluate import POLICIES, Evaluation, evaluate, evaluations
from recommender.offers.trials import Trials

USERS = 600
GAIN = {"tea": 60.0, "cup": 20.0}
COST = {"tea": 20.0, "cup": 30.0}
"""A visitor of the first half gains by tea, one of the second half by nothing; each offer costs whoever gets it."""
PLAN = plan(
    [*[[60, 20]] * (USERS // 2), *[[0, 0]] * (USERS // 2 + 1)],
    [[20, 30]] * (USERS + 1),
    users=[f"u{n:03}" for n in range(USERS)],
    offers=["tea", "cup"],
)
SURE = replace(SETTINGS, offer_exploration=0.0)
CHANCES = [0.3, 0.2, 0.5]
"""Of tea, cup and none in the log."""


def logged(seed: int = 0, size: int = 6_000) -> Trials:
    rng = np.random.default_rng(seed)
    who = rng.integers(0, USERS, size)
    action = rng.choice([0, 1, -1], size, p=CHANCES)
    first_half = who < USERS // 2
    cost = np.where(action == 0, COST["tea"], np.where(action == 1, COST["cup"], 0.0))
    gain = np.where(action == 0, GAIN["tea"], np.where(action == 1, GAIN["cup"], 0.0)) * first_half
    margin = gain + 40 * rng.exponential(size=size)
    nothing, no = np.zeros(size), np.zeros(size, bool)
    return Trials(
        offers=("tea", "cup"),
        user_id=[f"u{n:03}" for n in who],
        at_us=np.arange(size),
        action=action.astype(np.int32),
        propensity=np.array([*CHANCES[:2], CHANCES[2]])[action],
        intended=action.astype(np.int32),
        control=no,
        exposed=no,
        bought=nothing,
        margin=margin,
        revenue=margin,
        cost=cost,
        X=first_half[:, None].astype(np.float32),
        names=("first half",),
        complete=~no,
    )


@pytest.fixture(scope="module")
def found() -> dict[str, Evaluation]:
    return {one.policy: one for one in evaluations(PLAN, logged(), SURE)}


TRUTH = {"plan": (60 - 20) / 2, "everybody": 60 / 2 - 20, "nobody": 0.0}
"""The plan gives tea to the first half and nothing to the rest; everybody gets tea otherwise."""


def test_each_policy_is_worth_what_it_was_made_to_be(found: dict[str, Evaluation]) -> None:
    for policy in ("plan", "everybody"):
        assert list(found[policy].gains) == ["IPS", "SNIPS", "DR"]
        for name, one in found[policy].gains.items():
            assert one.low <= TRUTH[policy] <= one.high, (policy, name)
            assert not one.warnings
    assert found["plan"].cost.value == pytest.approx(20 / 2, abs=1)
    assert found["everybody"].cost.value == pytest.approx(20)
    gains = found["plan"].gains
    assert gains["DR"].error < gains["SNIPS"].error < gains["IPS"].error


def test_nothing_given_is_worth_nothing(found: dict[str, Evaluation]) -> None:
    assert all(one.value == 0 for one in found["nobody"].gains.values())
    assert found["nobody"].cost.value == 0


def test_an_offer_that_was_never_given_is_said() -> None:
    new = plan([[9.0]] * (USERS + 1), [[1.0]] * (USERS + 1), users=[f"u{n:03}" for n in range(USERS)], offers=["new"])
    told = evaluations(new, logged(size=500), SURE)[POLICIES.index("everybody")]
    assert any("100% of what the policy would do was never tried" in line for line in told.warnings)
    for one in told.as_json()["profit_an_answer"].values():
        assert (one["value"], one["low"], one["says"]) == (None, None, "too few to tell")


def test_what_was_hardly_tried_is_not_taken_for_the_rest() -> None:
    """A third of the visitors would be given an offer of which the log has 20 answers, each with a chance of its own:
    what the other two thirds tell is not what the plan would bring."""
    gain = [[60, 20, 0]] * (USERS // 3 * 2) + [[0, 0, 90]] * (USERS // 3 + 1)
    names = ["tea", "cup", "new"]
    offers = plan(gain, [[1, 1, 1]] * (USERS + 1), users=[f"u{n:03}" for n in range(USERS)], offers=names)
    rare = replace(logged(size=3_000), offers=tuple(names))
    rare.action[:20] = 2
    told = evaluations(offers, rare, SURE)[POLICIES.index("plan")]
    assert {one.says for one in told.gains.values()} == {"too few to tell"}
    assert all(np.isnan(one.value) for one in told.gains.values())
    assert any("% of what it would do was tried fewer than 30 times" in line for line in told.warnings)


def test_a_history_without_chances_says_so(tmp_path: Path) -> None:
    with pytest.raises(NothingThere, match="known chances"):
        evaluate(lake_of(tmp_path, [], [], **CATALOGUE), SURE, PLAN, (at(0), at(9)), connect(threads=1))
