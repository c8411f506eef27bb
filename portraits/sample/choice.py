"""How visitors choose: the planted laws of opening, buying and of what a coupon changes.

Both the past (`day`) and the answer to what was shown (`respond`) use these functions, so that what is learnt from
the one pays in the other. `affinity` is the share of a visitor's wishes that the item's cluster has; `appeal` is what
price, discount and quality add.
"""

from __future__ import annotations

import numpy as np

from portraits.sample import names
from portraits.sample.campaigns import Campaign
from portraits.sample.rows import Array
from portraits.sample.shop import Shop

EXAMINED = np.array([0.68, 0.55, 0.46, 0.39, 0.34, 0.30, 0.27, 0.24, 0.22, 0.20])
"""Chance that a position (from 1) is looked at; further ones as the last. Shaped as in click models of search."""
ANYTHING = 0.02
"""Affinity for an item outside the visitor's clusters."""
_ROOT_OF_LEAF = np.array([names.ROOTS.index(leaf.root) for leaf in names.LEAVES])


def examined(position: Array) -> Array:
    """Chance that each position (from 1) is looked at."""
    chance: Array = EXAMINED[np.clip(position, 1, len(EXAMINED)) - 1]
    return chance


def affinity(shop: Shop, users: Array, items: Array) -> Array:
    """Share of wishes: the sum of taste weights whose cluster is the item's, plus ANYTHING."""
    own = shop.people.clusters[users] == shop.goods.cluster[items][:, None]
    share: Array = (shop.people.weights(users) * own).sum(axis=1) + ANYTHING
    return share


def appeal(shop: Shop, users: Array, items: Array, day: int) -> Array:
    """log quality - ((price level - budget) / 0.4)^2 / 2 + 5 sense discount: what price, sale and quality add."""
    goods, people = shop.goods, shop.people
    misfit = (goods.level[items] - people.budget[users]) / 0.4
    hunting = 5 * people.sense[users] * goods.sale(items, day)
    gain: Array = np.log(goods.quality[items]) - 0.5 * misfit * misfit + hunting
    return gain


def open_chance(shop: Shop, users: Array, items: Array, day: int) -> Array:
    """Chance that a looked-at item is opened: 0.01 + 0.9 (1 - exp(-2 affinity exp(appeal)))."""
    wish = affinity(shop, users, items) * np.exp(appeal(shop, users, items, day))
    chance: Array = 0.01 + 0.9 * (1 - np.exp(-2 * wish))
    return chance


def buy_chance(shop: Shop, users: Array, extra: Array | float = 0.0) -> Array:
    """Chance that a visit ends in a purchase nobody planned: sigmoid(bias + extra)."""
    return sigmoid(shop.people.bias[users] + extra)


def offer_shift(shop: Shop, users: Array, campaign: Campaign) -> Array:
    """What a coupon adds to the log odds to buy: sense x strength x match; match is 1, or for a coupon of one
    category 1.5 x the share of the visitor's tastes in it (at most 1.2)."""
    sense: Array = shop.people.sense[users] * campaign.strength
    if campaign.root < 0:
        return sense
    inside = _ROOT_OF_LEAF[shop.clusters.leaf[shop.people.clusters[users]]] == campaign.root
    match: Array = np.minimum(1.5 * (shop.people.weights(users) * inside).sum(axis=1), 1.2)
    return np.multiply(sense, match)


def sigmoid(x: Array) -> Array:
    chance: Array = 1 / (1 + np.exp(-x))
    return chance
