from __future__ import annotations

import numpy as np
import pytest

from portraits.predictions.bgnbd import BgNbd, Buyers, log_likelihood


def simulated(seed: int, n: int, shop: BgNbd) -> tuple[Buyers, np.ndarray, np.ndarray]:
    """Buyers of a BG/NBD world: their first 200 days, whether they are still there, orders of the 30 days after."""
    rng = np.random.default_rng(seed)
    rows, there, after = [], [], []
    for _ in range(n):
        rate, leaves = rng.gamma(shop.r, 1 / shop.alpha), rng.beta(shop.a, shop.b)
        moments, now, stays = [], 0.0, True
        while stays and now < 230:
            now += rng.exponential(1 / rate)
            moments.append(now)
            stays = rng.random() >= leaves
        known = [moment for moment in moments if moment < 200]
        rows.append((len(known), known[-1] if known else 0.0, 200.0))
        there.append(stays or (bool(moments) and moments[-1] >= 200))
        after.append(sum(200 <= moment < 230 for moment in moments))
    return Buyers(*(np.array(column, float) for column in zip(*rows, strict=True))), np.array(there), np.array(after)


def test_the_numbers_of_a_known_world_are_found() -> None:
    """Within 20% of the truth for the rates, and promises hold: chances of an order and of being there, on average."""
    buyers, there, after = simulated(1, 3_000, BgNbd(r=0.8, alpha=15.0, a=0.8, b=3.0))
    shop = BgNbd.fit(buyers)
    assert shop.r / shop.alpha == pytest.approx(0.8 / 15.0, rel=0.2)
    assert shop.buys(buyers, 30).mean() == pytest.approx((after > 0).mean(), abs=0.03)
    assert shop.alive(buyers).mean() == pytest.approx(there.mean(), abs=0.05)
    assert shop.orders(buyers, 30).mean() == pytest.approx(after.mean(), rel=0.15)


def test_the_likelihood_of_the_paper() -> None:
    """One buyer without a repeat order: the integral of exp(-rate x T) over gamma(r, alpha) is (alpha/(alpha+T))^r."""
    once = Buyers(np.array([0.0]), np.array([0.0]), np.array([30.0]))
    assert log_likelihood(once, 0.5, 10.0, 1.0, 2.0)[0] == pytest.approx(0.5 * np.log(10 / 40))


def test_nobody_is_a_usual_shop() -> None:
    none = np.empty(0)
    shop = BgNbd.fit(Buyers(none, none, none))
    assert (shop.r, shop.alpha, shop.a, shop.b) == pytest.approx((0.5, 20.0, 0.8, 2.5))
    assert len(shop.buys(Buyers(none, none, none), 30)) == 0
