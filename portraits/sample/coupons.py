"""Coupons in a visit: who is shown which, who claims, what it changes, what is redeemed, and the truth of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from portraits.sample import names
from portraits.sample.browse import SECOND
from portraits.sample.campaigns import Campaign, campaign_on, treated
from portraits.sample.choice import buy_chance, offer_shift
from portraits.sample.lines import Lines
from portraits.sample.rows import Array, Columns, take
from portraits.sample.shop import Shop
from portraits.sample.today import Today

CURIOUS = (0.15, 0.4)
"""A coupon is claimed by someone who would not buy with it on that visit with chance CURIOUS[0] + CURIOUS[1] sense."""
_ROOT = np.array([names.ROOTS.index(leaf.root) for leaf in names.LEAVES])


@dataclass
class Shown:
    """What was shown by answers: order lines it led to, the coupon shown in each visit (-1: none), and `led`, the
    decision and position behind that coupon by visit."""

    lines: Lines
    coupons: Array
    led: Columns


@dataclass
class Wish:
    """The unplanned decision to buy, by visit: log odds beyond the visitor's own, and the luck it is drawn with."""

    extra: Array
    luck: Array


def random_coupons(today: Today) -> Array:
    """The campaign whose coupon each visit is shown by the random send of the day, -1 for none."""
    shop, visits = today.shop, today.visits
    campaign = campaign_on(shop.campaigns, today.day)
    if campaign is None:
        return np.full(len(visits), -1)
    gets = treated(shop.plan.seed, visits.user, campaign) & may_have(shop, visits.user, campaign)
    return np.where(gets, campaign.code, -1)


def may_have(shop: Shop, users: Array, campaign: Campaign) -> Array:
    """Who may (still) be shown a coupon: members only if it is theirs, and not who has redeemed it."""
    people = shop.people
    unused = (people.redeemed[users] >> campaign.code) & 1 == 0
    allowed: Array = unused & (people.member[users] | (not campaign.members))
    return allowed


def shifts(shop: Shop, users: Array, coupons: Array) -> Array:
    """What each visit's coupon adds to its log odds to buy; 0 without one."""
    out = np.zeros(len(users))
    for campaign in shop.campaigns:
        some = np.flatnonzero(coupons == campaign.code)
        out[some] = offer_shift(shop, users[some], campaign)
    return out


def show(today: Today, coupons: Array, buys: Array, led: Columns) -> Array:
    """Writes exposures and claims; returns which visits hold a claimed coupon. `led` may tell decision and position."""
    visits, claimed = today.visits, today.shop.people.claimed
    some = np.flatnonzero(coupons >= 0)
    users, code, led = visits.user[some], coupons[some], take(led, some)
    at = visits.start[some] + 12 * SECOND
    today.tell("offer_exposure", some, at, offer=code, page=0, **led)
    held = (claimed[users] >> code) & 1 == 1
    curious = today.rng.random(len(some)) < CURIOUS[0] + CURIOUS[1] * today.shop.people.sense[users]
    new = np.flatnonzero(~held & (curious | buys[some]))
    new = new[np.unique(users[new], return_index=True)[1]]
    claimed[users[new]] |= (1 << code[new]).astype(claimed.dtype)
    today.tell("offer_claim", some[new], at[new] + 2 * SECOND, offer=code[new], page=0, **take(led, new))
    holds = np.zeros(len(visits), bool)
    holds[some] = (claimed[users] >> code) & 1 == 1
    return holds


def redeem(today: Today, lines: Lines, money: Columns, coupons: Array, holds: Array) -> Columns:
    """`money` with coupons taken off, and `offer`, the campaign that paid for part of each line (-1: none).

    A visitor uses a coupon once, in the first order of the day it fits. It is spread over the lines it is for by
    their amounts, rounded down.
    """
    shop, visits = today.shop, today.visits
    amount, offer = money["amount"].copy(), np.full(len(lines), -1)
    alone = np.zeros(len(visits), bool)
    using = np.flatnonzero(holds)
    alone[using[np.unique(visits.user[using], return_index=True)[1]]] = True
    for campaign in shop.campaigns:
        fits = alone[lines.visit] & (coupons[lines.visit] == campaign.code) & (lines.codes["group"] < 0)
        if campaign.root >= 0:
            fits &= _ROOT[shop.goods.leaf[lines.item]] == campaign.root
        some = np.flatnonzero(fits)
        total = np.bincount(lines.visit[some], amount[some], len(visits)).astype(np.int64)[lines.visit[some]]
        cut = campaign.saving(total) * amount[some] // np.maximum(total, 1)
        amount[some] -= cut
        offer[some[cut > 0]] = campaign.code
        users = visits.user[lines.visit[some[cut > 0]]]
        shop.people.redeemed[users] |= shop.people.redeemed.dtype.type(1 << campaign.code)
    return {**money, "amount": amount, "offer": offer}


def expire(today: Today) -> None:
    """The day after a random send ends, coupons that were claimed and not used run out."""
    people = today.shop.people
    for campaign in today.shop.campaigns:
        if campaign.ends == today.day:
            users = np.flatnonzero((people.claimed & ~people.redeemed) >> campaign.code & 1)
            at = np.full(len(users), today.shop.plan.day_us(today.day))
            today.rows.add("offer_expire", users, at, offer=campaign.code, platform=people.platform[users])


def truth_of(today: Today, coupons: Array, wish: Wish, due: Array) -> Columns:
    """One row for each visitor on the first visit of a random send: what the coupon changes, known only here."""
    shop, visits = today.shop, today.visits
    campaign = campaign_on(shop.campaigns, today.day)
    if campaign is None:
        return {}
    people = shop.people
    first = np.flatnonzero(visits.day_first & (people.decided[visits.user] != campaign.code))
    people.decided[visits.user[first]] = campaign.code
    first = first[may_have(shop, visits.user[first], campaign) | (coupons[first] >= 0)]
    users, extra, luck, planned = visits.user[first], wish.extra[first], wish.luck[first], due[first]
    without = buy_chance(shop, users, extra)
    chance = buy_chance(shop, users, extra + offer_shift(shop, users, campaign))
    return {
        "decision": shop.new_numbers("decision", len(first)),
        "user": visits.known_as[first],
        "at": visits.start[first],
        "campaign": np.full(len(first), campaign.code),
        "treated": coupons[first] >= 0,
        "p_without": 1 - (1 - without) * (1 - planned),
        "p_with": 1 - (1 - chance) * (1 - planned),
        "p_planned": planned,
        "wants_without": luck < without,
        "wants_with": luck < chance,
    }
