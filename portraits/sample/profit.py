"""What a coupon earns and costs today, by the planted laws: what a plan of offers is judged by.

For a visitor who comes and is shown the coupon on the first visit of the day: `gain` is the margin (amount paid before
coupons - cost of goods) of purchases that the coupon makes, negative where it puts off; `cost` is what the coupon takes
off, from needs that were due and from purchases that would have been made anyway too. An unplanned purchase happens
with the chance of `choice.buy_chance`, and only that chance is moved by a coupon; what is then bought is not. So

    gain = (chance with - chance without) x E margin(basket)
    cost = chance with x E saving(basket + due needs) + (1 - chance with) x chance of a claim x E saving(due needs)

Baskets have no law that can be written down: `DRAWS` of them are drawn for each visitor, with the functions that the
day itself is lived with and a fixed seed of their own. Their mean misses a visitor's own by about a sixteenth of what
the visitor's baskets vary by. Left out: the rare visits that a friend's share brings, cancellations and refunds, and
the fen that are lost where a saving is spread over lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from portraits.sample import names
from portraits.sample.browse import looked_at
from portraits.sample.campaigns import Campaign
from portraits.sample.choice import buy_chance, offer_shift
from portraits.sample.coupons import CURIOUS, may_have
from portraits.sample.lines import BUYS_WHEN_DUE, Lines, join, lines_of, price, wanted_lines
from portraits.sample.orders import PAYDAY_PUSH, STORE_PUSH, paid_lately
from portraits.sample.people import NEEDS
from portraits.sample.rows import Array, Rows
from portraits.sample.shop import Shop
from portraits.sample.social import GROUP_SHARE
from portraits.sample.today import Today
from portraits.sample.visits import Visits, store_chance

PURPOSE = 9
DRAWS = 256
VISITS_AT_ONCE = 100_000
_ROOT = np.array([names.ROOTS.index(leaf.root) for leaf in names.LEAVES])


def offer_profit(today: Today, users: Array, campaigns: list[Campaign], draws: int = DRAWS) -> tuple[Array, Array]:
    """Expected gain and cost (fen) of showing each campaign's coupon to each user: both users x campaigns.

    Both are 0 where the user may not have the coupon (any more). `draws`: baskets drawn for each user.
    """
    shop = today.shop
    gain, cost = np.zeros((len(users), len(campaigns))), np.zeros((len(users), len(campaigns)))
    rng = shop.plan.rng(PURPOSE, today.day)
    at_once = max(VISITS_AT_ONCE // draws, 1)
    for start in range(0, len(users), at_once):
        part = slice(start, start + at_once)
        drawn = _draw(today, users[part], draws, rng)
        for column, campaign in enumerate(campaigns):
            gain[part, column], cost[part, column] = _profit(shop, today.day, users[part], campaign, drawn)
    return gain, cost


@dataclass
class _Drawn:
    """Lines of drawn baskets and of drawn due needs, with their amounts; `margin` of baskets by user."""

    basket: Lines
    basket_amount: Array
    due: Lines
    due_amount: Array
    margin: Array
    draws: int


def _draw(today: Today, users: Array, draws: int, rng: np.random.Generator) -> _Drawn:
    shop = today.shop
    visits = _first_visits(np.repeat(users, draws))
    other = Today(shop, today.day, visits, today.demand, rng, Rows())
    basket = _some_in_groups(wanted_lines(other, looked_at(other), np.ones(len(visits), bool)), rng)
    due = _some_in_groups(_due(other), rng)
    paid, planned = price(other, basket), price(other, due)
    margin = paid["amount"] - shop.goods.cost[basket.item] * paid["quantity"] / 10_000
    by_user = np.bincount(basket.visit // draws, margin, len(users)) / draws
    return _Drawn(basket, paid["amount"], due, planned["amount"], by_user, draws)


def _profit(shop: Shop, day: int, users: Array, campaign: Campaign, drawn: _Drawn) -> tuple[Array, Array]:
    people = shop.people
    without = _chances(shop, day, users, np.zeros(len(users)))
    chance = _chances(shop, day, users, offer_shift(shop, users, campaign))
    held = (people.claimed[users] >> campaign.code) & 1 == 1
    claims = np.where(held, 1.0, CURIOUS[0] + CURIOUS[1] * people.sense[users])
    visits = len(users) * drawn.draws
    needed = _total(shop, drawn.due, drawn.due_amount, campaign, visits)
    whole = needed + _total(shop, drawn.basket, drawn.basket_amount, campaign, visits)
    saved_whole, saved_needed = (
        campaign.saving(total).reshape(len(users), drawn.draws).mean(axis=1) for total in (whole, needed)
    )
    cost = chance * saved_whole + (1 - chance) * claims * saved_needed
    may = may_have(shop, users, campaign)
    return np.where(may, (chance - without) * drawn.margin, 0.0), np.where(may, cost, 0.0)


def _chances(shop: Shop, day: int, users: Array, shift: Array) -> Array:
    """Chance of an unplanned purchase on a visit today, in a store or not."""
    push = PAYDAY_PUSH * paid_lately(shop, users, day) + shift
    inside = store_chance(shop, users)
    chance: Array = inside * buy_chance(shop, users, push + STORE_PUSH) + (1 - inside) * buy_chance(shop, users, push)
    return chance


def _total(shop: Shop, lines: Lines, amount: Array, campaign: Campaign, visits: int) -> Array:
    """What the lines a coupon is for come to in each visit."""
    fits = lines.codes["group"] < 0
    if campaign.root >= 0:
        fits &= _ROOT[shop.goods.leaf[lines.item]] == campaign.root
    return np.bincount(lines.visit[fits], amount[fits], visits).astype(np.int64)


def _due(today: Today) -> Lines:
    """Needs that are due and bought, without any of them being met by it."""
    people, users = today.shop.people, today.visits.user
    there, parts = today.shop.goods.alive(today.day), []
    for need in range(NEEDS):
        wants = (people.need_next[users, need] <= today.day) & (today.rng.random(len(users)) < BUYS_WHEN_DUE)
        some = np.flatnonzero(wants)
        item = people.need_item[users[some], need].astype(np.int64)
        parts.append(lines_of(some[there[item]], item[there[item]]))
    return join(*parts)


def _some_in_groups(lines: Lines, rng: np.random.Generator) -> Lines:
    lines.codes["group"][rng.random(len(lines)) < GROUP_SHARE] = 0
    return lines


def _first_visits(users: Array) -> Visits:
    none = np.full(len(users), -1)
    zero, yes = np.zeros(len(users), np.int64), np.ones(len(users), bool)
    return Visits(
        user=users,
        start=zero,
        day_first=yes,
        channel=zero,
        referrer=none,
        item=none,
        group=none,
        known_as=users,
        session=none,
        store=none,
        pace=zero,
        fresh=~yes,
    )
