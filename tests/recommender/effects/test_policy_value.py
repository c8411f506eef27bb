"""Off-policy estimates: by hand from the published formulas, beside another implementation, and on planted logs."""

from __future__ import annotations

from math import isnan
from pathlib import Path

import numpy as np
import numpy.typing as npt
import open_bandit_logs
import pytest
from open_bandit_logs import DISTINCT, POLICIES, TRUTH, as_other, averaged, covers, even

from portraits.errors import InvalidValue
from portraits.lake import Lake
from recommender.effects.policy_value import FEWEST, TOO_FEW, Estimate, Floats, Log, dr, ips, predict, snips

ACTIONS = 4
Table = npt.NDArray[np.float32]


def test_values_worked_by_hand() -> None:
    """Three rows; the policy asked about does action 0 with .6, action 1 with .4."""
    log = Log(np.array([0, 1, 1]), np.array([0.5, 0.5, 0.25]), np.array([10.0, 4.0, 2.0]))
    target = np.tile([0.6, 0.4], (3, 1))
    w = [0.6 / 0.5, 0.4 / 0.5, 0.4 / 0.25]
    assert ips(log, target).value == pytest.approx((w[0] * 10 + w[1] * 4 + w[2] * 2) / 3)
    assert snips(log, target).value == pytest.approx((w[0] * 10 + w[1] * 4 + w[2] * 2) / (w[0] + w[1] + w[2]))
    guess = np.tile([8.0, 3.0], (3, 1))
    direct = 0.6 * 8 + 0.4 * 3
    assert dr(log, target, guess).value == pytest.approx(direct + (w[0] * (10 - 8) + w[1] * (4 - 3) + w[2] * -1) / 3)
    assert ips(log, target).effective_size == pytest.approx(sum(w) ** 2 / sum(one**2 for one in w))
    mean = (12 + 3.2 + 3.2) / 3
    squares = [(part - mean) ** 2 for part in (w[0] * 10, w[1] * 4, w[2] * 2)]
    assert ips(log, target).error == pytest.approx((sum(squares) / 2 / 3) ** 0.5)


def test_the_same_values_as_open_bandit_pipeline() -> None:
    """obp 0.3.3 on these rows: its InverseProbabilityWeighting, SelfNormalized..., and DoublyRobust."""
    k = np.arange(40)
    action = (k * 7) % 3
    log = Log(action, np.array([0.2, 0.3, 0.5])[action], ((k * k + 3 * k) % 5).astype(float))
    target = np.stack([0.1 + 0.02 * (k % 10), 0.5 - 0.03 * (k % 10), 0.4 + 0.01 * (k % 10)], axis=1)
    guess = np.stack([1 + 0.1 * (k % 4), 2 - 0.1 * (k % 3), 1.5 + 0 * k], axis=1)
    assert ips(log, target).value == pytest.approx(2.132)
    assert snips(log, target).value == pytest.approx(2.086786296900489)
    assert dr(log, target, guess).value == pytest.approx(2.132608333333333)


def world(seed: int, size: int = 1_000) -> tuple[Table, Log, Floats, Floats]:
    """(features, log, policy asked about, true mean reward [n, A]): two rows a visitor, who has a mood of its own."""
    rng = np.random.default_rng(seed)
    visitor = np.arange(size) % (size // 2)
    x = rng.normal(size=size // 2)[visitor]
    mood = 0.5 * rng.normal(size=size // 2)[visitor]
    drawn = np.exp(np.stack([0 * x, 0.8 * x, -0.8 * x, 0.5 + 0 * x], axis=1))
    chance = drawn / drawn.sum(axis=1, keepdims=True)
    action = (chance.cumsum(axis=1) < rng.random((size, 1))).sum(axis=1)
    mean = np.stack([1 + 0 * x, 1 + x, 1 - x, 0.5 + 0 * x], axis=1)
    at = np.arange(size), action
    reward = mean[at] + mood + rng.normal(size=size)
    target = np.full((size, ACTIONS), 0.05)
    target[np.arange(size), np.where(x > 0, 1, 2)] = 0.85
    return x[:, None].astype(np.float32), Log(action, chance[at], reward, visitor), target, mean


VALUE = 0.85 * (1 + (2 / np.pi) ** 0.5) + 0.05 * (1 + 1 - (2 / np.pi) ** 0.5 + 0.5)
"""Of the policy asked about in `world`: E|x| of a standard normal is the square root of 2 / pi."""
ALWAYS_FIRST = 1.0


def study(seeds: int) -> dict[str, list[Estimate]]:
    found: dict[str, list[Estimate]] = {}
    for seed in range(seeds):
        _, log, target, mean = world(seed)
        base = np.zeros_like(target)
        base[:, 0] = 1
        told = {
            "ips": ips(log, target),
            "snips": snips(log, target),
            "dr good": dr(log, target, mean),
            "dr bad": dr(log, target, 7 - 3 * mean),
            "dr less": dr(log, target, mean, base),
            "snips less": snips(log, target, base),
        }
        for name, one in told.items():
            found.setdefault(name, []).append(one)
    return found


def test_intervals_hold_and_a_good_model_helps_while_a_bad_one_does_not_bend() -> None:
    seeds = 200
    found = study(seeds)
    spread = {name: float(np.std([one.value for one in told])) for name, told in found.items()}
    for name, told in found.items():
        truth = VALUE - (ALWAYS_FIRST if name.endswith("less") else 0)
        held = np.mean([one.low <= truth <= one.high for one in told])
        assert held >= 0.95 - 3 * (0.95 * 0.05 / seeds) ** 0.5, name
        bias = np.mean([one.value for one in told]) - truth
        assert abs(bias) < 4 * spread[name] / seeds**0.5, name
    assert spread["dr good"] < spread["snips"] < spread["ips"] < spread["dr bad"]


def test_a_model_that_was_learnt_from_the_other_visitors_is_nearly_as_good() -> None:
    X, log, target, mean = world(0, 4_000)
    guess = predict(X, log, ACTIONS)
    assert np.corrcoef(guess.ravel(), mean.ravel())[0, 1] > 0.85
    learnt, best = dr(log, target, guess), dr(log, target, mean)
    assert learnt.value == pytest.approx(best.value, abs=best.error / 2)
    assert learnt.error == pytest.approx(best.error, rel=0.1)


def test_the_bootstrap_agrees_where_nothing_is_skewed() -> None:
    _, log, target, _ = world(0)
    by_formula, drawn = snips(log, target), snips(log, target, draws=300, seed=0)
    assert drawn.high - drawn.low == pytest.approx(by_formula.high - by_formula.low, rel=0.15)
    assert drawn == snips(log, target, draws=300, seed=0)


def test_rows_of_one_visitor_are_no_new_evidence() -> None:
    _, log, target, _ = world(0)
    twice = log.take(np.tile(np.arange(len(log.action)), 2))
    once, more = ips(log, target), ips(twice, np.tile(target, (2, 1)))
    assert (more.value, more.error) == pytest.approx((once.value, once.error))


def test_a_policy_less_itself_is_nothing() -> None:
    _, log, target, mean = world(0)
    for found in (ips(log, target, target), snips(log, target, target), dr(log, target, mean, target)):
        assert found.value == 0
        assert found.says == TOO_FEW


def test_what_was_never_tried_and_what_tells_no_chance_is_said() -> None:
    _, log, target, mean = world(0)
    wider = np.hstack([0.7 * target, np.full((len(target), 1), 0.3)])
    assert any("30% of what the policy would do was never tried" in line for line in ips(log, wider).warnings)
    untold = log.propensity.copy()
    untold[::4] = np.nan
    partly = dr(Log(log.action, untold, log.reward, log.visitor), target, mean)
    assert partly.size == 750
    assert any("250 of 1,000 rows tell no chance" in line for line in partly.warnings)
    assert ips(log, target).warnings == ()


def test_chances_that_cannot_be_true_are_noticed() -> None:
    _, log, target, _ = world(0)
    wrong = Log(log.action, log.propensity / 2, log.reward, log.visitor)
    assert any("the weights are" in line for line in ips(wrong, target).warnings)


def test_few_rows_tell_nothing() -> None:
    _, log, target, _ = world(0)
    few = log.take(np.arange(int(FEWEST)))
    found = snips(few, target[: int(FEWEST)])
    assert found.says == TOO_FEW
    assert isnan(found.low)
    nothing = snips(Log(np.empty(0, int), np.empty(0), np.empty(0)), np.empty((0, 2)))
    assert isnan(nothing.value)
    assert nothing.says == TOO_FEW


def test_what_does_not_fit_is_refused_by_name() -> None:
    _, log, target, mean = world(0)
    with pytest.raises(InvalidValue, match="propensity"):
        Log(log.action, log.propensity[:-1], log.reward)
    with pytest.raises(InvalidValue, match="propensity"):
        Log(log.action, log.propensity + 1, log.reward)
    with pytest.raises(InvalidValue, match="target"):
        ips(log, target[:-1])
    with pytest.raises(InvalidValue, match="action"):
        ips(log, target[:, :2])
    with pytest.raises(InvalidValue, match="base"):
        ips(log, target, target[:, :3])
    with pytest.raises(InvalidValue, match="predicted"):
        dr(log, target, mean[:, :3])


@pytest.mark.real
@pytest.mark.parametrize("campaign", list(DISTINCT))
def test_known_click_rates_of_open_bandit_are_in_the_intervals(real_data: Path, tmp_path: Path, campaign: str) -> None:
    """Thompson sampling told from the random log, and the other way round."""
    items = DISTINCT[campaign]
    random, bts = (open_bandit_logs.shown(real_data, Lake(tmp_path), campaign, one) for one in POLICIES)
    place = np.eye(3, dtype=np.float32)
    for rows, log, target, asked in (
        (random, random.log(), as_other(random, bts, items), "bts"),
        (bts, bts.log(averaged(bts, items)), even(bts, items), "random"),
    ):
        guess = predict(place[rows.place], log, items)
        for found in (ips(log, target), snips(log, target), dr(log, target, guess)):
            assert covers(found, TRUTH[campaign, asked]), (asked, found)
            assert found.effective_size > 1_000
            assert found.warnings == ()


@pytest.mark.real
def test_chances_of_one_in_a_million_tell_nothing(real_data: Path, tmp_path: Path) -> None:
    bts = open_bandit_logs.shown(real_data, Lake(tmp_path), "women", "bts")
    assert bts.chance.min() < 2e-6
    found = ips(bts.log(), even(bts, DISTINCT["women"]))
    assert found.effective_size < 3
    assert found.says == TOO_FEW
