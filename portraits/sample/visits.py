"""Who comes on a day, when, and through which entrance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from portraits.sample import names
from portraits.sample.campaigns import campaign_on
from portraits.sample.people import NEEDS, NEVER
from portraits.sample.rows import Array, Rows
from portraits.sample.shop import Shop

DUE_PULL = 0.25
"""Extra visits a day of a visitor whose need is due."""
SECOND_VISIT = 0.2
OWN_CHANNEL = 0.65
"""Share of visits through the visitor's usual entrance; the rest by any."""
_WEEKEND = np.array([[1.0, 1.25, 0.5], [1.0, 0.4, 2.2]], np.float32)
"""Visits on working days and weekends by the habit of People.weekend."""
_SHARE, _MESSAGE = names.CHANNELS.index("share_chat"), names.CHANNELS.index("subscribe_message")
_IN_STORE = [names.CHANNELS.index("scan"), names.CHANNELS.index("nearby")]
_SCENE = np.array([[names.SCENE_VALUES.index(scene) for scene in row] for row in names.SCENES], np.int16)


@dataclass
class Visits:
    """The visits of a day. `day_first` marks a visitor's first of the day; `referrer`, `item` and `group` are set on
    visits that a share brought; `known_as` is the user code the events carry (an anonymous one before sign-in);
    `pace` is microseconds between two views; `store` is set where the visit takes place in one."""

    user: Array
    start: Array
    day_first: Array
    channel: Array
    referrer: Array
    item: Array
    group: Array
    known_as: Array
    session: Array
    store: Array
    pace: Array
    fresh: Array

    def __len__(self) -> int:
        return len(self.user)

    def facts(self, shop: Shop, index: Array) -> dict[str, Array]:
        """Columns that every event of visits `index` carries."""
        users = self.user[index]
        platform = shop.people.platform[users]
        return {
            "session": self.session[index],
            "platform": platform,
            "scene": _SCENE[platform, self.channel[index]],
            "device": shop.people.device[users],
            "store": self.store[index],
            "place": self.store[index],
        }


def make_visits(shop: Shop, day: int, rng: np.random.Generator, want: float, rows: Rows) -> Visits:
    """About `want` visits: those habit and need bring, those that friends bring, and those that a message brings."""
    arrivals = _arrivals(shop, day, rng, want)
    again = arrivals[rng.random(len(arrivals)) < SECOND_VISIT]
    brought = shop.due("visits", day, "user", "referrer", "item", "group")
    _join(shop, brought["user"], day)
    users, opened_at = _messages(shop, day, rng, rows)
    parts = (len(arrivals), len(again), len(brought["user"]), len(users))
    user = np.concatenate([arrivals, again, brought["user"], users]).astype(np.int64)
    kind = np.repeat(np.arange(4), parts)
    start = _start_times(shop, day, rng, user)
    start[kind == 3] = opened_at
    channel = _channels(shop, rng, user, kind)
    store = _stores(shop, rng, user, channel)
    fresh = shop.people.first_day[user] == NEVER
    shop.people.first_day[user[fresh]] = day
    signed_out = shop.people.anonymous[user] & (shop.people.first_day[user] == day)
    own = np.full(sum(parts[:2]), -1)
    tail = np.full(parts[3], -1)
    return Visits(
        user=user,
        start=start,
        day_first=_first_of_each(user),
        channel=channel,
        referrer=np.concatenate([own, brought["referrer"], tail]).astype(np.int64),
        item=np.concatenate([own, brought["item"], tail]).astype(np.int64),
        group=np.concatenate([own, brought["group"], tail]).astype(np.int64),
        known_as=np.where(signed_out, anonymous_code(shop, user), user),
        session=shop.new_numbers("session", len(user)),
        store=store,
        pace=(rng.uniform(15e6, 60e6, len(user))).astype(np.int64),
        fresh=fresh,
    )


def _first_of_each(user: Array) -> Array:
    first = np.zeros(len(user), bool)
    first[np.unique(user, return_index=True)[1]] = True
    return first


def anonymous_code(shop: Shop, users: Array) -> Array:
    """User codes under which visitors appear before they sign in; they follow users, bots and testers."""
    plan = shop.plan
    return users + plan.users + plan.bots + plan.testers


def _arrivals(shop: Shop, day: int, rng: np.random.Generator, want: float) -> Array:
    """Visitors whom habit or a due need brings, drawn one by one with chance 1 - exp(-expected visits)."""
    expected = expected_visits(shop, day, want)
    return np.flatnonzero(rng.standard_exponential(len(shop.people), np.float32) < expected)


def expected_visits(shop: Shop, day: int, want: float) -> Array:
    """Visits of each visitor on a day that habit and due needs bring, if about `want` come in all."""
    people, when = shop.people, shop.plan.date(day)
    here = (people.joined <= day) & (people.left > day)
    expected = people.rate * here
    expected *= _WEEKEND[int(when.isoweekday() >= 6)][people.weekend]
    paid = np.array([1.5 if 0 < pay <= when.day <= pay + 2 else 1.0 for pay in range(32)], np.float32)
    expected *= paid[people.payday]
    due = here & np.logical_or.reduce([people.need_next[:, need] <= day for need in range(NEEDS)])
    free = max(want / (1 + SECOND_VISIT) - DUE_PULL * int(due.sum()), 0.3 * want)
    expected *= np.float32(free / max(float(expected.sum()), 1e-9))
    expected += np.float32(DUE_PULL) * due
    return expected


def store_chance(shop: Shop, users: Array) -> Array:
    """Chance that a visit of each of `users` takes place in a store."""
    shares = np.array(names.CHANNEL_SHARES)
    by_any = shares[_IN_STORE].sum() / shares.sum()
    chance: Array = OWN_CHANNEL * np.isin(shop.people.channel[users], _IN_STORE) + (1 - OWN_CHANNEL) * by_any
    return chance


def _join(shop: Shop, users: Array, day: int) -> None:
    """Friends who were not yet visitors become visitors through the share."""
    shop.people.joined[users] = np.minimum(shop.people.joined[users], day)


def _messages(shop: Shop, day: int, rng: np.random.Generator, rows: Rows) -> tuple[Array, Array]:
    """On the first day of a campaign its subscribers get a message at ten (local); some open it and come."""
    campaign = campaign_on(shop.campaigns, day)
    if campaign is None or campaign.begins != day:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    people = shop.people
    users = np.flatnonzero(people.subscribed & (people.left > day))
    sent = np.full(len(users), shop.plan.day_us(day) + 2 * 3_600_000_000)
    rows.add("message_sent", users, sent, offer=campaign.code, platform=people.platform[users])
    opens = rng.random(len(users)) < 0.15
    users, at = users[opens], (sent[opens] + rng.exponential(3e9, int(opens.sum()))).astype(np.int64)
    rows.add("message_open", users, at, offer=campaign.code, platform=people.platform[users])
    return users, at + 1_000_000


def _start_times(shop: Shop, day: int, rng: np.random.Generator, user: Array) -> Array:
    """Around each visitor's usual local hour (UTC+8), wrapped into the UTC day."""
    local = shop.people.hour[user] + rng.normal(0, 1.6, len(user))
    into_day = ((local - 8) % 24) * 3_600e6
    if day == shop.plan.days - 1:
        into_day *= 22 / 24  # nothing of the last visit may pass the end of the history
    return shop.plan.day_us(day) + into_day.astype(np.int64)


def _channels(shop: Shop, rng: np.random.Generator, user: Array, kind: Array) -> Array:
    shares = np.cumsum(names.CHANNEL_SHARES)
    any_channel = np.searchsorted(shares / shares[-1], rng.random(len(user)), side="right")
    channel = np.where(rng.random(len(user)) < OWN_CHANNEL, shop.people.channel[user], any_channel)
    return np.where(kind == 2, _SHARE, np.where(kind == 3, _MESSAGE, channel))


def _stores(shop: Shop, rng: np.random.Generator, user: Array, channel: Array) -> Array:
    if not shop.plan.sells:
        return np.full(len(user), -1)
    store = np.where(rng.random(len(user)) < 0.85, shop.people.home[user], rng.integers(0, shop.plan.stores, len(user)))
    return np.where(np.isin(channel, _IN_STORE), store, -1)
