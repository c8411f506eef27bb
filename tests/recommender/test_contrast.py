"""Two arms compared: against arithmetic, against the textbook's test, and how often an interval holds the truth."""

from __future__ import annotations

from math import isnan, sqrt

import numpy as np
import pytest
from scipy.stats import ttest_ind

from recommender.contrast import FEWEST_WITH_ANY, Arm, contrast


def test_expected_values() -> None:
    """Clicks 1 and 3 of 10 shown each: rate 4 / 20; residuals 1 - 2 and 3 - 2, their deviation sqrt(2)."""
    arm = Arm.of(np.array([1.0, 3.0]), np.array([10.0, 10.0]))
    assert arm == Arm(2, 4 / 20, pytest.approx(sqrt(2) / sqrt(2) / 10), 2)
    assert Arm.of(np.array([2.0, 0.0, 4.0])) == Arm(3, 2.0, pytest.approx(2 / sqrt(3)), 2)


def test_a_difference_of_means_is_welchs() -> None:
    rng = np.random.default_rng(0)
    treated, control = rng.gamma(2, 3, 500), rng.gamma(2, 2, 40)
    found = contrast(Arm.of(treated), Arm.of(control))
    expected = ttest_ind(treated, control, equal_var=False).confidence_interval()
    assert found.difference == pytest.approx((treated.mean() - control.mean(), expected.low, expected.high))
    assert found.lift[0] == pytest.approx(treated.mean() / control.mean() - 1)
    assert found.lift[1] < found.lift[0] < found.lift[2]


def test_the_interval_of_a_rate_holds_the_truth_as_often_as_it_says() -> None:
    """Visitors who see more also click more often: as if each answer were drawn alone, intervals would be too short."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        arms = []
        for size in (2_000, 100):
            eager = rng.gamma(1, 1, size)
            shown = 1 + rng.poisson(5 * eager)
            arms.append(Arm.of(rng.binomial(shown, 0.2 * eager / (1 + eager)).astype(float), shown.astype(float)))
        _, low, high = contrast(*arms).difference
        held += low <= 0 <= high
    assert 0.92 <= held / 400 <= 0.98


def test_it_says_more_less_or_that_it_cannot_tell() -> None:
    rng = np.random.default_rng(0)
    low, high = (Arm.of(rng.normal(mean, 1, 400)) for mean in (1.0, 2.0))
    assert contrast(high, low).says == "more"
    assert contrast(low, high).says == "less"
    same = contrast(low, Arm.of(rng.normal(1.0, 1, 50)))
    assert same.says == "too few to tell"
    assert same.difference[1] < 0 < same.difference[2]
    assert same.detectable > same.difference[2] - same.difference[0]


def test_a_handful_of_buyers_proves_nothing() -> None:
    few, many = np.zeros(5_000), np.zeros(5_000)
    few[: FEWEST_WITH_ANY - 1], many[:500] = 1, 1
    found = contrast(Arm.of(many), Arm.of(few))
    assert found.difference[1] > 0
    assert (found.says, isnan(found.lift[0]), isnan(found.detectable)) == ("too few to tell", True, True)


def test_where_there_is_nothing_to_compare_nothing_is_said() -> None:
    for counted, by in ((np.empty(0), None), (np.ones(1), None), (np.zeros(3), np.zeros(3))):
        found = contrast(Arm.of(np.ones(9)), Arm.of(counted, by))
        assert isnan(found.difference[1])
        assert found.says == "too few to tell"
