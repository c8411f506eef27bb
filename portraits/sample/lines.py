"""Order lines: which items end in an order and what they cost before coupons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from portraits.sample import names
from portraits.sample.browse import SECOND, Views
from portraits.sample.choice import affinity, appeal
from portraits.sample.people import NEEDS
from portraits.sample.rows import Array, Columns
from portraits.sample.shop import Shop
from portraits.sample.today import Today
from portraits.sample.visits import Visits

BUYS_WHEN_DUE = 0.85
ALSO_BUYS = 0.12
GROUP_PRICE = 0.85
"""What a group pays, as a share of the price."""
CODES = ("decision", "position", "group", "content")
_WEIGHED = np.array([leaf.weighed for leaf in names.LEAVES])


@dataclass
class Lines:
    """Order lines of a day; `codes` are the columns that say what led to them (CODES)."""

    visit: Array
    item: Array
    codes: Columns

    def __len__(self) -> int:
        return len(self.visit)


def lines_of(visit: Array, item: Array, **codes: Array) -> Lines:
    """Lines with -1 for every code not given."""
    none = np.full(len(visit), -1)
    return Lines(visit, item, {name: codes.get(name, none) for name in CODES})


def join(*parts: Lines) -> Lines:
    """All parts one under another."""
    return Lines(
        np.concatenate([part.visit for part in parts]),
        np.concatenate([part.item for part in parts]),
        {name: np.concatenate([part.codes[name] for part in parts]) for name in CODES},
    )


def wanted_lines(today: Today, views: Views, buys: Array) -> Lines:
    """In each visit that `buys`, the most wanted viewed item, and now and then others.

    The wish for an item is log affinity + appeal + Gumbel noise: a multinomial logit choice among what was viewed.
    """
    some = np.flatnonzero(buys[views.visit])
    visit, item = views.visit[some], views.item[some]
    users, shop, rng = today.visits.user[visit], today.shop, today.rng
    wish = np.log(affinity(shop, users, item)) + appeal(shop, users, item, today.day) + rng.gumbel(size=len(some))
    order = np.lexsort((wish, visit))
    ends = np.flatnonzero(np.diff(visit[order], append=-1))
    taken = rng.random(len(some)) < ALSO_BUYS
    taken[order[ends]] = True
    chosen = some[taken]
    led = {name: getattr(views, name)[chosen] for name in ("decision", "position", "content")}
    return lines_of(views.visit[chosen], views.item[chosen], **led)


def due_chance(today: Today) -> Array:
    """Chance that each visit buys a need that is due, whatever it is shown."""
    visits = today.visits
    waiting = (today.shop.people.need_next[visits.user] <= today.day).sum(axis=1) * visits.day_first
    chance: Array = 1 - (1 - BUYS_WHEN_DUE) ** waiting
    return chance


def due_lines(today: Today) -> Lines:
    """Needs that are due, bought on the first visit of the day; the next time is set by the visitor's rhythm."""
    shop, visits, day, rng = today.shop, today.visits, today.day, today.rng
    people, parts = shop.people, []
    for need in range(NEEDS):
        waiting = visits.day_first & (people.need_next[visits.user, need] <= day)
        some = np.flatnonzero(waiting & (rng.random(len(visits)) < BUYS_WHEN_DUE))
        users = visits.user[some]
        renew(shop, users, np.full(len(users), need), day, rng.normal(0, 0.08, len(users)))
        item = people.need_item[users, need].astype(np.int64)
        there = shop.goods.alive(day)[item]
        parts.append(lines_of(some[there], item[there]))
    return join(*parts)


def renew(shop: Shop, users: Array, need: Array, day: int, jitter: Array) -> None:
    """Lets needs that were met on a day fall due again after the visitor's rhythm, give or take `jitter` (log)."""
    wait = np.round(shop.people.need_every[users, need] * np.exp(jitter))
    shop.people.need_next[users, need] = day + np.maximum(wait, 2).astype(np.int16)


def paid_at(visits: Visits, visit: Array) -> Array:
    """When orders of visits are paid: after the last view there can be."""
    at: Array = visits.start[visit] + 30 * SECOND + 14 * visits.pace[visit]
    return at


def group_lines(visits: Visits) -> Lines:
    """Friends who come to join a group buy its item."""
    visit = np.flatnonzero(visits.group >= 0)
    return lines_of(visit, visits.item[visit], group=visits.group[visit])


def quantities(leaf: Array, rng: np.random.Generator) -> Array:
    """In ten-thousandths: weighed goods 0.2 to 3 kg, others 1 to 3 pieces."""
    pieces = 1 + (rng.random(len(leaf)) < 0.15) + (rng.random(len(leaf)) < 0.05)
    grams = np.clip(np.exp(rng.normal(-0.1, 0.5, len(leaf))), 0.2, 3.0)
    return np.where(_WEIGHED[leaf], np.round(grams * 1_000).astype(np.int64) * 10, pieces * 10_000)


def usual_quantity(leaf: Array) -> Array:
    """What `quantities` gives on average: 1 + 0.15 + 0.05 pieces, or 1.01 kg (by simulation)."""
    return np.where(_WEIGHED[leaf], 1.01, 1.2)


def price(today: Today, lines: Lines) -> Columns:
    """quantity, list_amount and amount (fen) of each line after sale and group price, before coupons."""
    shop, day = today.shop, today.day
    quantity = quantities(shop.goods.leaf[lines.item], today.rng)
    full = np.maximum(np.round(shop.goods.price[lines.item] * quantity / 10_000), 1).astype(np.int64)
    share = (1 - shop.goods.sale(lines.item, day)) * np.where(lines.codes["group"] >= 0, GROUP_PRICE, 1.0)
    return {"quantity": quantity, "list_amount": full, "amount": np.maximum(np.round(full * share), 1).astype(np.int64)}
