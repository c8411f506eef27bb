"""One day of the sample shop: visits, browsing, sharing, buying, and the noise of bots and tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from portraits.sample import names
from portraits.sample.browse import SECOND, Shelves, browse
from portraits.sample.coupons import Shown, expire, random_coupons
from portraits.sample.goods import DayDemand
from portraits.sample.lines import lines_of
from portraits.sample.orders import sell, settle
from portraits.sample.plan import DAY_US
from portraits.sample.rows import Array, Columns, Rows
from portraits.sample.shop import Shop
from portraits.sample.social import share
from portraits.sample.today import Today
from portraits.sample.visits import Visits, make_visits

PURPOSE = 3
BOT_VISITS, BOT_VIEWS = 0.0009, 80
"""Runs of bots for each visit, and views of a run."""
TEST_EVENTS = 0.03
"""Events of test traffic for each visit."""


@dataclass
class Day:
    """What a day left: events; decisions about shelves; the truth about coupons and about friends shares brought."""

    events: Columns
    shelves: Shelves
    coupons: Columns
    brought: Columns


def wake(shop: Shop, day: int, want_visits: float) -> Today:
    """Begins a day: tastes that switch, and about `want_visits` visits, before anything is shown to them."""
    rows = Rows()
    shop.people.switch_tastes(day)
    visits = make_visits(shop, day, shop.plan.rng(PURPOSE, day, 0), want_visits, rows)
    demand = DayDemand(shop.goods, shop.contents, day, shop.plan.date(day).timetuple().tm_yday)
    return Today(shop, day, visits, demand, shop.plan.rng(PURPOSE, day, 1), rows)


def live(today: Today, shown: Shown | None = None) -> Day:
    """Lets the rest of the day pass. Without `shown` the shop does as in the past: random shelves and coupons."""
    shop, visits = today.shop, today.visits
    views, shelves = browse(today, shelf=shown is None)
    share(today, views)
    bought, coupons = np.zeros(len(visits), bool), Columns()
    if shown is None:
        nothing = np.empty(0, np.int64)
        shown = Shown(lines_of(nothing, nothing), random_coupons(today), {})
    if shop.plan.sells:
        bought, coupons = sell(today, views, shown)
        settle(today)
        expire(today)
    _programs(today)
    events = today.rows.columns(shop.numbers["event"])
    shop.numbers["event"] += len(events["at"])
    if len(visits):
        shop.events_per_visit += 0.2 * (len(events["at"]) / len(visits) - shop.events_per_visit)
    return Day(events, shelves, coupons, _brought(visits, bought))


def _brought(visits: Visits, bought: Array) -> Columns:
    some = np.flatnonzero((visits.referrer >= 0) & (visits.referrer != visits.user))
    return {
        "sharer": visits.referrer[some],
        "friend": visits.user[some],
        "at": visits.start[some],
        "new": visits.fresh[some],
        "paid": bought[some],
    }


def _programs(today: Today) -> None:
    """Bots open an item every second, far more than people; tests come by the scenes that platforms keep for them."""
    plan, rng = today.shop.plan, today.rng
    begins = plan.day_us(today.day)
    runs = rng.poisson(BOT_VISITS * len(today.visits))
    bot = np.repeat(plan.users + rng.integers(0, plan.bots, runs), BOT_VIEWS)
    start = np.repeat(rng.integers(0, DAY_US - 3_600 * SECOND, runs), BOT_VIEWS)
    at = begins + start + np.tile(np.arange(BOT_VIEWS), runs) * SECOND
    session = np.repeat(today.shop.new_numbers("session", runs), BOT_VIEWS)
    stay, search = rng.integers(50, 400, len(bot)), names.SCENE_VALUES.index("1053")
    _look(today, bot, at, duration=stay, scene=search, platform=0, session=session, device=1)
    count = rng.poisson(TEST_EVENTS * len(today.visits))
    tester = plan.users + plan.bots + rng.integers(0, plan.testers, count)
    at = begins + rng.integers(0, DAY_US - 3_600 * SECOND, count)
    first = names.SCENE_VALUES.index(names.TEST_SCENES[0])
    scene = first + rng.integers(0, len(names.TEST_SCENES), count)
    half = count // 2
    today.rows.add("launch", tester[:half], at[:half], scene=scene[:half], platform=0)
    _look(today, tester[half:], at[half:], scene=scene[half:], platform=0)


def _look(today: Today, user: Array, at: Array, **columns: Array | int) -> None:
    item = today.rng.integers(0, today.shop.plan.items, len(user))
    if today.shop.plan.sells:
        today.rows.add("item_view", user, at, item=item, page=1, **columns)
    else:
        today.rows.add("content_view", user, at, item=item, content=item, page=2, **columns)
