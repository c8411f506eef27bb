"""Waiting between tries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving.sdk.exchange import FIRST_PAUSE_S, LONGEST_PAUSE_S, backoff


@given(tried=st.integers(1, 1_000), draw=st.floats(0, 1, exclude_max=True))
def test_a_pause_is_anything_up_to_a_bound_that_doubles(tried: int, draw: float) -> None:
    assert 0 <= backoff(tried, draw) <= LONGEST_PAUSE_S
    assert backoff(tried, 0.0) == 0
    assert backoff(tried, draw) <= backoff(tried + 1, draw)
    assert backoff(1, 0.5) == FIRST_PAUSE_S
