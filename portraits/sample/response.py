"""How the visitors of a day take what answers show them, and what it is worth.

The laws are those of `choice`, with what only an answer can know: an item that was just bought tires, an item that is
needed again and due is welcome. Luck of a visitor, an item and a day is a hash of them: two policies that show the
same thing meet the same luck, and what differs between two worlds is what was shown.
"""

from __future__ import annotations

import numpy as np

from portraits.errors import UnknownName
from portraits.sample.browse import AD_CLICK_FEN, AD_CLICKS, AD_FEN, MEDIA_ADS, SECOND, Views, place_ads
from portraits.sample.choice import appeal, examined, open_chance, sigmoid
from portraits.sample.coupons import Shown, may_have
from portraits.sample.lines import Lines, lines_of, renew, usual_quantity
from portraits.sample.plan import uniform
from portraits.sample.rows import TYPE, Array, Columns, take
from portraits.sample.shop import Shop
from portraits.sample.today import Today

REWARDS = ("clicks", "purchases", "margin", "revenue")
OPENS_NEED, BUYS_NEED = 0.9, 0.8
"""Chance that a needed item that is due is opened when looked at, and bought when opened."""
TIRED_DAYS, TIRED = 30, 0.15
"""For so many days after buying an item, the chance to open it is this share of the usual, unless it is due again."""


class Visitors:
    """What visitors of a shop would do with an item on a day. Remembers who bought what, and when last."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._bought = np.empty(0, np.int64)
        self._bought_day = np.empty(0, np.int64)

    def remember(self, events: Columns, day: int) -> None:
        """Takes note of the purchases of a day."""
        bought = take(events, (events["type"] == TYPE["purchase"]) & (events["user"] < self._shop.plan.users))
        key = bought["user"] * self._shop.plan.items + bought["item"]
        days = np.concatenate([np.full(len(key), day), self._bought_day])
        self._bought, first = np.unique(np.concatenate([key, self._bought]), return_index=True)
        self._bought_day = days[first]

    def open_chance(self, users: Array, items: Array, day: int) -> Array:
        """Chance that each user opens each item (same length) when it is looked at; 0 for items that are not there."""
        usual = open_chance(self._shop, users, items, day)
        usual = np.where(self._tired(users, items, day), TIRED * usual, usual)
        usual = np.where(self._due(users, items, day).any(axis=1), OPENS_NEED, usual)
        return np.where(self._shop.goods.alive(day)[items], usual, 0.0)

    def buy_chance(self, users: Array, items: Array, day: int) -> Array:
        """Chance that an opened item is bought: sigmoid(bias + 1 + appeal), or BUYS_NEED where a need is due."""
        usual = sigmoid(self._shop.people.bias[users] + 1 + appeal(self._shop, users, items, day))
        return np.where(self._due(users, items, day).any(axis=1), BUYS_NEED, usual)

    def gain(self, users: Array, items: Array, day: int, kind: str) -> Array:
        """Expected clicks, purchases (orders), margin or revenue (fen) of each item when it is looked at."""
        if kind not in REWARDS:
            raise UnknownName("reward", kind, REWARDS)
        clicks = self.open_chance(users, items, day)
        if kind == "clicks":
            return clicks
        if not self._shop.plan.sells:
            return clicks * (ad_value() if kind == "revenue" else 0.0)
        orders: Array = clicks * self.buy_chance(users, items, day)
        if kind == "purchases":
            return orders
        goods = self._shop.goods
        paid = goods.price[items] * (1 - goods.sale(items, day))
        each = paid - goods.cost[items] if kind == "margin" else paid
        worth: Array = orders * usual_quantity(goods.leaf[items]) * each
        return worth

    def take_in(self, today: Today, lots: Columns) -> Shown:
        """What the day's answers lead to. `lots`: visit, user, item and offer (-1: none), position, decision."""
        lines = self._items(today, take(lots, lots["item"] >= 0))
        coupons = take(lots, lots["offer"] >= 0)
        allowed = np.zeros(len(coupons["user"]), bool)
        for campaign in self._shop.campaigns:
            allowed |= (coupons["offer"] == campaign.code) & may_have(self._shop, coupons["user"], campaign)
        coupons = take(coupons, np.flatnonzero(allowed))
        coupons = take(coupons, np.argsort(-coupons["position"], kind="stable"))  # the best placed is written last
        by_visit = {name: np.full(len(today.visits), -1) for name in ("offer", "decision", "position")}
        for name, values in by_visit.items():
            values[coupons["visit"]] = coupons[name]
        return Shown(lines, by_visit.pop("offer"), by_visit)

    def _items(self, today: Today, lots: Columns) -> Lines:
        """Exposures, clicks and views of shown items; returns the order lines they lead to."""
        day = today.day
        at = today.visits.start[lots["visit"]] + 3 * SECOND + lots["position"] * 1_000
        told = {name: lots[name] for name in ("item", "decision", "position")}
        today.tell("exposure", lots["visit"], at, page=0, **told)
        opens = self._luck(lots, day, 1) < examined(lots["position"])
        opens &= self._luck(lots, day, 2) < self.open_chance(lots["user"], lots["item"], day)
        lots, at, told = take(lots, opens), at[opens] + 4 * SECOND, take(told, opens)
        today.tell("click", lots["visit"], at, page=0, **told)
        if not self._shop.plan.sells:
            today.tell("content_view", lots["visit"], at + SECOND, page=2, content=lots["item"], **told)
            none = np.full(len(at), -1)
            views = Views(lots["visit"], lots["item"], at + SECOND, none, none, none)
            place_ads(today, views, np.flatnonzero(self._luck(lots, day, 4) < MEDIA_ADS), views.item)
            return lines_of(none[:0], none[:0])
        today.tell("item_view", lots["visit"], at + SECOND, page=1, **told)
        return self._buy(take(lots, self._luck(lots, day, 3) < self.buy_chance(lots["user"], lots["item"], day)), day)

    def _buy(self, lots: Columns, day: int) -> Lines:
        """Lines of what is bought, each item once a visitor; a need that is met is not due any more."""
        lots = take(lots, np.unique(lots["user"] * self._shop.plan.items + lots["item"], return_index=True)[1])
        due = self._due(lots["user"], lots["item"], day)
        met = np.flatnonzero(due.any(axis=1))
        renew(self._shop, lots["user"][met], due[met].argmax(axis=1), day, np.zeros(len(met)))
        return lines_of(lots["visit"], lots["item"], decision=lots["decision"], position=lots["position"])

    def _due(self, users: Array, items: Array, day: int) -> Array:
        """Which of each user's needs the item meets today: n x NEEDS."""
        people = self._shop.people
        own: Array = people.need_item[users] == items[:, None]
        return np.logical_and(own, people.need_next[users] <= day)

    def _tired(self, users: Array, items: Array, day: int) -> Array:
        key = users * self._shop.plan.items + items
        place = np.minimum(np.searchsorted(self._bought, key), len(self._bought) - 1)
        if not len(self._bought):
            return np.zeros(len(key), bool)
        tired: Array = (self._bought[place] == key) & (self._bought_day[place] > day - TIRED_DAYS)
        return tired

    def _luck(self, lots: Columns, day: int, purpose: int) -> Array:
        return uniform(self._shop.plan.seed, np.full(len(lots["user"]), day * 10 + purpose), lots["user"], lots["item"])


def ad_value() -> float:
    """What the ads beside one content bring on average, in fen."""
    seen, clicked = (sum(span) - 1 for span in (AD_FEN, AD_CLICK_FEN))
    return MEDIA_ADS * (seen + AD_CLICKS * clicked) / 2
