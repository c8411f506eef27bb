"""What spreads between friends: shares, the visits they bring, and group buys."""

from __future__ import annotations

import numpy as np

from portraits.sample.browse import SECOND, Views
from portraits.sample.lines import Lines, paid_at
from portraits.sample.people import COMMUNITY
from portraits.sample.rows import Array, Columns, take
from portraits.sample.shop import Shop
from portraits.sample.today import Today

GROUP_SHARE, OWN_CLICK = 0.03, 0.03
SETTLES_AFTER = 3
"""Days after which a group has succeeded or failed."""


def share(today: Today, views: Views) -> None:
    """Some share what they looked at first; friends come a day or two later. A few open their own share."""
    people, rng = today.shop.people, today.rng
    first = np.unique(views.visit, return_index=True)[1]
    some = first[rng.random(len(first)) < people.shares[today.visits.user[views.visit[first]]]]
    visit, item = views.visit[some], views.item[some]
    user = today.visits.user[visit]
    today.tell("share", visit, views.at[some] + 5 * SECOND, item=item, page=1)
    friends = rng.poisson(people.pull[user])
    sharer, item = np.repeat(user, friends), np.repeat(item, friends)
    friend = friend_of(today.shop, sharer, rng)
    friend = np.where(rng.random(len(friend)) < OWN_CLICK, sharer, friend)
    invite(today, {"user": friend, "referrer": sharer, "item": item, "group": np.full(len(friend), -1)})


def friend_of(shop: Shop, users: Array, rng: np.random.Generator) -> Array:
    """A friend of each of `users`: another visitor of their community."""
    size = min(COMMUNITY, len(shop.people))
    block = np.minimum(users // size * size, len(shop.people) - size)
    friend: Array = block + (users - block + rng.integers(1, size, len(users))) % size
    return friend


def invite(today: Today, visits: Columns) -> Array:
    """Puts visits (user, referrer, item, group) on the agenda of tomorrow or the day after; returns which will be."""
    stays = today.shop.people.left[visits["user"]] > today.day + 2
    days = today.day + today.rng.integers(1, 3, len(stays))
    today.shop.arrange("visits", days[stays], take(visits, stays))
    return stays


def open_groups(today: Today, lines: Lines) -> None:
    """Some lines open a group (their `group` code is set). It succeeds if a friend comes to join, else it fails."""
    shop, visits, rng = today.shop, today.visits, today.rng
    some = np.flatnonzero((rng.random(len(lines)) < GROUP_SHARE) & (lines.codes["group"] < 0))
    group = shop.new_numbers("group", len(some))
    lines.codes["group"][some] = group
    visit, item = lines.visit[some], lines.item[some]
    user = visits.user[visit]
    today.tell("group_open", visit, paid_at(visits, visit) - SECOND, item=item, group=group)
    friends = np.minimum(rng.poisson(0.8 + shop.people.pull[user]), 5)
    sharer, items, groups = np.repeat(user, friends), np.repeat(item, friends), np.repeat(group, friends)
    friend = friend_of(shop, sharer, rng)
    come = invite(today, {"user": friend, "referrer": sharer, "item": items, "group": groups})
    joined = np.isin(group, groups[come]).astype(np.int64)
    outcome = {"known_as": visits.known_as[visit], "item": item, "group": group, "ok": joined}
    shop.arrange("groups", np.full(len(some), today.day + SETTLES_AFTER), outcome)


def join_groups(today: Today) -> None:
    """Friends who came for a group join it."""
    visits = today.visits
    some = np.flatnonzero(visits.group >= 0)
    told = {name: getattr(visits, name)[some] for name in ("item", "group", "referrer")}
    today.tell("group_join", some, visits.start[some] + 25 * SECOND, **told)
