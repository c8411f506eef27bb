"""Rules of thumb before anything was tried."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.offers.thumb import ELASTICITY, USED, Shop, Thumb

NAMES = ("orders_90d", "order_value", "orders", "lines", "discount_sensitivity", "bought in tea", "looked in tea")
SHOP = Shop(days=3.0, chance=0.1, order_value=10_000.0, margin_share=0.4)
CASH = {"offer_id": "c", "kind": "cash", "value": 1_000}


def row(**known: float) -> np.ndarray:
    return np.array([[known.get(name.replace(" ", "_"), np.nan) for name in NAMES]], np.float32)


def shift(X: np.ndarray, offer: dict[str, object] | None = CASH, **scopes: str) -> float:
    return float(Thumb([offer], NAMES, SHOP, scopes).shift(X)[0, 0])


def test_of_a_stranger_by_hand() -> None:
    """A tenth of a usual order is taken off: odds of 1 to 9 rise by exp(0.262)."""
    thumb = Thumb([CASH], NAMES, SHOP)
    odds = np.exp(ELASTICITY * 0.1) / 9
    lift = odds / (1 + odds) - 0.1
    assert thumb.chance(row())[0] == pytest.approx(0.1)
    assert thumb.lift(row())[0, 0] == pytest.approx(lift)
    assert thumb.money(row())[0, 0] == pytest.approx(lift * 10_000 * 0.4)
    assert thumb.cost(row())[0, 0] == pytest.approx(USED * (0.1 + lift) * 1_000)
    assert thumb.cost(row(), np.array([[0.5]]))[0, 0] == pytest.approx(USED * 0.5 * 1_000)


def test_who_takes_discounts_is_moved_more_and_who_buys_anyway_less() -> None:
    thumb = Thumb([CASH], NAMES, SHOP)
    assert shift(row(discount_sensitivity=2)) == pytest.approx(2 * shift(row()))
    half, often = (thumb.lift(row(orders_90d=orders))[0, 0] for orders in (20, 2_000))
    assert often < half


def test_an_offer_moves_by_what_it_says_and_as_far_as_it_fits() -> None:
    assert shift(row(), CASH | {"minimum": 20_000}) == pytest.approx(shift(row()) / 2)
    assert shift(row(), {"kind": "discount", "value": 2_000}) == pytest.approx(2 * shift(row()))
    assert shift(row(), None) == 0
    fan = row(bought_in_tea=0.5, looked_in_tea=0.8, lines=9)
    assert shift(fan, CASH, c="tea") == pytest.approx((9 * 0.5 + 3 * 0.8) / 12 * shift(row()))


def test_a_minimum_that_is_rarely_reached_costs_less() -> None:
    dear, plain = CASH | {"minimum": 20_000}, Thumb([CASH], NAMES, SHOP)
    same = np.array([[0.5]])
    assert Thumb([dear], NAMES, SHOP).cost(row(), same)[0, 0] == pytest.approx(plain.cost(row(), same)[0, 0] / 2)


def test_few_orders_are_drawn_to_the_usual_one() -> None:
    thumb = Thumb([CASH], NAMES, SHOP)
    assert thumb.order_value(row(order_value=2_000, orders=1))[0] == pytest.approx((2_000 + 3 * 10_000) / 4)
    assert thumb.order_value(row())[0] == 10_000


def test_who_orders_more_often_is_likelier_to() -> None:
    thumb = Thumb([CASH], NAMES, SHOP)
    assert thumb.chance(row(orders_90d=30))[0] > thumb.chance(row())[0] > thumb.chance(row(orders_90d=0))[0] > 0
