"""Curves by values worked by hand, by scikit-uplift's numbers, and by orders whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from portraits.errors import InvalidValue
from recommender.effects.curves import Ranked, auuc, qini, qini_curve, qini_ratio, uplift_at_k, uplift_curve

PREDICTED = [5, 4, 3, 2, 1, 0]
TREATED = [1, 0, 1, 0, 1, 0]
BOUGHT = [1, 0, 1, 1, 0, 1]
GOLDEN = {
    "qini_auc_score": 0.11973298878058279,
    "qini_curve": 231.11909989884484,
    "uplift_curve": 396.3786496034875,
    "uplift_at_0.1": 1 / 3,
    "uplift_at_0.25": 2 / 9,
    "uplift_at_0.5": 0.3055555555555556,
}


def test_by_hand() -> None:
    """After 2: Y_t 1 of 1, Y_c 0 of 1. After 4: 2 of 2 and 1 of 2. After 6: 2 of 3 and 2 of 3."""
    ranked = Ranked.of(np.array(PREDICTED), np.array(TREATED), np.array(BOUGHT))
    curve = qini_curve(ranked)
    assert curve.share.tolist() == pytest.approx([at / 6 for at in range(7)])
    steps = [0, 1, 1 - 0 * 1 / 1, 2 - 0 * 2 / 1, 2 - 1 * 2 / 2, 2 - 1 * 3 / 2, 2 - 2 * 3 / 3]
    assert curve.gain.tolist() == pytest.approx([step / 3 for step in steps])
    area = (0 / 2 + 1 + 1 + 2 + 1 + 0.5 + 0 / 2) / 3 / 6
    assert qini(ranked).value == pytest.approx(area - 0 / 2)
    gains = [0, 1 * 1 / 6, (1 - 0) * 2 / 6, (1 - 0) * 3 / 6, (1 - 1 / 2) * 4 / 6, (2 / 3 - 1 / 2) * 5 / 6, 0]
    assert uplift_curve(ranked).gain.tolist() == pytest.approx(gains)
    assert auuc(ranked).value == pytest.approx(sum(gains) / 6)
    assert uplift_at_k(ranked, 1 / 2).value == pytest.approx(2 / 2 - 0 / 1)
    assert uplift_at_k(ranked, 2 / 3).value == pytest.approx(2 / 2 - 1 / 2)


def test_weights_by_hand() -> None:
    """One treated row of propensity 1/4 stands for four, so Y_t / N_t is 4 x 1 + 1 x 0 over 5."""
    ranked = Ranked.of(
        np.array([2, 1, 0, 0]), np.array([1, 1, 0, 0]), np.array([1, 0, 1, 0]), np.array([0.25, 1, 1, 1])
    )
    assert uplift_curve(ranked).gain[-1] == pytest.approx(4 / 5 - 1 / 2)
    assert uplift_curve(ranked).share.tolist() == pytest.approx([0, 4 / 7, 5 / 7, 1])
    assert qini_curve(ranked).gain[-1] == pytest.approx((4 - 1 * 5 / 2) / 5)


def test_as_scikit_uplift_says() -> None:
    """Computed once with scikit-uplift 0.5.1: qini_auc_score(negative_effect=True), areas under its qini_curve and
    uplift_curve, uplift_at_k(strategy="overall"). Its curves are counts: rows, and treated rows."""
    at = np.arange(60)
    predicted, treated = (at * 37 % 60) / 10.0, at * 7 % 5 < 3
    bought = ((at * 13 % 11) < np.where(treated, 3 + predicted / 2, 4)).astype(float)
    ranked = Ranked.of(predicted, treated, bought)
    rows, with_it = 60, int(treated.sum())
    assert qini_ratio(ranked) == pytest.approx(GOLDEN["qini_auc_score"])
    end = qini_curve(ranked).gain[-1]
    assert (qini(ranked).value + end / 2) * rows * with_it == pytest.approx(GOLDEN["qini_curve"])
    assert auuc(ranked).value * rows**2 == pytest.approx(GOLDEN["uplift_curve"])
    for k in (0.1, 0.25, 0.5):
        assert uplift_at_k(ranked, k).value == pytest.approx(GOLDEN[f"uplift_at_{k}"])


def test_random_orders_are_nothing_and_the_truth_is_best() -> None:
    rng = np.random.default_rng(0)
    effect = rng.uniform(-0.3, 0.3, 10_000)
    treated = rng.random(10_000) < 0.3
    bought = (rng.random(10_000) < 0.4 + treated * effect).astype(float)
    best = Ranked.of(effect, treated, bought)
    blind = Ranked.of(rng.random(10_000), treated, bought)
    worst = Ranked.of(-effect, treated, bought)
    found = qini(best)
    assert found.value > 5 * abs(qini(blind, draws=2).value)
    assert found.value == pytest.approx(-qini(worst, draws=2).value, rel=0.01)
    assert found.low < 0.05 < found.high, "integral of x (0.3 - 0.3 x) over 0..1, that is 0.3 / 6"
    found = qini(blind)
    assert found.low < 0 < found.high
    top = uplift_at_k(best, 0.1)
    assert top.low < 0.27 < top.high


def test_equals_are_one_step_in_whatever_order() -> None:
    predicted, treated, bought = np.array([1, 1, 1, 0]), np.array([1, 0, 1, 0]), np.array([1, 0, 0, 1])
    turned = [2, 1, 0, 3]
    one, two = Ranked.of(predicted, treated, bought), Ranked.of(predicted[turned], treated[turned], bought[turned])
    assert qini_curve(one).gain.tolist() == qini_curve(two).gain.tolist()
    assert qini_curve(one).share.tolist() == pytest.approx([0, 3 / 4, 1])


def test_intervals_are_over_units() -> None:
    """The same row a hundred times is one visitor: hardly anything is known."""
    rng = np.random.default_rng(1)
    treated, bought = rng.random(40) < 0.5, rng.random(40)
    predicted, unit = rng.random(40), np.arange(40)
    once = auuc(Ranked.of(predicted, treated, bought, unit=unit))
    often = auuc(
        Ranked.of(*(np.repeat(array, 100) for array in (predicted, treated, bought)), unit=np.repeat(unit, 100))
    )
    assert often.value == pytest.approx(once.value)
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.01)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        effect = rng.uniform(-0.3, 0.3, 800)
        treated = rng.random(800) < 0.5
        bought = (rng.random(800) < 0.4 + treated * effect).astype(float)
        found = uplift_at_k(Ranked.of(effect, treated, bought), 0.5, seed=seed, draws=60)
        covered += found.low <= 0.15 <= found.high
    assert covered >= 52


@pytest.mark.parametrize("side", [0, 1])
def test_one_side_tells_nothing(side: int) -> None:
    ranked = Ranked.of(np.arange(5), np.full(5, side), np.ones(5))
    assert np.isnan([qini(ranked).value, auuc(ranked).value, uplift_at_k(ranked, 0.5).value]).all()
    assert qini(ranked).as_json() is None


def test_no_rows() -> None:
    assert np.isnan(qini(Ranked.of(*np.zeros((3, 0)))).value)


def test_what_cannot_be() -> None:
    whole = Ranked.of(np.arange(4), np.array([1, 0, 1, 0]), np.arange(4))
    with pytest.raises(InvalidValue, match="k = 0"):
        uplift_at_k(whole, 0)
    with pytest.raises(InvalidValue, match="outcome"):
        qini_ratio(whole)
    with pytest.raises(InvalidValue, match="treated"):
        Ranked.of(np.arange(4), np.ones(3), np.ones(4))
    with pytest.raises(InvalidValue, match="propensity"):
        Ranked.of(np.arange(2), np.ones(2), np.ones(2), np.array([0.5, 0.0]))
