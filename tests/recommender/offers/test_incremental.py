"""What offers added: on visitors whose true profit is known, with long tails, and by hand."""

from __future__ import annotations

from functools import cache
from math import isnan

import numpy as np
import pytest

from recommender.contrast import Arm, contrast
from recommender.offers.incremental import (
    ALIKE,
    CHANCES,
    EARLY,
    EARNS,
    FIGURES,
    HOLDOUT,
    LOSES,
    NOT_RANDOMISED,
    Line,
    Side,
    Values,
    apart,
    judged,
    line,
)

COUPON = 300.0
SEEDS = 200


def shop(
    seed: int,
    *,
    size: int = 3_000,
    held: float = 0.1,
    base: float = 0.3,
    lift: float = 0.0,
    used: float = 0.6,
    tail: float = 1.0,
) -> tuple[Values, Side, Side]:
    """Visitors who buy with a chance of `base`, `lift` more with an offer, and then use the coupon with a chance of
    `used`; an order's margin is lognormal around 1,000. What they earned before has to do with it."""
    rng = np.random.default_rng(seed)
    loyal = rng.normal(size=size)
    control = rng.random(size) < held
    bought = rng.random(size) < base + lift * ~control
    margin = bought * 1_000 * rng.lognormal(-(tail**2) / 2, tail, size) * (1 + 0.5 * np.tanh(loyal))
    cost = np.where(bought & ~control & (rng.random(size) < used), COUPON, 0.0)
    before = 1_000 * np.exp(loyal)
    values = Values(np.arange(size), bought.astype(float), 2 * margin, margin, cost, before)
    return values, Side(np.flatnonzero(~control)), Side(np.flatnonzero(control))


def truth(base: float = 0.3, lift: float = 0.0, used: float = 0.6) -> tuple[float, float]:
    """Profit and cost an offered visitor adds: E[1 + tanh / 2] is 1, and so is the lognormal's mean."""
    cost = (base + lift) * used * COUPON
    return lift * 1_000 - cost, cost


@cache
def study(base: float, lift: float, used: float) -> tuple[Line, ...]:
    return tuple(line("o", HOLDOUT, *shop(seed, base=base, lift=lift, used=used)) for seed in range(SEEDS))


PLANTED = {"good": (0.2, 0.25, 0.6), "nothing": (0.3, 0.0, 0.0), "hunted": (0.6, 0.0, 0.9)}
"""base, lift, used."""


@pytest.mark.parametrize("name", list(PLANTED))
def test_intervals_hold_where_orders_have_a_long_tail(name: str) -> None:
    profit, cost = truth(*PLANTED[name])
    lines = study(*PLANTED[name])
    held = np.mean(
        [one.figures["profit"].difference[1] <= profit <= one.figures["profit"].difference[2] for one in lines]
    )
    assert held >= 0.95 - 3 * (0.95 * 0.05 / SEEDS) ** 0.5
    assert np.mean([one.figures["profit"].difference[0] for one in lines]) == pytest.approx(profit, abs=12)
    if cost:
        told = [one for one in lines if not isnan(one.roi[1])]
        assert len(told) > 0.9 * SEEDS
        assert np.mean([one.roi[1] <= profit / cost <= one.roi[2] for one in told]) >= 0.9


def test_an_offer_that_earns_is_said_to_and_one_that_does_nothing_is_not() -> None:
    said = {name: [one.says for one in study(*planted)] for name, planted in PLANTED.items()}
    assert np.mean([one == EARNS for one in said["good"]]) > 0.5
    assert LOSES not in said["good"]
    assert np.mean([one == EARLY for one in said["nothing"]]) >= 0.9
    assert np.mean([one == EARNS for one in said["nothing"]]) <= 0.05


def test_a_coupon_that_sure_things_redeem_is_a_loss_however_often_it_is_redeemed() -> None:
    lines = study(*PLANTED["hunted"])
    assert np.mean([one.says == LOSES for one in lines]) > 0.5
    assert all(one.says != EARNS for one in lines)
    assert all(one.totals["cost"][0] > 0 and one.figures["cost"].treated.some > 1_000 for one in lines)


def test_the_spread_of_a_small_control_group_by_itself_would_mislead() -> None:
    """By each arm's own spread a worthless offer is said to earn thrice as often as it may be."""
    wrong = 0
    for seed in range(SEEDS):
        values, treated, control = shop(seed, held=0.05, tail=1.5)
        alone = contrast(*(Arm.of(values.margin[side.rows]) for side in (treated, control)))
        wrong += alone.says == "more"
    assert wrong / SEEDS > 0.075
    together = [line("o", HOLDOUT, *shop(seed, held=0.05, tail=1.5, used=0.0)).says for seed in range(SEEDS)]
    assert together.count(EARNS) / SEEDS <= 0.025


def test_a_line_worked_by_hand() -> None:
    """Two rows of one visitor, three of others; profit a row is 20 - 6 treated and 8 without."""
    margin = np.array([10.0, 30.0, 20.0, 4.0, 12.0])
    cost = np.array([5.0, 5.0, 8.0, 0.0, 0.0])
    values = Values(np.array([0, 0, 1, 2, 3]), np.ones(5), 3 * margin, margin, cost)
    found = line("o", HOLDOUT, values, Side(np.arange(3)), Side(np.array([3, 4])))
    assert (found.visitors, found.rows) == ((2, 2), (3, 2))
    assert found.figures["profit"].difference[0] == pytest.approx(60 / 3 - 18 / 3 - 8)
    assert found.totals["profit"][0] == pytest.approx(3 * (20 - 6 - 8))
    assert found.totals["cost"][0] == pytest.approx(18)
    assert found.roi[0] == pytest.approx((20 - 6 - 8) / 6)
    assert isnan(found.roi[1])
    assert found.says == EARLY
    assert list(found.figures) == list(FIGURES)


def test_where_nothing_differs_nothing_does() -> None:
    values = Values(np.arange(40), np.ones(40), np.full(40, 9.0), np.full(40, 9.0), np.zeros(40))
    found = line("o", HOLDOUT, values, Side(np.arange(20)), Side(np.arange(20, 40)))
    assert found.says == ALIKE
    assert isnan(found.roi[0])


def test_what_was_before_makes_a_comparison_steadier_and_does_not_bend_it() -> None:
    """Spending that repeats: nine tenths of what visitors earn is what they earned before."""
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        control, before = rng.random(2_000) < 0.2, rng.exponential(1_000, 2_000)
        margin = 0.9 * before + rng.exponential(300, 2_000) + 50 * ~control
        values = Values(np.arange(2_000), np.ones(2_000), margin, margin, np.zeros(2_000), before)
        sides = Side(np.flatnonzero(~control)), Side(np.flatnonzero(control))
        found.append((line("", HOLDOUT, values, *sides), line("", HOLDOUT, values._replace(before=None), *sides)))
    assert all(one.steadier > 0.8 and plain.steadier == 0 for one, plain in found)
    told = [one.figures["profit"].difference for one, _ in found]
    assert np.mean([value for value, _, _ in told]) == pytest.approx(50, abs=8)
    assert np.mean([low <= 50 <= high for _, low, high in told]) >= 0.85


def test_known_chances_weigh_what_was_given() -> None:
    """The loyal, who buy anyway, are given it nine times in ten: the plain difference is a lie."""
    rng = np.random.default_rng(0)
    size = 20_000
    loyal = rng.random(size) < 0.5
    chance = np.where(loyal, 0.9, 0.1)
    given = rng.random(size) < chance
    bought = rng.random(size) < np.where(loyal, 0.6, 0.2) + 0.1 * given
    values = Values(np.arange(size), bought.astype(float), bought * 50.0, bought * 50.0, np.zeros(size))
    weight = 1 / np.where(given, chance, 1 - chance)
    sides = [Side(np.flatnonzero(which), weight[which]) for which in (given, ~given)]
    _, low, high = line("o", CHANCES, values, *sides).figures["bought"].difference
    assert low < 0.1 < high < 0.2
    plain = line("o", CHANCES, values, *(Side(side.rows) for side in sides))
    assert plain.figures["bought"].difference[1] > 0.3
    assert line("o", NOT_RANDOMISED, values, *sides).says == NOT_RANDOMISED


def test_of_many_offers_that_do_nothing_none_is_said_to_earn() -> None:
    """By themselves some of fifty would be said to do something."""
    lines = study(*PLANTED["nothing"])[:50]
    alone = [one for one in lines if one.figures["profit"].says != "too few to tell"]
    together = [one.says for one in judged(lines)]
    assert EARNS not in together
    assert len(together) - together.count(EARLY) <= 1 < len(alone)
    good = study(*PLANTED["good"])[:5]
    assert EARNS in {one.says for one in judged([*good, *lines])}
    unknown = line("few", HOLDOUT, *shop(0, size=12))
    assert judged([unknown]) == [unknown]
    assert judged([]) == []


def test_how_many_more_visitors_would_tell() -> None:
    found = line("o", HOLDOUT, *shop(1, lift=0.15, used=0.0))
    profit = found.figures["profit"]
    times = (profit.detectable / profit.difference[0]) ** 2
    assert found.needs == pytest.approx(max(3_000 * (times - 1), 0))
    assert isnan(line("o", HOLDOUT, *shop(1, size=20)).needs)


def test_windows_of_one_visitor_and_group_do_not_overlap() -> None:
    at = np.array([0, 2, 3, 5, 1, 6])
    visitor = np.array([7, 7, 7, 7, 8, 7])
    group = np.array([0, 0, 0, 0, 0, -1])
    assert apart(group, visitor, at, 3).tolist() == [0, 2, 4]
    assert apart(np.array([0, 1, 0, 1, 0, 0]), visitor, at, 3).tolist() == [0, 1, 2, 3, 4, 5]
    assert apart(group[:0], visitor[:0], at[:0], 3).tolist() == []
