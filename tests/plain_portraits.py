"""An independent reading of every portrait field: plain Python loops over one visitor's rows, zoneinfo for the clock.

Slow and obvious on purpose. It shares no code with the features, only the constants of the contract (scene names by
`portraits.scenes.channel`, strengths of event types), so that an agreement means that both are right.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import plain_content
import plain_entrance
import plain_membership
import plain_place
import plain_price
import plain_purchases
import plain_rhythm
import plain_social
import plain_taste
from plain_shop import Row, Shop

from portraits.past import PASSIVE
from portraits.settings import AppSettings

TEST_SCENES = {"1017", "1030", "1059", "1101", "1129", "1203"}
DAY = timedelta(days=1)


def portraits(
    events: list[Row],
    items: list[Row],
    users: list[Row],
    as_of: datetime,
    app: AppSettings,
    *,
    stores: Sequence[Row] = (),
    contents: Sequence[Row] = (),
    offers: Sequence[Row] = (),
) -> dict[str, Row]:
    """user_id -> field -> value, for everyone who has a portrait."""
    refused = {user["user_id"] for user in users if user.get("consent") is False}
    by_user: dict[str, list[Row]] = defaultdict(list)
    for row in events:
        if row["ts"] < as_of and row["user_id"] not in refused:
            by_user[row["user_id"]].append(row)
    clean = {user: _without_tests(rows) for user, rows in by_user.items()}
    clean = {user: rows for user, rows in clean.items() if rows}
    shop = Shop(items, [row for rows in clean.values() for row in rows if row["type"] == "purchase"], offers)
    known = {user["user_id"]: user for user in users}
    people = {user: _portrait(rows, shop, known.get(user, {}), as_of, app) for user, rows in clean.items()}
    paths = {item["item_id"]: item["category"] for item in items if item.get("category")}
    for user, social in plain_social.social(clean, PASSIVE, as_of).items():
        own = [row for row in clean[user] if row["type"] not in PASSIVE]
        people[user] |= social | plain_place.place(own, stores, app.time_zone)
        people[user] |= plain_content.content(clean[user], contents, paths, as_of, app.taste_half_life_days)
    plain_purchases.compare(people)
    plain_price.compare(people)
    return people


def sessions(rows: list[Row]) -> list[list[Row]]:
    """One visitor's rows cut into sessions, by the words of the contract."""
    found: list[list[Row]] = []
    compared = ""
    ordered = sorted(rows, key=lambda r: (r["ts"], r["type"] != "launch", r.get("scene") or ""))
    for row in ordered:
        scene, launch = row.get("scene") or "", row["type"] == "launch"
        silent = not found or row["ts"] - found[-1][-1]["ts"] > timedelta(minutes=30)
        elsewhere = launch and scene and compared and scene != compared
        if silent or elsewhere:
            found.append([])
        if silent or launch:
            compared = scene
        found[-1].append(row)
    return found


def _without_tests(rows: list[Row]) -> list[Row]:
    def tests(row: Row) -> bool:
        return (row.get("platform") or "wechat") == "wechat" and row.get("scene") in TEST_SCENES

    return [row for session in sessions(rows) if not any(map(tests, session)) for row in session]


def _portrait(rows: list[Row], shop: Shop, known: Row, as_of: datetime, app: AppSettings) -> Row:
    own = [row for row in rows if row["type"] not in PASSIVE]
    visits = sessions(own)
    starts = [visit[0]["ts"] for visit in visits]
    return {
        **_visits(rows, own, as_of, app),
        **plain_purchases.purchases(rows, shop, as_of, app.time_zone),
        **plain_price.price(rows, shop),
        **plain_rhythm.rhythm(rows, starts, shop, as_of, app.time_zone),
        **plain_entrance.entrance(visits),
        **plain_taste.taste(rows, shop, as_of, app.taste_half_life_days),
        **plain_membership.membership(rows, known, shop.offers, as_of),
    }


def _visits(rows: list[Row], own: list[Row], as_of: datetime, app: AppSettings) -> Row:
    count = Counter(row["type"] for row in rows)
    recent = [row for row in own if row["ts"] >= as_of - 30 * DAY]
    visits = sessions(own)
    starts = [visit[0]["ts"] for visit in visits]
    zone = ZoneInfo(app.time_zone)
    local = [start.astimezone(zone) for start in starts]
    days = {moment.date() for moment in local}
    today = as_of.astimezone(zone).date()
    last = max((row["ts"] for row in own), default=None)
    bought, wanted = count["purchase"], count["cart"] + count["favorite"]
    return {
        "first_seen": min((row["ts"] for row in own), default=None),
        "last_seen": last,
        "actions": len(own),
        "actions_30d": len(recent),
        "page_views": count["page_view"],
        "item_views": count["item_view"],
        "item_views_30d": sum(row["type"] == "item_view" for row in recent),
        "content_views": count["content_view"],
        "searches": count["search"],
        "carts": count["cart"],
        "favorites": count["favorite"],
        "shares": count["share"],
        "clicks": count["click"] + count["ad_click"],
        "revenue": sum(row.get("revenue") or 0 for row in rows),
        "page_seconds": sum(row.get("duration_ms") or 0 for row in rows) / 1000,
        "visits": len(visits),
        "visits_30d": sum(start >= as_of - 30 * DAY for start in starts),
        "dwell_seconds": sum((visit[-1]["ts"] - visit[0]["ts"]).total_seconds() for visit in visits),
        "bounce_share": sum(len(visit) == 1 for visit in visits) / len(visits) if visits else None,
        "active_days": len(days),
        "active_days_30d": sum((today - day).days <= 30 for day in days),
        "days_since_seen": None if last is None else (as_of - last) // DAY,
        "funnel_depth": "bought" if bought else "carted" if wanted else "viewed" if count["item_view"] else "seen",
    }
