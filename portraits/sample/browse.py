"""What visitors look at: contents, searches, the home shelf, items.

The home shelf of the past was filled at random: each day has 32 ready slates drawn by demand, each visit that sees
the shelf gets one of them, and the decision records how often an item stood at its position (its propensity). So the
log can be used for off-policy estimates without knowing how it was made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields

import numpy as np

from portraits.sample import names
from portraits.sample.choice import ANYTHING, affinity, appeal, examined, open_chance
from portraits.sample.rows import Array, Columns
from portraits.sample.shop import Shop
from portraits.sample.today import Today

SLATES, SHELF = 32, 6
SHELF_SHARE = 0.2
PICKY = 0.75
"""Share of views for which a visitor had two items in mind and took the more appealing."""
LONGEST = 12
SECOND = 1_000_000


SHOP_ADS, MEDIA_ADS, AD_CLICKS = 0.02, 0.6, 0.03
"""Chance of an ad beside a view in a shop and in media, and of a click on it."""
AD_FEN, AD_CLICK_FEN = (1, 5), (30, 121)
"""What an ad earns for being seen and for a click: from, to before."""


@dataclass
class Views:
    """Item views of a day: the visit, the item, when; `decision` and `position` where the shelf led there, `content`
    where a content did."""

    visit: Array
    item: Array
    at: Array
    decision: Array
    position: Array
    content: Array


@dataclass
class Shelves:
    """The day's decisions about home shelves; `candidates` in them is an index into `slates`, which is JSON."""

    decisions: Columns
    slates: list[str]


def draw_items(today: Today, users: Array) -> Array:
    """One item for each of `users` to look at: by own clusters, a tenth by demand alone; mostly the more appealing of
    two, so that budgets and sales show in what is looked at."""
    shop, day = today.shop, today.day
    first = _draw(today, users)
    picky = np.flatnonzero(today.rng.random(len(users)) < PICKY)
    other = _draw(today, users[picky])
    better = appeal(shop, users[picky], other, day) > appeal(shop, users[picky], first[picky], day)
    first[picky[better]] = other[better]
    return first


def _draw(today: Today, users: Array) -> Array:
    people, rng = today.shop.people, today.rng
    edges = np.cumsum(people.weights(users), axis=1)
    wish = (rng.random(len(users))[:, None] >= edges).sum(axis=1)
    cluster = people.clusters[users, np.minimum(wish, 2)]
    luck = rng.random(len(users))
    return np.where(wish == 3, today.demand.of_all(luck), today.demand.of_clusters(cluster, luck))


def browse(today: Today, shelf: bool) -> tuple[Views, Shelves]:
    """Everything before buying; `shelf` says whether the home shelf of the past is shown."""
    visits = today.visits
    everyone = np.arange(len(visits))
    today.tell("launch", everyone, visits.start, referrer=visits.referrer)
    today.tell("page_view", everyone, visits.start + SECOND, page=0)
    _enter(today)
    led, shelves = _shelf(today) if shelf else (_no_views(), Shelves({}, []))
    views = looked_at(today, led)
    _write_views(today, views)
    _search(today, views)
    _habits(today, views)
    return views, shelves


def looked_at(today: Today, led: Views | None = None) -> Views:
    """Items that visits look at: of their own accord, those a shelf `led` to, those a content leads to."""
    shop = today.shop
    read = _read(today) if shop.plan.sells else _no_views()
    views = _stack(_own_views(today), led or _no_views(), read)
    there = shop.goods.alive(today.day)[views.item]
    views.item = np.where(there, views.item, shop.goods.bounds[shop.goods.cluster[views.item]])
    return views


def _stack(*parts: Views) -> Views:
    names_ = [field.name for field in fields(Views)]
    return Views(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names_})


def _no_views() -> Views:
    return Views(*(np.empty(0, np.int64) for _ in fields(Views)))


def _enter(today: Today) -> None:
    visits = today.visits
    inside = np.flatnonzero(visits.store >= 0)
    today.tell("store_enter", inside, visits.start[inside] + 2 * SECOND)
    shared = np.flatnonzero(visits.referrer >= 0)
    told = {name: getattr(visits, name)[shared] for name in ("referrer", "item", "group")}
    today.tell("share_open", shared, visits.start[shared] + 2 * SECOND, **told)


def _shelf(today: Today) -> tuple[Views, Shelves]:
    shop, visits, rng = today.shop, today.visits, today.rng
    slates = today.demand.of_all(rng.random((SLATES, SHELF)))
    seen = np.flatnonzero(rng.random(len(visits)) < SHELF_SHARE)
    slate = rng.integers(0, SLATES, len(seen))
    decision = shop.new_numbers("decision", len(seen))
    visit, position = np.repeat(seen, SHELF), np.tile(np.arange(1, SHELF + 1), len(seen))
    item, led_by = slates[slate].ravel(), np.repeat(decision, SHELF)
    at = visits.start[visit] + 3 * SECOND + position * 1_000
    today.tell("exposure", visit, at, item=item, decision=led_by, position=position, page=0)
    chance = examined(position) * open_chance(shop, visits.user[visit], item, today.day)
    clicks = np.flatnonzero(rng.random(len(visit)) < chance)
    visit, item, position, led_by = visit[clicks], item[clicks], position[clicks], led_by[clicks]
    at = at[clicks] + 4 * SECOND + position * SECOND // 2
    today.tell("click", visit, at, item=item, decision=led_by, position=position, page=0)
    views = Views(visit, item, at + SECOND // 2, led_by, position, np.full(len(visit), -1))
    decisions = {"decision": decision, "user": visits.known_as[seen], "at": visits.start[seen], "candidates": slate}
    return views, Shelves(decisions, _candidates(shop, slates))


def _candidates(shop: Shop, slates: Array) -> list[str]:
    """Each slate as the decisions table writes it, with the share of slates that have the item at that position."""
    share = [(slates == slates[row]).mean(axis=0) for row in range(SLATES)]
    ids = shop.goods.number[slates]
    return [
        json.dumps(
            [
                {"item_id": f"i{item:08d}", "position": place + 1, "source": "random", "propensity": float(chance)}
                for place, (item, chance) in enumerate(zip(ids[row], share[row], strict=True))
            ]
        )
        for row in range(SLATES)
    ]


def _own_views(today: Today) -> Views:
    visits = today.visits
    count = np.minimum(1 + today.rng.poisson(2.0, len(visits)), LONGEST)
    visit = np.repeat(np.arange(len(visits)), count)
    turn = np.arange(len(visit)) - np.repeat(np.cumsum(count) - count, count)
    item = draw_items(today, visits.user[visit])
    brought = (turn == 0) & (visits.item[visit] >= 0)
    item[brought] = visits.item[visit[brought]]
    at = visits.start[visit] + 20 * SECOND + turn * visits.pace[visit]
    none = np.full(len(visit), -1)
    return Views(visit, item, at, none, none, none)


def _read(today: Today) -> Views:
    """Contents about a cluster of the visitor's; half of the readings lead on to an item the content shows."""
    shop, visits, rng = today.shop, today.visits, today.rng
    visit = np.flatnonzero(rng.random(len(visits)) < shop.people.reads[visits.user])
    cluster = shop.people.clusters[visits.user[visit], rng.integers(0, 2, len(visit))]
    content = today.demand.contents_of(cluster, rng.random(len(visit)))
    at = visits.start[visit] + 8 * SECOND
    spent = rng.exponential(30_000, len(visit)).astype(np.int64)
    today.tell("content_view", visit, at, content=content, duration=spent, page=2)
    on = np.flatnonzero(rng.random(len(visit)) < 0.5)
    item = shop.contents.items[content[on], rng.integers(0, 3, len(on))]
    none = np.full(len(on), -1)
    return Views(visit[on], item, at[on] + 10 * SECOND, none, none, content[on])


def _write_views(today: Today, views: Views) -> None:
    """One view an event; what fits the visitor's taste is looked at longer. Media shows contents and places ads."""
    users, rng = today.visits.user[views.visit], today.rng
    liked = affinity(today.shop, users, views.item) > ANYTHING
    spent = (np.exp(rng.normal(9.2, 0.6, len(users))) * np.where(liked, 2, 1)).astype(np.int64)
    told = {"item": views.item, "decision": views.decision, "position": views.position, "duration": spent}
    if today.shop.plan.sells:
        today.tell("item_view", views.visit, views.at, content=views.content, page=1, **told)
        place_ads(today, views, np.flatnonzero(rng.random(len(users)) < SHOP_ADS), views.content)
    else:
        today.tell("content_view", views.visit, views.at, content=views.item, page=2, **told)
        place_ads(today, views, np.flatnonzero(rng.random(len(users)) < MEDIA_ADS), views.item)


def place_ads(today: Today, views: Views, ad: Array, content: Array) -> None:
    """Ads beside views `ad`: a few fen for being seen, more for a click. `content` is what each view shows."""
    rng, at = today.rng, views.at[ad] + 2 * SECOND
    earned = rng.integers(*AD_FEN, len(ad))
    today.tell("ad_impression", views.visit[ad], at, revenue=earned, content=content[ad], page=1)
    hit = np.flatnonzero(rng.random(len(ad)) < AD_CLICKS)
    earned = rng.integers(*AD_CLICK_FEN, len(hit))
    today.tell("ad_click", views.visit[ad[hit]], at[hit] + SECOND, revenue=earned, content=content[ad[hit]], page=1)


def _search(today: Today, views: Views) -> None:
    rng = today.rng
    some = np.flatnonzero((rng.random(len(views.visit)) < 0.08) & (views.decision < 0))
    leaf = today.shop.goods.leaf[views.item[some]]
    query = np.where(rng.random(len(some)) < 0.02, len(names.LEAVES), leaf)
    today.tell("search", views.visit[some], views.at[some] - 5 * SECOND, query=query, page=3)


def _habits(today: Today, views: Views) -> None:
    """Favourites, abandoned carts, permission for messages."""
    people, visits, rng = today.shop.people, today.visits, today.rng
    luck = rng.random(len(views.visit))
    kinds = [("favorite", luck < 0.03), ("unfavorite", luck > 0.996)]
    if today.shop.plan.sells:
        kinds += [("cart", (luck > 0.03) & (luck < 0.08)), ("cart_remove", (luck > 0.03) & (luck < 0.04))]
    for later, (kind, chosen) in enumerate(kinds):
        some = np.flatnonzero(chosen)
        today.tell(kind, views.visit[some], views.at[some] + (8 + 2 * later) * SECOND, item=views.item[some], page=1)
    luck = rng.random(len(visits))
    yes = np.flatnonzero((luck < 0.05) & ~people.subscribed[visits.user])
    no = np.flatnonzero((luck > 0.99) & people.subscribed[visits.user])
    for kind, some in (("subscribe", yes), ("unsubscribe", no)):
        today.tell(kind, some, visits.start[some] + 15 * SECOND, page=0)
        people.subscribed[visits.user[some]] = kind == "subscribe"
