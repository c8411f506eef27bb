"""The sample shop from the end of its history on: who comes, what comes of showing them things, what was best.

A closed loop is: `visitors()` says who comes today; the caller asks a recommender for each; `day(answers)` lets the day
pass and returns its events; `records(events)` go to `/v1/events`. `reward`, `best`, `uplift` and `offer_profit` are the
truth to compare with: regret is the difference between `slate_reward` of `best` and of what was shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from portraits.errors import InvalidValue, UnknownName
from portraits.sample.catalogues import item_text, offer_text, user_text, words
from portraits.sample.choice import buy_chance, examined, offer_shift
from portraits.sample.coupons import may_have
from portraits.sample.day import live, wake
from portraits.sample.history import lived_days
from portraits.sample.plan import END, plan
from portraits.sample.profit import offer_profit
from portraits.sample.response import Visitors
from portraits.sample.rows import TYPE, Array, Columns, Encoder, take
from portraits.sample.shop import open_shop
from portraits.sample.today import Today
from portraits.sample.visits import expected_visits

ANSWER = pa.schema(
    [
        ("decision_id", pa.string()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("offer_id", pa.string()),
        ("position", pa.int64()),
        ("ts", pa.timestamp("us", tz="UTC")),
    ]
)
"""A row of answers: what stood at one position (from 1) of one answer, an item or an offer, and when."""


class World:
    """The shop that `history(seed, n)` writes, standing at the end of that history.

    Lives the whole history once to get there (about as long as writing it). Raises InvalidValue as `history` does.
    """

    def __init__(self, seed: int, n: int, *, variant: str = "shop", end: datetime = END) -> None:
        self._shop = open_shop(plan(seed, n, variant, end))
        self._visitors = Visitors(self._shop)
        launches = []
        for day, lived in enumerate(lived_days(self._shop)):
            self._visitors.remember(lived.events, day)
            launches.append(int((lived.events["type"] == TYPE["launch"]).sum()))
        self._day = self._shop.plan.days
        seasons = [self._shop.plan.season(self._day - back) for back in range(1, 8)]
        self._usual_visits = sum(launches[-7:]) / sum(seasons)
        self._today: Today | None = None
        self._items = {text: code for code, text in enumerate(item_text(self._shop).to_pylist())}
        self._offers = {text: code for code, text in enumerate(offer_text(self._shop).to_pylist())}

    @property
    def now(self) -> datetime:
        """First moment of the day that `day` will let pass."""
        return datetime.combine(self._shop.plan.date(self._day), time(), UTC)

    def visitors(self) -> pa.Table:
        """Who comes today: user_id, ts, platform, scene, store_id, in order of time. The same until `day` is called."""
        visits = self._morning().visits
        order = np.argsort(visits.start, kind="stable")
        facts, text = visits.facts(self._shop, order), words(self._shop)
        return pa.table(
            {
                "user_id": user_text(self._shop, visits.known_as[order]),
                "ts": pa.array(visits.start[order], ANSWER.field("ts").type),
                **{name: text[name].take(pa.array(facts[name])) for name in ("platform", "scene")},
                "store_id": text["store"].take(pa.array(facts["store"], mask=facts["store"] < 0)),
            }
        )

    def day(self, answers: pa.Table | Iterable[Mapping[str, Any]] = ()) -> pa.Table:
        """Lets today pass and returns its events in the contract's columns (`records` makes them ready for HTTP).

        `answers` has the columns of ANSWER; missing ones are null. A row is shown in the visitor's last visit that
        began by `ts`, else in the first; one for somebody who does not come is seen by nobody. A visit is shown one
        coupon, the best placed that the visitor may have. Raises UnknownName for an item or offer the shop has not.
        """
        given = answers if isinstance(answers, pa.Table) else pa.Table.from_pylist(list(answers), ANSWER)
        given = pa.table({f.name: _column(given, f) for f in ANSWER}, schema=ANSWER)
        today = self._morning()
        lived = live(today, self._visitors.take_in(today, self._placed(today, given)))
        self._visitors.remember(lived.events, self._day)
        self._day, self._today = self._day + 1, None
        decisions = given.column("decision_id").combine_chunks()
        encoder = Encoder({**words(self._shop), "decision": decisions}, partial(user_text, self._shop))
        return _plain(encoder.table(lived.events))

    def reward(self, user_ids: Iterable[str], item_ids: Iterable[str], kind: str = "purchases") -> Array:
        """Expected gain today of showing each item to each user where it is looked at: users x items.

        `kind` is clicks, purchases (orders), margin (fen), or revenue (fen: amounts paid; in media what ads earn).
        """
        users, items = self._users(user_ids), self._codes(self._items, "item", item_ids)
        pairs = np.repeat(users, len(items)), np.tile(items, len(users))
        return self._visitors.gain(*pairs, self._day, kind).reshape(len(users), len(items))

    def best(self, user_ids: Iterable[str], k: int, kind: str = "purchases") -> tuple[list[list[str]], Array]:
        """The oracle: the `k` items of the highest reward for each user, and those rewards (users x k)."""
        users, ids = self._users(user_ids), list(self._items)
        there = np.flatnonzero(self._shop.goods.alive(self._day))
        chosen, gains = [], np.empty((len(users), k))
        for row, user in enumerate(users):
            gain = self._visitors.gain(np.full(len(there), user), there, self._day, kind)
            top = np.argsort(-gain, kind="stable")[:k]
            chosen.append([ids[code] for code in there[top]])
            gains[row] = gain[top]
        return chosen, gains

    @staticmethod
    def slate_reward(gains: Array) -> Array:
        """Expected gain of slates from the rewards of their items in order (slates x positions)."""
        total: Array = (gains * examined(np.arange(1, gains.shape[-1] + 1))).sum(axis=-1)
        return total

    def uplift(self, user_ids: Iterable[str], offer_ids: Iterable[str]) -> tuple[Array, Array]:
        """Chance that an ordinary visit ends in an unplanned purchase without and with each offer, both users x offers.

        Where the user may not have the offer (any more) the two are equal.
        """
        users, codes = self._users(user_ids), self._codes(self._offers, "offer", offer_ids)
        without = np.repeat(buy_chance(self._shop, users)[:, None], len(codes), axis=1)
        chance = without.copy()
        for column, code in enumerate(codes):
            campaign = self._shop.campaigns[code]
            changed = buy_chance(self._shop, users, offer_shift(self._shop, users, campaign))
            chance[:, column] = np.where(may_have(self._shop, users, campaign), changed, without[:, column])
        return without, chance

    def offer_profit(self, user_ids: Iterable[str], offer_ids: Iterable[str]) -> tuple[Array, Array]:
        """Expected gain and cost today (fen; see `sample.profit`) of showing each offer to each user who comes, on the
        first visit of the day: both users x offers, 0 where the user may not have the offer (any more). What a plan
        earns is the sum of gain - cost over those it shows something, times `coming`.
        """
        users, codes = self._users(user_ids), self._codes(self._offers, "offer", offer_ids)
        return offer_profit(self._morning(), users, [self._shop.campaigns[code] for code in codes])

    def coming(self, user_ids: Iterable[str]) -> Array:
        """Chance that each user comes today, by habit or for a need that is due (without friends' shares)."""
        want = self._usual_visits * self._shop.plan.season(self._day)
        expected = expected_visits(self._shop, self._day, want)[self._users(user_ids)]
        chance: Array = -np.expm1(-expected.astype(np.float64))
        return chance

    def _morning(self) -> Today:
        if self._today is None:
            self._today = wake(self._shop, self._day, self._usual_visits * self._shop.plan.season(self._day))
        return self._today

    def _placed(self, today: Today, given: pa.Table) -> Columns:
        """Answers as codes with the visit that sees each; those that nobody sees are left out."""
        lots = {
            "user": self._users(given.column("user_id").to_pylist()),
            "item": self._codes(self._items, "item", given.column("item_id").to_pylist()),
            "offer": self._codes(self._offers, "offer", given.column("offer_id").to_pylist()),
            "position": given.column("position").to_numpy(),
            "at": given.column("ts").cast(pa.int64()).to_numpy(),
            "decision": np.arange(len(given)),
        }
        visits = today.visits
        order = np.lexsort((visits.start, visits.user))
        first = np.searchsorted(visits.user[order], lots["user"], side="left")
        after = np.searchsorted(visits.user[order], lots["user"], side="right")
        comes = np.flatnonzero(after > first)
        lots, first, after = take(lots, comes), first[comes], after[comes]
        visit = order[first]
        for later in range(1, int((after - first).max(initial=0))):
            candidate = order[np.minimum(first + later, after - 1)]
            visit = np.where(visits.start[candidate] <= lots["at"], candidate, visit)
        return {**lots, "visit": visit}

    def _users(self, user_ids: Iterable[str]) -> Array:
        """User codes; an anonymous id stands for its user. Raises InvalidValue for an id that is none of the shop's."""
        ids = list(user_ids)
        for text in ids:
            if text[:1] not in ("u", "a") or not text[1:].isdigit() or int(text[1:]) >= self._shop.plan.users:
                raise InvalidValue("user_id", text, f"a visitor of this shop, below u{self._shop.plan.users:08d}")
        return np.array([int(text[1:]) for text in ids], np.int64)

    @staticmethod
    def _codes(known: Mapping[str, int], kind: str, ids: Iterable[str | None]) -> Array:
        try:
            return np.array([-1 if text is None else known[text] for text in ids], np.int64)
        except KeyError as error:
            raise UnknownName(kind, str(error.args[0]), [*list(known)[:3], "..."]) from None


def records(events: pa.Table) -> list[dict[str, Any]]:
    """Events as JSON objects for `POST /v1/events`: no nulls, times in RFC 3339, quantities as text."""
    return [{k: _json(v) for k, v in row.items() if v is not None} for row in events.to_pylist()]


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, (str, int)) else str(value)


def _column(table: pa.Table, field: pa.Field) -> pa.Array:
    """A column of answers in its type; null where the caller does not give it."""
    if field.name not in table.column_names:
        return pa.nulls(len(table), field.type)
    return table.column(field.name).cast(field.type)


def _plain(table: pa.Table) -> pa.Table:
    """Dictionary columns as the strings they stand for."""
    fields = [
        pa.field(field.name, field.type.value_type if pa.types.is_dictionary(field.type) else field.type)
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))
