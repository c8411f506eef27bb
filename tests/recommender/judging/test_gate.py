"""The gate on planted metrics: who wins is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recommender.judging import gate
from recommender.judging.evaluate import Judged

RNG = np.random.default_rng(0)
USERS = RNG.random(400) / 2


def judged(name: str, everything: float, new: float = 0.0, noise: float = 0.0) -> Judged:
    """A contestant whose NDCG is the users' own level plus a lead, blurred by noise."""
    blur = np.random.default_rng(len(name)).normal(0, noise, len(USERS)) if noise else 0.0
    values = {"all": {"ndcg": USERS + everything + blur}, "new": {"ndcg": USERS + new + blur}}
    return Judged(name, values, {})


@pytest.mark.parametrize(
    ("ours", "active", "first_night", "verdict"),
    [
        ((0.2, 0.1), None, True, "publish"),
        ((0.2, -0.1), None, True, "popular"),
        ((-0.1, 0.2), None, True, "popular"),
        ((0.2, 0.1), (0.1, 0.1), False, "publish"),
        ((0.2, 0.1), (0.3, 0.1), False, "hold"),
        ((-0.2, -0.1), (-0.3, -0.3), False, "hold"),
        ((0.0, 0.0), (0.0, 0.0), False, "publish"),
    ],
)
def test_verdicts(
    ours: tuple[float, float], active: tuple[float, float] | None, first_night: bool, verdict: str
) -> None:
    rival = None if active is None else judged("active", *active)
    decision = gate.decide(judged("served", *ours), judged("popular", 0), rival, first_night=first_night, seed=0)
    assert decision.verdict == verdict
    assert any(comparison.lost for comparison in decision.comparisons) == (verdict != "publish")


def test_a_loss_that_noise_explains_is_no_loss() -> None:
    ours = judged("served", -0.001, -0.001, noise=0.2)
    assert gate.decide(ours, judged("popular", 0), None, first_night=True, seed=0).verdict == "publish"


def test_the_sentence_names_the_worst_loss() -> None:
    decision = gate.decide(judged("served", 0.1, -0.2), judged("popular", 0), None, first_night=True, seed=0)
    assert "popular over new items" in decision.sentence
    assert "-0.2000" in decision.sentence
    assert json.loads(json.dumps(decision.as_json()))["comparisons"][1]["lost"] is True


def test_nobody_to_judge_is_no_loss() -> None:
    empty = Judged("served", {part: {"ndcg": np.empty(0)} for part in ("all", "new")}, {})
    assert gate.decide(empty, empty, None, first_night=True, seed=0).verdict == "publish"


@pytest.mark.parametrize(
    ("ndcg", "value", "verdict"), [(-0.1, 2.0, "publish"), (0.1, -2.0, "hold"), (-0.1, 0.0, "hold")]
)
def test_where_worth_is_known_value_decides(ndcg: float, value: float, verdict: str) -> None:
    """A gain of value is worth a loss of NDCG; a loss of value is a loss."""

    def earning(name: str, level: float, worth: float) -> Judged:
        values = {part: {"ndcg": USERS + level, "value": 10 * USERS + worth} for part in ("all", "new")}
        return Judged(name, values, {})

    decision = gate.decide(
        earning("served", ndcg, value), earning("popular", -0.5, -5), earning("active", 0, 0), first_night=False, seed=0
    )
    assert decision.verdict == verdict
    assert {one["metric"] for one in decision.as_json()["comparisons"]} == {"ndcg", "value"}
