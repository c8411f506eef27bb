"""What offers earn and cost by the planted laws agrees with days that are lived with them and without."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from portraits.errors import UnknownName
from portraits.sample import World
from portraits.sample.coupons import Shown, may_have
from portraits.sample.day import live, wake
from portraits.sample.lines import lines_of
from portraits.sample.plan import plan
from portraits.sample.profit import offer_profit
from portraits.sample.rows import TYPE, Array, Columns
from portraits.sample.shop import Shop, open_shop

DAY = 100
FIFTY_OFF, FRESH = 7, 1
"""A coupon that many buy for, and one that most of its users would have bought without."""


@pytest.fixture(scope="module")
def shop() -> Shop:
    return open_shop(plan(3, 500_000))


def lived(shop: Shop, code: int, luck: int) -> tuple[Array, Array, Columns]:
    """A busy day on which a random half of the first visits is shown a coupon: users of first visits, which half, and
    margin before the coupon and saving of each."""
    shop = copy.deepcopy(shop)
    today = wake(shop, DAY, 3.0 * shop.plan.users)
    today.rng = np.random.default_rng(luck)
    visits = today.visits
    half = visits.day_first & (np.random.default_rng(luck + 1).random(len(visits)) < 0.5)
    allowed = may_have(shop, visits.user, shop.campaigns[code])
    none, nothing = np.full(len(visits), -1), np.empty(0, np.int64)
    shown = Shown(lines_of(nothing, nothing), np.where(half & allowed, code, -1), {"decision": none, "position": none})
    events = live(today, shown).events
    bought = np.flatnonzero(events["type"] == TYPE["purchase"])
    item, paid = events["item"][bought], events["amount"][bought]
    full = np.maximum(np.round(events["list_amount"][bought] * (1 - shop.goods.sale(item, DAY))), 1)
    saved = np.where(events["offer"][bought] >= 0, full - paid, 0)
    margin = paid + saved - shop.goods.cost[item] * events["quantity"][bought] / 10_000
    place = np.searchsorted(visits.session, events["session"][bought])
    first = np.flatnonzero(visits.day_first)
    found = {
        name: np.bincount(place, values, len(visits))[first] for name, values in (("gain", margin), ("cost", saved))
    }
    return visits.user[first], half[first], found


def test_a_day_with_a_coupon_earns_what_the_law_says_more_than_one_without(shop: Shop) -> None:
    today = wake(copy.deepcopy(shop), DAY, 3.0 * shop.plan.users)
    for code in (FIFTY_OFF, FRESH):
        users, half, found = lived(shop, code, luck=code)
        gain, cost = offer_profit(
            today, users, [shop.campaigns[code]], draws=16
        )  # the many users make up for few draws
        for name, expected in (("gain", gain), ("cost", cost)):
            with_it, without = found[name][half], found[name][~half]
            more = with_it.mean() - without.mean()
            error = np.hypot(with_it.std() / len(with_it) ** 0.5, without.std() / len(without) ** 0.5)
            assert abs(more - expected.mean()) < 3 * error
        assert error < 0.1 * cost.mean()


@pytest.fixture(scope="module")
def world() -> World:
    return World(5, 20_000)


def test_the_world_tells_what_its_offers_earn(world: World) -> None:
    everyone = [f"u{code:08d}" for code in range(800)]
    offers = [f"offer-{code}" for code in range(1, 9)]
    gain, cost = world.offer_profit(everyone, offers)
    again, _ = world.offer_profit(everyone, offers)
    assert gain.shape == cost.shape == (800, 8)
    assert np.array_equal(gain, again)
    assert (cost >= 0).all()
    without, chance = world.uplift(everyone, offers)
    assert (np.sign(gain) == np.sign(np.round(chance - without, 12))).all()
    assert (gain < 0).any()
    assert (gain > cost).any()
    assert ((gain > 0) & (gain < cost)).any()


def test_who_used_a_coupon_neither_gains_nor_costs(world: World) -> None:
    world = copy.deepcopy(world)
    visitors = world.visitors()
    given = [{"user_id": row["user_id"], "ts": row["ts"], "offer_id": "offer-6"} for row in visitors.to_pylist()]
    events = world.day([{**row, "decision_id": f"D{at}", "position": 1} for at, row in enumerate(given)])
    used = [row["user_id"] for row in events.to_pylist() if row["type"] == "offer_redeem"]
    assert used
    gain, cost = world.offer_profit(used, ["offer-6"])
    assert not gain.any()
    assert not cost.any()


def test_whose_need_is_due_or_who_comes_often_is_likely_to_come(world: World) -> None:
    everyone = [f"u{code:08d}" for code in range(800)]
    chances = world.coming(everyone)
    assert ((chances >= 0) & (chances < 1)).all()
    came = [sum(world.coming(everyone)) for _ in range(2)]
    assert came[0] == came[1]
    assert abs(came[0] * 1.2 - len(world.visitors())) < 4 * len(world.visitors()) ** 0.5  # a fifth comes twice


def test_an_offer_the_shop_has_not_is_refused(world: World) -> None:
    with pytest.raises(UnknownName, match="offer"):
        world.offer_profit(["u00000000"], ["o99"])
