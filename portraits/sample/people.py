"""Who comes to the shop: tastes, budgets, habits, needs with a rhythm, ways in, friends. One array entry a visitor.

Some of it changes as the days pass (a taste may switch, a need falls due, points add up), so a `People` is the state
of the world on one day. Types are narrow because a shop of 100 million events has 4 million visitors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from portraits.sample import names
from portraits.sample.goods import Clusters, Goods
from portraits.sample.plan import Plan
from portraits.sample.rows import Array

PURPOSE = 2
COMMUNITY = 32
"""Friends are visitors of the same block of so many codes; half of a block shares a first taste."""
WEIGHTS = np.array([[0.45, 0.28, 0.17], [0.70, 0.15, 0.05]], np.float32)
"""Share of a visitor's wishes in each of three clusters, for broad and for focused visitors; the rest is any item."""
NEEDS = 2
NEVER = np.int16(32_000)


@dataclass
class People:
    """Visitors by code.

    `joined` and `left` are days; `rate` is relative visits a day; `hour` the usual local hour; `weekend` 0 any day,
    1 mostly working days, 2 mostly weekends; `payday` a day of the month (0: none); `bias` the log odds to buy in a
    visit; `sense` how far a discount moves the wish to buy (about -0.3 to 1.6); `budget` the log of prices paid over
    usual prices; `clusters` x 3 with `focus` a row of WEIGHTS; `switch` the day when first and third taste change
    places; `home` the usual store; `channel` the usual entrance; `reads` how often a visit has contents;
    `shares` how often a visit has a share and `pull` the friends a share brings; `need_item`, `need_every` (days) and
    `need_next` (day) x 2 the repeated needs; `decided` the last campaign decided, `claimed` and
    `redeemed` bit sets of campaigns.
    """

    joined: Array
    left: Array
    rate: Array
    hour: Array
    weekend: Array
    payday: Array
    bias: Array
    sense: Array
    budget: Array
    clusters: Array
    focus: Array
    switch: Array
    home: Array
    channel: Array
    platform: Array
    device: Array
    reads: Array
    shares: Array
    pull: Array
    need_item: Array
    need_every: Array
    need_next: Array
    member: Array
    subscribed: Array
    anonymous: Array
    first_day: Array
    decided: Array
    claimed: Array
    redeemed: Array
    points: Array
    spent: Array

    def __len__(self) -> int:
        return len(self.rate)

    def weights(self, users: Array) -> Array:
        """Shares of wishes of each of `users` over their three clusters."""
        return WEIGHTS[self.focus[users]]

    def switch_tastes(self, day: int) -> None:
        """Lets the tastes that switch on this day change places."""
        who = np.flatnonzero(self.switch == day)
        self.clusters[who] = self.clusters[who][:, [2, 1, 0]]


def make_people(plan: Plan, clusters: Clusters, goods: Goods) -> People:
    rng = plan.rng(PURPOSE, 0)
    count = plan.users
    joined = np.where(rng.random(count) < 0.45, -1, rng.integers(0, plan.days, count)).astype(np.int16)
    stays = np.minimum(rng.exponential(1.3 * plan.days, count), 20_000)
    rate = np.exp(rng.normal(0, 1.1, count)).astype(np.float32)
    sharer = rng.random(count) < 0.03
    tastes = _make_tastes(plan, clusters)
    budget = clusters.level[tastes[:, :2]].mean(axis=1) + rng.normal(0, 0.45, count)
    people = People(
        joined=joined,
        left=(np.maximum(joined, 0) + 3 + stays).astype(np.int16),
        rate=rate,
        hour=_pick(rng, [8, 12, 18, 20, 22], [0.1, 0.25, 0.2, 0.3, 0.15], count),
        weekend=_pick(rng, [0, 1, 2], [0.5, 0.25, 0.25], count),
        payday=_pick(rng, [0, 5, 10, 15, 25], [0.6, 0.1, 0.1, 0.1, 0.1], count),
        bias=rng.normal(-1.6, 0.6, count).astype(np.float32),
        sense=_make_sense(rng, count),
        budget=budget.astype(np.float32),
        clusters=tastes,
        focus=(rng.random(count) < 0.5).astype(np.int8),
        switch=np.where(rng.random(count) < 0.15, rng.integers(1, plan.days, count), NEVER).astype(np.int16),
        home=rng.integers(0, plan.stores, count).astype(np.int16),
        channel=_pick(rng, range(len(names.CHANNELS)), names.CHANNEL_SHARES, count),
        platform=_pick(rng, [0, 1, 2], [0.85, 0.1, 0.05], count),
        device=rng.integers(0, len(names.DEVICES), count).astype(np.int8),
        reads=rng.beta(1, 3, count).astype(np.float32),
        shares=np.where(sharer, 0.35, 0.02).astype(np.float32),
        pull=np.where(sharer, rng.gamma(4, 0.3, count), 0.15).astype(np.float32),
        need_item=np.full((count, NEEDS), -1, np.int32),
        need_every=np.zeros((count, NEEDS), np.float32),
        need_next=np.full((count, NEEDS), NEVER, np.int16),
        member=rng.random(count) < 0.4,
        subscribed=np.zeros(count, bool),
        anonymous=rng.random(count) < 0.1,
        first_day=np.full(count, NEVER, np.int16),
        decided=np.full(count, -1, np.int8),
        claimed=np.zeros(count, np.int16),
        redeemed=np.zeros(count, np.int16),
        points=np.zeros(count, np.int32),
        spent=np.zeros(count, np.int64),
    )
    if plan.sells:
        _give_needs(plan, goods, people)
    return people


def _pick(
    rng: np.random.Generator, values: range | list[int], shares: tuple[float, ...] | list[float], n: int
) -> Array:
    edges = np.cumsum(shares)
    return np.asarray(values, np.int8)[np.searchsorted(edges / edges[-1], rng.random(n, np.float32), side="right")]


def _make_sense(rng: np.random.Generator, count: int) -> Array:
    """Discount hunters, the usual, the indifferent, and a few whom a coupon puts off."""
    kind = _pick(rng, [0, 1, 2, 3], [0.3, 0.35, 0.25, 0.1], count)
    middle = np.array([1.3, 0.4, 0.0, -0.3], np.float32)[kind]
    spread = np.array([0.2, 0.1, 0.03, 0.05], np.float32)[kind]
    return middle + spread * rng.standard_normal(count, np.float32)


def _make_tastes(plan: Plan, clusters: Clusters) -> Array:
    rng = plan.rng(PURPOSE, 1)
    edges = np.cumsum(clusters.demand)
    edges /= edges[-1]
    own = np.searchsorted(edges, rng.random((plan.users, 3), np.float32), side="right")
    own = np.minimum(own, plan.clusters - 1).astype(np.int16)
    blocks = rng.integers(0, plan.clusters, plan.users // COMMUNITY + 1).astype(np.int16)
    shared = rng.random(plan.users, np.float32) < 0.5
    own[:, 0] = np.where(shared, blocks[np.arange(plan.users) // COMMUNITY], own[:, 0])
    own[:, 1] = np.where(own[:, 1] == own[:, 0], (own[:, 0] + 1) % plan.clusters, own[:, 1])
    for _ in range(2):
        taken = (own[:, 2] == own[:, 0]) | (own[:, 2] == own[:, 1])
        own[:, 2] = np.where(taken, (own[:, 2] + 1) % plan.clusters, own[:, 2])
    return own


def _give_needs(plan: Plan, goods: Goods, people: People) -> None:
    """Regulars, a fifth of the more frequent half, buy one or two items again and again, at a rhythm of their own.

    The item is the best of eight that may be needed again: near the visitor's budget, and of a cluster they like.
    """
    rng = plan.rng(PURPOSE, 2)
    rhythm = np.array([leaf.rhythm for leaf in names.LEAVES], np.float32)
    lasting = (goods.created < 0) & (goods.out_from > plan.days) & (goods.hidden_from > plan.days)
    choice = np.flatnonzero(lasting & (rhythm[goods.leaf] > 0))
    if not len(choice):
        return
    regular = (people.rate > np.median(people.rate)) & (rng.random(plan.users) < 0.2)
    for need, share in enumerate((1.0, 0.4)):
        users = np.flatnonzero(regular & (rng.random(plan.users) < share))
        among = rng.choice(choice, (len(users), 8))
        misfit = np.abs(goods.level[among] - people.budget[users, None])
        own = (goods.cluster[among][:, :, None] == people.clusters[users, None, :]).any(axis=2)
        item = among[np.arange(len(users)), (misfit - own).argmin(axis=1)]
        new = item != people.need_item[users, 0]
        users, item = users[new], item[new]
        every = rhythm[goods.leaf[item]] * np.exp(rng.normal(0, 0.2, len(users)))
        first = np.maximum(people.joined[users], 0) + rng.random(len(users)) * every
        people.need_item[users, need], people.need_every[users, need] = item, every
        people.need_next[users, need] = np.minimum(first, NEVER - 1).astype(np.int16)
