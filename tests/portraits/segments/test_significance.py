"""The tests of shares against numbers worked by hand and against SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from portraits.segments.significance import false_discovery, two_proportions


def test_two_proportions_by_hand() -> None:
    """40 of 100 against 60 of 200: pooled 1/3, variance 1/3 x 2/3 x (1/100 + 1/200) = 1/300, z = 0.1 x sqrt(300)."""
    z = 0.1 * math.sqrt(300)
    assert two_proportions(40, 100, 60, 200) == pytest.approx(2 * stats.norm.sf(z), rel=1e-12)
    assert two_proportions(40, 100, 60, 200) == pytest.approx(0.0832645, abs=1e-6)


@given(st.integers(1, 99), st.integers(100, 500), st.integers(1, 99), st.integers(100, 500))
def test_two_proportions_is_the_chi_square_of_the_four_cells(one: int, of_one: int, other: int, of_other: int) -> None:
    cells = np.array([[one, of_one - one], [other, of_other - other]])
    expected = stats.chi2_contingency(cells, correction=False).pvalue
    assert two_proportions(one, of_one, other, of_other) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("counts", [(0, 0, 5, 10), (5, 10, 0, 0), (0, 10, 0, 10), (10, 10, 10, 10)])
def test_what_cannot_be_tested(counts: tuple[int, int, int, int]) -> None:
    assert two_proportions(*counts) is None


def test_false_discovery_by_hand() -> None:
    """p = .01 .04 .03 .20 of four: .01 x 4/1, .04 x 4/3 (also for .03, whose own .03 x 4/2 is larger), .20 x 4/4."""
    assert false_discovery([0.01, 0.04, 0.03, 0.2]) == pytest.approx([0.04, 0.04 * 4 / 3, 0.04 * 4 / 3, 0.2])
    assert false_discovery([None, 0.5, None]) == [None, 0.5, None]
    assert false_discovery([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_false_discovery_is_that_of_scipy(p_values: list[float]) -> None:
    assert false_discovery(p_values) == pytest.approx(list(stats.false_discovery_control(p_values)), abs=1e-12)
