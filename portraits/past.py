"""The past: what features may see, and nothing else.

`Past` holds the tables (grains) that features aggregate, all made from events before T and catalogue rows true at T,
without test traffic and without visitors who refused. Tables that several grains read are kept by the engine once
computed; of a long history everything wider than an order line stays a scan of the lake, since a copy would not fit.

Every visitor's own actions make visits; what merely happens to a visitor (a message sent, an offer expired) does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from portraits import scenes
from portraits.grains import contents, coupons, memberships, places, rhythms, sharing, tags, trading
from portraits.local import Now, Zone, day_number, hour_of_day, iso_weekday, microseconds, to_us
from portraits.settings import AppSettings
from portraits.visits import visits_of, without_test_traffic

PASSIVE = (
    "message_sent",
    "offer_expire",
    "offer_return",
    "group_success",
    "group_fail",
    "refund",
    "order_cancel",
)
"""Types that happen to a visitor without the visitor doing anything."""

COLUMNS = (
    "user_id",
    "ts",
    "type",
    "item_id",
    "order_id",
    "quantity",
    "amount",
    "list_amount",
    "discount",
    "revenue",
    "platform",
    "scene",
    "duration_ms",
    "store_id",
    "city",
    "content_id",
    "referrer_user_id",
    "group_id",
    "decision_id",
    "position",
    "offer_id",
    "points",
)

BY_TAG = {"tastes": tags.likes, "aversions": tags.aversions}
"""Grains that grow with what visitors do and with the tags of items, too large to be made at once."""

OF_CLAIMS = ("offer_claim", "offer_redeem", "offer_return", "offer_expire")
NAMES_CLAIM = r'"claim_id" *: *"([^"\\]+)"'

COPIED = 5_000_000
"""Events, at most, of a past that is copied once, at about 0.3 GB a million: it is read twenty times, and each time
people would be merged and those who refused left out anew."""

AT_ONCE = 20_000_000
"""Events that are sorted, or collected into lists, at one time: about 4 GB."""


@dataclass(frozen=True)
class Past:
    """One app's history before `as_of`, as tables for features.

    lake_events, lake_items, ...: lake tables (events of any time; catalogue rows true at `as_of`). first: the
    earliest event. size: how many events there are, to know what fits into memory at once. real_time: timestamps are
    moments, not row numbers; grains that need a clock mean nothing where it is false. known_items: `items` of a past
    of everyone, where this is the past of some.
    """

    lake_events: ir.Table
    lake_items: ir.Table
    lake_users: ir.Table
    lake_stores: ir.Table
    lake_contents: ir.Table
    lake_offers: ir.Table
    settings: AppSettings
    as_of: datetime
    first: datetime
    size: int = 0
    real_time: bool = True
    known_items: ir.Table | None = None

    def among(self, users: ir.Table, share: float) -> Past:
        """The past of some visitors, a `share` of all. users: user_id."""
        events = self.lake_events.semi_join(users, "user_id")
        return replace(self, lake_events=events, size=round(share * self.size))

    def since(self, cuts: pa.Table) -> Past:
        """The past of some visitors, each from a moment of their own on. cuts: user_id, us.

        Who came in by what one of them shared since is in it, too, with that visit alone. The users catalogue is not.
        """
        cut = ibis.memtable(cuts).rename(cut_user="user_id", cut_us="us")
        events = self.lake_events.select(*COLUMNS)
        late = microseconds(events.ts) >= cut.cut_us
        own = events.inner_join(cut, [events.user_id == cut.cut_user, late]).select(*COLUMNS)
        brought = events.inner_join(cut, [events.referrer_user_id == cut.cut_user, late]).select(*COLUMNS)
        brought = brought.anti_join(ibis.memtable(cuts.select(["user_id"])), "user_id")
        none = self.lake_users.limit(0)
        return replace(self, lake_events=own.union(brought).cache(), lake_users=none, size=0, known_items=self.items)

    @cached_property
    def zone(self) -> Zone:
        return Zone.between(self.settings.time_zone, min(self.first, self.as_of), self.as_of)

    @cached_property
    def now(self) -> Now:
        us = to_us(self.as_of)
        half_life = self.settings.taste_half_life_days if self.real_time else None
        return Now(us=us, day=day_number(self.zone.local_us(us)), half_life_days=half_life)

    def pieces(self, grain: str) -> list[ir.Table]:
        """The grain as tables of disjoint visitors: several where aggregating it at once would outgrow memory."""
        if grain in BY_TAG:
            return [BY_TAG[grain](events, self._tagged, self.now) for events in self._events_by_range]
        return [getattr(self, grain)]

    # -- events ------------------------------------------------------------------------------------------------

    @cached_property
    def before(self) -> ir.Table:
        """Events before T of visitors who did not refuse, test traffic still among them; `claim_id`: which claim of an
        offer one names."""
        events = self.lake_events.filter(self.lake_events.ts < ibis.literal(self.as_of, "timestamp('UTC')"))
        refused = self.lake_users.filter(self.lake_users.consent == False)  # noqa: E712
        refused = refused.select("user_id").cache()
        events = events.select(*COLUMNS, ts_us=microseconds(events.ts), claim_id=_claim_id(events))
        events = events.anti_join(refused, "user_id")
        return events.cache() if 0 < self.size <= COPIED else events

    @cached_property
    def events(self) -> ir.Table:
        """One row an event: the contract's columns, `ts_us`, and `own` (the visitor did it)."""
        before = self.before
        touched = before.filter(scenes.is_test(before.platform, before.scene)).select("user_id").distinct().cache()
        if touched.count().execute() > 0:
            mixed = before.semi_join(touched, "user_id").cache()
            before = before.anti_join(touched, "user_id").union(without_test_traffic(mixed).cache())
        return before.mutate(own=before.type.notin(PASSIVE))

    @cached_property
    def _events_by_range(self) -> list[ir.Table]:
        """`events` cut by user_id into pieces of about AT_ONCE events: one piece for most apps.

        Sorting a piece fits into memory, and the lake's files, sorted by user_id, let a piece skip most of the rest.
        """
        parts = -(-self.size // AT_ONCE)
        if parts <= 1:
            return [self.events]
        users = self.events.select("user_id").distinct()
        tiled = users.mutate(tile=ibis.ntile(parts).over(ibis.window(order_by="user_id")))
        firsts = sorted(tiled.group_by("tile").aggregate(first=tiled.user_id.min()).first.to_pyarrow().to_pylist())
        if len(firsts) <= 1:
            return [self.events]
        user_id = self.events.user_id
        bounds = zip(firsts, [*firsts[1:], None], strict=True)
        return [
            self.events.filter(user_id >= low if high is None else (user_id >= low) & (user_id < high))
            for low, high in bounds
        ]

    # -- visits ------------------------------------------------------------------------------------------------

    @cached_property
    def visits(self) -> ir.Table:
        """Sessions with their place on the local clock: user_id, start_us, end_us, events, code (of the channel),
        day, hour, weekday."""
        columns = ("user_id", "ts_us", "type", "platform", "scene")
        # A copy of these few, since they are read twice: the engine would copy all columns.
        narrow = (events.filter(events.own).select(*columns).cache() for events in self._events_by_range)
        found = ibis.union(*(visits_of(events).cache() for events in narrow))
        entrances = found.select("platform", "scene").distinct().to_pyarrow()
        named = ibis.memtable(scenes.lookup(entrances))
        joined = found.inner_join(named, ["platform", "scene"])
        local = self.zone.local_us(joined.start_us)
        day = day_number(local)
        return joined.select(
            "user_id",
            "start_us",
            "end_us",
            "events",
            "code",
            day=day,
            hour=hour_of_day(local),
            weekday=iso_weekday(day),
        ).cache()

    @cached_property
    def days(self) -> ir.Table:
        return self.visits.group_by("user_id", "day").aggregate(visits=ibis._.count())

    @cached_property
    def hours(self) -> ir.Table:
        return self.visits.group_by("user_id", "hour").aggregate(visits=ibis._.count())

    @cached_property
    def weekdays(self) -> ir.Table:
        return self.visits.group_by("user_id", "weekday").aggregate(visits=ibis._.count())

    @cached_property
    def channels(self) -> ir.Table:
        """user_id, code, visits, first_us, last_us, spend, revenue: money counts for the visit in which it came."""
        visits, trades = self.visits, self.trades
        none = ibis.literal(0, "int64")
        starts = visits.select("user_id", ts_us=visits.start_us, code=visits.code, spend=none, revenue=none)
        bought = trades.filter(trades.is_purchase)
        buys = bought.select("user_id", "ts_us", code=ibis.null("int64"), spend=bought.amount, revenue=none)
        paid = self.events.filter(self.events.own & (self.events.revenue > 0))
        earned = paid.select("user_id", "ts_us", code=ibis.null("int64"), spend=none, revenue=paid.revenue)
        both = ibis.union(starts, buys, earned)
        so_far = ibis.window(group_by="user_id", order_by=["ts_us", both.code.isnull()], preceding=None, following=0)
        entered = (both.ts_us * scenes.CODE_SPACE + both.code).max().over(so_far)
        placed = both.mutate(entry=entered % scenes.CODE_SPACE, start=both.code.notnull())
        return placed.group_by("user_id", code="entry").aggregate(
            visits=ibis._.start.sum(),
            first_us=ibis._.ts_us.min(where=ibis._.start),
            last_us=ibis._.ts_us.max(where=ibis._.start),
            spend=ibis._.spend.sum(),
            revenue=ibis._.revenue.sum(),
        )

    # -- purchases ---------------------------------------------------------------------------------------------

    @cached_property
    def trades(self) -> ir.Table:
        """Purchases, refunds and cancellations: see `trading.trades`. Kept, since they are few and much read."""
        return trading.trades(self.events, self.zone).cache()

    @cached_property
    def items(self) -> ir.Table:
        """item_id, cost, root category, path, price_level_e9: see `tags.item_facts`."""
        if self.known_items is not None:
            return self.known_items
        return tags.item_facts(self.lake_items, self.trades).cache()

    @cached_property
    def lines(self) -> ir.Table:
        """`trades` with what is known of each item and of the offer, and what was saved: see `trading.lines`."""
        return trading.lines(self.trades, self.items, self.lake_offers)

    @cached_property
    def orders(self) -> ir.Table:
        """One row an order: see `trading.orders`."""
        return trading.orders(self.trades)

    @cached_property
    def order_days(self) -> ir.Table:
        """user_id, day, gap (days since the visitor's previous order day, null on the first)."""
        days = self.orders.group_by("user_id", "day").aggregate(orders=ibis._.count())
        return days.mutate(gap=days.day - days.day.lag().over(ibis.window(group_by="user_id", order_by="day")))

    @cached_property
    def paydays(self) -> ir.Table:
        return rhythms.paydays(self.orders)

    @cached_property
    def refills(self) -> ir.Table:
        return rhythms.refills(self.lines, self.now)

    # -- offers and membership ---------------------------------------------------------------------------------

    @cached_property
    def coupons(self) -> ir.Table:
        return coupons.coupons(self.events, self.lake_offers)

    @cached_property
    def members(self) -> ir.Table:
        return memberships.members(self.lake_users, self.as_of)

    @cached_property
    def permissions(self) -> ir.Table:
        return memberships.permissions(self.events)

    # -- taste -------------------------------------------------------------------------------------------------

    @cached_property
    def _tagged(self) -> tags.Tagged:
        return tags.tag_items(self.lake_items, self.items)

    # -- places ------------------------------------------------------------------------------------------------

    @cached_property
    def store_days(self) -> ir.Table:
        return places.store_days(self.events, self.zone).cache()

    @cached_property
    def stores(self) -> ir.Table:
        return places.stores(self.store_days, self.lake_stores)

    @cached_property
    def store_hours(self) -> ir.Table:
        return self.store_days.group_by("user_id", "hour").aggregate(visits=ibis._.count())

    @cached_property
    def cities(self) -> ir.Table:
        return places.cities(self.events, self.zone)

    # -- friends -----------------------------------------------------------------------------------------------

    @cached_property
    def _arrivals(self) -> ir.Table:
        return sharing.arrivals(self.events, self.visits).cache()

    @cached_property
    def friends(self) -> ir.Table:
        return sharing.friends(self._arrivals, self.trades)

    @cached_property
    def kin(self) -> ir.Table:
        return sharing.kin(sharing.forest(self._arrivals), self.trades)

    # -- contents ----------------------------------------------------------------------------------------------

    @cached_property
    def contents(self) -> ir.Table:
        return contents.contents(self.events, self.trades, self.lake_contents).cache()

    @cached_property
    def content_kinds(self) -> ir.Table:
        return contents.kinds(self.contents)

    @cached_property
    def content_tastes(self) -> ir.Table:
        return contents.tastes(self.events, self.lake_contents, self._tagged, self.now)


def _claim_id(events: ir.Table) -> ir.StringValue:
    """What events about claims of offers say of it among their properties (`serving.stores.claims` writes it there)."""
    if "properties" not in events.columns:
        return ibis.null("string")
    named = events.type.isin(OF_CLAIMS) & events.properties.notnull()
    found: ir.StringValue = ibis.ifelse(named, events.properties.re_extract(NAMES_CLAIM, 1), None).nullif("")
    return found
