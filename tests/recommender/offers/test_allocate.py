"""Allocations keep every budget, come near the exact optimum, and know how near; ties and edges are worked by hand."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from portraits.errors import InvalidValue
from recommender.offers.allocate import Allocation, Budgets, allocate

Table = NDArray[Any]


class Shop(NamedTuple):
    gain: Table
    cost: Table
    eligible: Table
    weight: Table
    budgets: Budgets


def planted(visitors: int, offers: int, seed: int, binding: float = 0.4) -> Shop:
    """A random shop: gains lie about the costs, and budgets bind for about `binding` of what all would cost."""
    rng = np.random.default_rng(seed)
    cost = (rng.uniform(100, 1000, offers) * rng.uniform(0.05, 1, (visitors, offers))).astype(np.float32)
    gain = (cost * rng.lognormal(0, 0.8, (visitors, offers)) - rng.uniform(0, 100, (visitors, 1))).astype(np.float32)
    eligible = rng.random((visitors, offers)) < 0.8
    weight = rng.gamma(2, 0.5, visitors)
    everything = visitors / offers * 250
    each = [None if rng.random() < 0.3 else float(everything * binding * rng.uniform(0.2, 2.5)) for _ in range(offers)]
    total = None if rng.random() < 0.3 else float(everything * offers * binding * rng.uniform(0.2, 1.5))
    caps = [None if rng.random() < 0.7 else float(visitors / offers * rng.uniform(0.1, 1)) for _ in range(offers)]
    return Shop(gain, cost, eligible, weight, Budgets(each, total, caps))


def worth(found: Allocation, gain: Table, cost: Table, weight: Table) -> float:
    rows = np.flatnonzero(found.chosen >= 0)
    columns = found.chosen[rows]
    return float(weight[rows] @ (gain[rows, columns].astype(float) - cost[rows, columns]))


def keeps(found: Allocation, shop: Shop) -> None:
    """Counted again from `chosen` alone: every limit is kept, and the account is right."""
    gain, cost, eligible, weight, budgets = shop
    assert found.chosen.dtype == np.int16
    total = 0.0
    for o, limit in enumerate(budgets.offers):
        rows = found.chosen == o
        assert eligible[rows, o].all()
        spent = float(weight[rows] @ cost[rows, o].astype(float))
        assert found.spent[o] == pytest.approx(spent)
        assert limit is None or spent <= limit * (1 + 1e-9)
        cap = None if budgets.caps is None else budgets.caps[o]
        assert found.visitors[o] == pytest.approx(weight[rows].sum())
        assert cap is None or weight[rows].sum() <= cap * (1 + 1e-9)
        total += spent
    assert budgets.total is None or total <= budgets.total * (1 + 1e-9)
    assert found.value == pytest.approx(worth(found, gain, cost, weight), abs=1e-6)
    assert found.value <= found.bound * (1 + 1e-6) + 1e-6
    assert found.value >= 0
    assert (found.prices >= 0).all()


def exact(shop: Shop, *, whole: bool) -> float:
    """The same as a linear programme (`whole`: as an integer one), by HiGHS, written down independently."""
    gain, cost, eligible, weight, budgets = shop
    visitors, offers = gain.shape
    u, o = np.nonzero(eligible)
    c = -(weight[u] * (gain[u, o].astype(float) - cost[u, o]))
    spent = weight[u] * cost[u, o].astype(float)
    n = len(u)
    one = sp.csr_array((np.ones(n), (u, np.arange(n))), shape=(visitors, n))
    each = sp.csr_array((spent, (o, np.arange(n))), shape=(offers, n))
    heads = sp.csr_array((weight[u], (o, np.arange(n))), shape=(offers, n))
    caps = budgets.caps or [None] * offers
    matrix = sp.vstack([one, each, heads, sp.csr_array(spent[None, :])]).tocsr()
    limits = [np.inf if one is None else one for one in (*budgets.offers, *caps, budgets.total)]
    right = np.r_[np.ones(visitors), limits]
    if not n:
        return 0.0
    if whole:
        found = milp(
            c, constraints=LinearConstraint(matrix, ub=right), integrality=np.ones(n), bounds=Bounds(0, 1),
            options={"mip_rel_gap": 1e-4, "time_limit": 20},
        )  # fmt: skip
        return -float(found.fun)
    held = np.isfinite(right)
    return -float(linprog(c, A_ub=matrix[held], b_ub=right[held], bounds=(0, 1), method="highs").fun)


@given(visitors=st.integers(1, 40), offers=st.integers(1, 6), seed=st.integers(0, 10**6), binding=st.floats(0.01, 1.2))
@settings(max_examples=60, deadline=None)
def test_any_shop_is_planned_within_its_limits(visitors: int, offers: int, seed: int, binding: float) -> None:
    shop = planted(visitors, offers, seed, binding)
    keeps(allocate(*shop), shop)


@pytest.mark.parametrize("seed", range(30))
def test_who_costs_nothing_is_given_only_what_they_may_have(seed: int) -> None:
    """No move saves money there, and visitors over a cap have to go all the same."""
    rng = np.random.default_rng(seed)
    shape = (60, 4)
    cost = (rng.gamma(1, 8, shape) * (rng.random(shape) < 0.5)).astype(np.float32)
    gain = rng.gamma(1, 10, shape).astype(np.float32)
    caps = [float(rng.integers(0, 8)) if rng.random() < 0.5 else None for _ in range(4)]
    budgets = Budgets([*rng.gamma(1, 20, 4)], float(rng.gamma(1, 40)), caps)
    shop = Shop(gain, cost, rng.random(shape) < 0.5, np.ones(60), budgets)
    keeps(allocate(*shop), shop)


@pytest.mark.parametrize("seed", range(8))
def test_it_comes_near_the_exact_optimum(seed: int) -> None:
    """200 visitors x 5 offers. A limit can leave at most about one visitor's profit unused."""
    gain, cost, eligible, weight, _ = shop = planted(200, 5, seed)
    found = allocate(*shop)
    keeps(found, shop)
    relaxed, optimum = exact(shop, whole=False), exact(shop, whole=True)
    assert optimum <= found.bound * (1 + 1e-6)
    assert found.bound <= relaxed * (1 + 1e-3)
    granule = float(np.quantile((weight[:, None] * (gain - cost))[eligible], 0.99))
    assert found.value >= optimum * 0.995 - granule


def test_the_bound_is_that_of_the_linear_programme_and_the_gap_small_for_many() -> None:
    shop = planted(20_000, 8, 3)
    found = allocate(*shop)
    keeps(found, shop)
    assert found.gap <= 0.005


def same(visitors: int, gain: list[float], cost: list[float], budgets: Budgets) -> Allocation:
    """Visitors who are all alike."""
    g, c = (np.tile(np.array(one, np.float32), (visitors, 1)) for one in (gain, cost))
    shop = Shop(g, c, np.ones(g.shape, bool), np.ones(visitors), budgets)
    found = allocate(*shop)
    keeps(found, shop)
    return found


def test_half_of_equal_visitors_get_it_when_there_is_money_for_half() -> None:
    found = same(100, [30], [10], Budgets([500]))
    assert (found.chosen == 0).sum() == 50
    assert found.value == 50 * (30 - 10)
    assert found.gap == pytest.approx(0, abs=1e-6)
    assert found.prices[0] == pytest.approx(2, rel=1e-3)  # a unit more of budget earns (30 - 10) / 10


def test_equal_visitors_share_offers_by_their_budgets() -> None:
    found = same(100, [30, 25, 9], [10, 10, 10], Budgets([300, 400, 1000]))
    assert [(found.chosen == o).sum() for o in (0, 1, 2)] == [30, 40, 0]  # the third costs more than it earns


def test_equal_visitors_mix_a_dear_and_a_cheap_offer_under_one_total() -> None:
    """All on the cheap one cost 100 and earn 700; 50 upgrades cost 4 each and earn 5 each: 200 + 100 = 300."""
    found = same(100, [17, 8], [5, 1], Budgets([None, None], 300))
    assert [(found.chosen == o).sum() for o in (0, 1)] == [50, 50]
    assert found.value == 50 * 12 + 50 * 7
    assert found.gap == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_groups_of_equal_visitors_are_split_as_the_linear_programme_would(seed: int) -> None:
    """As with rules of a first night: ten kinds of visitors, coupons of four sizes, budgets that cut through groups."""
    rng = np.random.default_rng(seed)
    cost = np.tile(rng.choice([100, 200, 500, 1000], 5), (200, 1)).astype(np.float32)
    gain = (cost * rng.choice([0, 0.5, 1, 2, 4], (10, 5))[rng.integers(0, 10, 200)]).astype(np.float32)
    budgets = Budgets([3000.0, 8000.0, None, 1000.0, 3000.0], 10_000.0)
    shop = Shop(gain, cost, np.ones(cost.shape, bool), np.ones(200), budgets)
    found = allocate(*shop)
    keeps(found, shop)
    assert found.value >= 0.995 * exact(shop, whole=True)


def test_without_budgets_everyone_has_the_best_for_them() -> None:
    gain, cost, eligible, weight, _ = planted(500, 4, 5)
    found = allocate(gain, cost, eligible, weight, Budgets([None] * 4))
    profit = np.where(eligible, gain - cost, -np.inf)
    assert found.chosen.tolist() == np.where(profit.max(axis=1) > 0, profit.argmax(axis=1), -1).tolist()
    assert found.gap == pytest.approx(0, abs=1e-6)
    assert not found.prices.any()


def test_a_crowd_of_strangers_is_split() -> None:
    """One row stands for a hundred: with money for thirty, thirty of them get it, and beside them the one who is known
    and gains more."""
    gain, cost = np.array([[90.0], [30.0]], np.float32), np.full((2, 1), 10, np.float32)
    shop = {"gain": gain, "cost": cost, "eligible": gain > 0, "weight": np.array([1.0, 100.0])}
    found = allocate(**shop, budgets=Budgets([310]), crowd=True)
    assert found.chosen.tolist() == [0, -1]  # most of the crowd has none
    assert (found.crowd[0], found.spent[0]) == (pytest.approx(30), pytest.approx(310))
    assert found.value == found.earned[0] == pytest.approx(80 + 30 * 20)
    assert found.gap == pytest.approx(0, abs=1e-6)
    alone = allocate(**shop, budgets=Budgets([310]))
    assert (alone.chosen.tolist(), alone.crowd.tolist()) == ([0, -1], [0])
    assert alone.prices[0] == pytest.approx(2, rel=1e-3)


def test_a_cap_counts_visitors() -> None:
    found = same(10, [30, 20], [0, 0], Budgets([None, None], caps=[4, None]))
    assert [(found.chosen == o).sum() for o in (0, 1)] == [4, 6]
    assert found.cap_prices[0] == pytest.approx(10, rel=1e-3)


@pytest.mark.parametrize(
    ("gain", "cost", "budgets", "expected"),
    [
        ([10.0], [4.0], Budgets([None]), 0),
        ([10.0], [4.0], Budgets([4]), 0),
        ([10.0], [4.0], Budgets([3.99]), -1),  # it does not fit: never a part of an offer
        ([10.0], [4.0], Budgets([None], 0), -1),
        ([10.0], [0.0], Budgets([0], 0), 0),  # costs nothing
        ([10.0], [10.0], Budgets([None]), -1),  # earns nothing
        ([-1.0], [0.0], Budgets([None]), -1),
        ([10.0, 8.0], [4.0, 1.0], Budgets([0, None]), 1),
        ([10.0, 10.0], [4.0, 4.0], Budgets([None, 3]), 0),
        ([10.0], [4.0], Budgets([None], None, [0.5]), -1),
    ],
)
def test_one_visitor(gain: list[float], cost: list[float], budgets: Budgets, expected: int) -> None:
    assert same(1, gain, cost, budgets).chosen.tolist() == [expected]


def test_nobody_and_nothing_to_give() -> None:
    none = np.zeros((3, 0), np.float32)
    assert allocate(none, none, none.astype(bool), None, Budgets([], 5)).chosen.tolist() == [-1, -1, -1]
    nobody = np.zeros((0, 2), np.float32)
    assert allocate(nobody, nobody, nobody.astype(bool), None, Budgets([1, 2])).value == 0
    gain = np.full((3, 2), 9, np.float32)
    refused = allocate(gain, gain / 3, np.zeros((3, 2), bool), None, Budgets([5, None], 7))
    assert refused.chosen.tolist() == [-1, -1, -1]
    assert refused.gap == 0


def test_what_nobody_may_have_need_not_be_a_number() -> None:
    gain = np.array([[np.nan, 5]], np.float32)
    found = allocate(gain, np.ones((1, 2), np.float32), np.array([[False, True]]), None, Budgets([1, 1]))
    assert found.chosen.tolist() == [1]


def test_the_same_twice_and_prices_by_offer() -> None:
    shop = planted(12_000, 3, 9)
    one, other = allocate(*shop, seed=1), allocate(*shop, seed=1)
    assert (one.chosen == other.chosen).all()
    assert (one.prices == other.prices).all()
    assert list(one.by_offer(["a", "b", "c"])) == ["a", "b", "c", ""]


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("cost", {"cost": np.full((2, 1), -1, np.float32)}),
        ("cost", {"cost": np.ones((2, 2), np.float32)}),
        ("gain", {"gain": np.full((2, 1), np.nan, np.float32)}),
        ("weight", {"weight": np.ones(3)}),
        ("weight", {"weight": np.array([1, -1])}),
        ("budgets", {"budgets": Budgets([-1])}),
        ("budgets", {"budgets": Budgets([float("nan")])}),
        ("budgets.offers", {"budgets": Budgets([1, 2])}),
        ("budgets.caps", {"budgets": Budgets([1], caps=[1, 2])}),
    ],
)
def test_what_cannot_be_planned_is_named(field: str, changed: dict[str, Any]) -> None:
    ones = np.ones((2, 1), np.float32)
    shop = {"gain": ones, "cost": ones, "eligible": ones > 0, "weight": None, "budgets": Budgets([1])}
    with pytest.raises(InvalidValue) as wrong:
        allocate(**(shop | changed))
    assert wrong.value.field == field
