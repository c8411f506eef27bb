"""Rules of thumb before anything was tried."""

from __future__ import annotations

import numpy as np
import pytest

from portraits.features import REGISTRY
from recommender.offers.thumb import ELASTICITY, USED, Shop, Thumb

NAMES = ("orders_90d", "order_value", "stage", "overdue", "discount_sensitivity")
SHOP = Shop(days=3.0, chance=0.1, order_value=10_000.0, margin_share=0.4)
CASH = {"kind": "cash", "value": 1_000}


def row(**known: float) -> np.ndarray:
    return np.array([[known.get(name, np.nan) for name in NAMES]], np.float32)


def told(X: np.ndarray, offer: dict[str, object] | None = CASH) -> float:
    return float(Thumb([offer], NAMES, SHOP).lift(X)[0, 0])


def test_of_a_stranger_by_hand() -> None:
    """A tenth of a usual order is taken off."""
    thumb = Thumb([CASH], NAMES, SHOP)
    lift = 0.1 * 0.9 * ELASTICITY * 0.1
    assert thumb.chance(row())[0] == pytest.approx(0.1)
    assert thumb.lift(row())[0, 0] == pytest.approx(lift)
    assert thumb.money(row())[0, 0] == pytest.approx(lift * 10_000 * 0.4)
    assert thumb.cost(row())[0, 0] == pytest.approx(USED * (0.1 + lift) * 1_000)


def test_who_takes_discounts_is_moved_more_and_who_buys_anyway_less() -> None:
    loyal = float(REGISTRY["stage"].values.index("loyal"))
    usual = told(row())
    assert told(row(discount_sensitivity=2)) == pytest.approx(2 * usual)
    assert told(row(stage=loyal)) == pytest.approx(usual / 2)
    assert told(row(overdue=1)) == pytest.approx(usual / 2)
    assert told(row(order_value=5_000)) == pytest.approx(2 * usual), "a fifth of the order"


def test_a_minimum_out_of_reach_and_an_unknown_rule_move_less_or_nobody() -> None:
    assert told(row(), CASH | {"minimum": 20_000}) == pytest.approx(told(row()) / 2)
    assert told(row(), None) == 0


def test_who_orders_more_often_is_likelier_to() -> None:
    thumb = Thumb([CASH], NAMES, SHOP)
    assert thumb.chance(row(orders_90d=30))[0] > thumb.chance(row())[0] > thumb.chance(row(orders_90d=0))[0] > 0
