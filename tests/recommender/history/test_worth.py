"""What a success is worth, as arithmetic: four items, of which one has a cost, one only a price, one neither."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recommender.history.facts import Facts
from recommender.history.worth import SURE_VIEWS, Earned, worth_of

FACTS = replace(Facts.none(4), price=np.array([1_000, 500, -1, -1]), cost=np.array([700, -1, -1, -1]))
SOLD = Earned(
    paid=np.array([900.0, 500.0, 600.0, 0.0]),
    lines=np.array([1.0, 1.0, 3.0, 0.0]),
    revenue=np.zeros(4),
    views=np.array([5.0, 5.0, 5.0, 5.0]),
)
ADS = Earned(np.zeros(4), np.zeros(4), np.array([40.0, 0, 0, 0]), np.array([20.0, 20.0, 0, 0]))


@pytest.mark.parametrize("objective", ["auto", "clicks"])
def test_successes_are_alike_where_no_money_is_asked_for(objective: str) -> None:
    assert worth_of(objective, FACTS, SOLD) is None


def test_revenue_is_the_price_or_what_was_paid() -> None:
    """The third was paid 600 / 3 for a line; of the fourth nothing is known: the median of 1000, 500 and 200."""
    found = worth_of("revenue", FACTS, SOLD)
    assert found is not None
    assert found.tolist() == [1_000, 500, 600 / 3, 500]


def test_margin_is_price_less_cost_or_the_usual_share() -> None:
    """The one known share is 300 / 1000."""
    found = worth_of("margin", FACTS, SOLD)
    assert found is not None
    np.testing.assert_allclose(found, [300, 500 * 0.3, 200 * 0.3, 150])


def test_without_any_cost_margin_is_revenue() -> None:
    found = worth_of("margin", replace(FACTS, cost=np.full(4, -1)), SOLD)
    assert found is not None
    assert found.tolist() == [1_000, 500, 200, 500]


def test_what_is_sold_at_a_loss_is_worth_nothing() -> None:
    found = worth_of("margin", replace(FACTS, cost=np.array([1_500, -1, -1, -1])), SOLD)
    assert found is not None
    assert found[0] == 0


def test_what_sells_nothing_is_worth_what_a_view_earns() -> None:
    """40 earned in 40 views, so 1 a view; each item's own is shrunk to it."""
    found = worth_of("revenue", Facts.none(4), ADS)
    assert found is not None
    np.testing.assert_allclose(found, [(40 + SURE_VIEWS) / (20 + SURE_VIEWS), SURE_VIEWS / (20 + SURE_VIEWS), 1, 1])
    assert worth_of("revenue", Facts.none(4), ADS._replace(revenue=np.zeros(4))) is None
