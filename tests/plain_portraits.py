"""An independent reading of every portrait field: plain Python loops over one visitor's rows, zoneinfo for the clock.

Slow and obvious on purpose. It shares no code with the features, only the constants of the contract (scene names by
`portraits.scenes.channel`, strengths of event types), so that an agreement means that both are right.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from portraits.past import PASSIVE
from portraits.scenes import channel
from portraits.settings import AppSettings
from portraits.tags import STRENGTH

Row = dict[str, Any]
TEST_SCENES = {"1017", "1030", "1059", "1101", "1129", "1203"}
DAY = timedelta(days=1)


def portraits(
    events: list[Row], items: list[Row], users: list[Row], as_of: datetime, app: AppSettings
) -> dict[str, Row]:
    """user_id -> field -> value, for everyone who has a portrait."""
    refused = {user["user_id"] for user in users if user.get("consent") is False}
    by_user: dict[str, list[Row]] = defaultdict(list)
    for row in events:
        if row["ts"] < as_of and row["user_id"] not in refused:
            by_user[row["user_id"]].append(row)
    clean = {user: _without_tests(rows) for user, rows in by_user.items()}
    clean = {user: rows for user, rows in clean.items() if rows}
    shop = _Shop(items, [row for rows in clean.values() for row in rows if row["type"] == "purchase"])
    people = {user: _portrait(rows, shop, as_of, app) for user, rows in clean.items()}
    _compare(people)
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


class _Shop:
    """What is known of items: root category, cost and place by price, from the catalogue and the purchases."""

    def __init__(self, items: list[Row], purchases: list[Row]) -> None:
        self.items = {item["item_id"]: item for item in items}
        paid: dict[str, list[Row]] = defaultdict(list)
        for row in purchases:
            if row.get("item_id") and _quantity(row) > 0:
                paid[row["item_id"]].append(row)
        prices: dict[str, float | None] = {}
        for item_id in {*self.items, *paid}:
            price = self.items.get(item_id, {}).get("price")
            if price is None and item_id in paid:
                price = sum(r["amount"] for r in paid[item_id]) / sum(_quantity(r) for r in paid[item_id])
            prices[item_id] = price
        self.level = {}
        for item_id, price in prices.items():
            peers = [p for i, p in prices.items() if p is not None and self.root(i) == self.root(item_id)]
            if price is not None:
                below, equal = sum(p < price for p in peers), sum(p == price for p in peers)
                self.level[item_id] = (below + equal / 2) / len(peers)

    def root(self, item_id: str) -> str | None:
        path = self.items.get(item_id, {}).get("category")
        return path[0] if path else None


def _quantity(row: Row) -> float:
    return 1.0 if row.get("quantity") is None else float(row["quantity"])


def _portrait(rows: list[Row], shop: _Shop, as_of: datetime, app: AppSettings) -> Row:
    own = [row for row in rows if row["type"] not in PASSIVE]
    return {
        **_visits(rows, own, as_of, app),
        **_purchases(rows, shop, as_of, app),
        **_price(rows, shop),
        **_entrance(own),
        **_taste(rows, shop, as_of, app),
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
        "favourite_hour": _mode(moment.hour for moment in local),
        "favourite_weekday": _mode(moment.isoweekday() for moment in local),
        "weekend_share": sum(moment.isoweekday() >= 6 for moment in local) / len(local) if local else None,
    }


def _mode(values: Any) -> Any:
    counted = Counter(values)
    return min(counted, key=lambda value: (-counted[value], value)) if counted else None


def _purchases(rows: list[Row], shop: _Shop, as_of: datetime, app: AppSettings) -> Row:
    lines = [row for row in rows if row["type"] == "purchase"]
    refunds = [row for row in rows if row["type"] == "refund"]
    orders: dict[Any, list[Row]] = defaultdict(list)
    for row in lines:
        orders[row.get("order_id") or row["ts"]].append(row)
    first = {key: min(row["ts"] for row in group) for key, group in orders.items()}
    zone = ZoneInfo(app.time_zone)
    days = sorted({moment.astimezone(zone).date() for moment in first.values()})
    gaps = [(after - before).days for before, after in pairwise(days)]
    spend, refunded = sum(row["amount"] for row in lines), sum(row["amount"] for row in refunds)
    costs = [(row, shop.items.get(row["item_id"], {}).get("cost")) for row in lines]
    last = max((row["ts"] for row in lines), default=None)
    gap = median(gaps) if gaps else None

    def since(moment: datetime, days_back: int) -> bool:
        return moment >= as_of - days_back * DAY

    return {
        "orders": len(orders),
        "orders_30d": sum(since(ts, 30) for ts in first.values()),
        "orders_90d": sum(since(ts, 90) for ts in first.values()),
        "largest_order": max((sum(row["amount"] for row in group) for group in orders.values()), default=None),
        "lines": len(lines),
        "units": sum(_quantity(row) for row in lines),
        "items_bought": len({row["item_id"] for row in lines}),
        "categories_bought": len({shop.root(row["item_id"]) for row in lines} - {None}),
        "spend": spend,
        "spend_30d": sum(row["amount"] for row in lines if since(row["ts"], 30)),
        "spend_90d": sum(row["amount"] for row in lines if since(row["ts"], 90)),
        "refunds": len(refunds),
        "refunded": refunded,
        "margin": _sum(row["amount"] - round(cost * _quantity(row)) for row, cost in costs if cost is not None),
        "first_order": min((row["ts"] for row in lines), default=None),
        "last_order": last,
        "order_days": len(days),
        "order_gap_days": gap,
        "net_spend": spend - refunded,
        "order_value": spend / len(orders) if orders else None,
        "refund_share": refunded / spend if spend else None,
        "recency_days": None if last is None else (as_of - last) // DAY,
        "last_order_day": days[-1] if days else None,
        "due_date": None if gap is None else days[-1] + timedelta(days=math.ceil(gap)),
    }


def _sum(values: Any) -> int | None:
    listed = list(values)
    return sum(listed) if listed else None


def _price(rows: list[Row], shop: _Shop) -> Row:
    lines = [row for row in rows if row["type"] == "purchase"]
    units = [row["amount"] / _quantity(row) for row in lines if _quantity(row) > 0]
    levels = [shop.level[row["item_id"]] for row in lines if row["item_id"] in shop.level]
    level = sum(levels) / len(levels) if levels else None
    listed, saved = [], []
    for row in lines:
        if row.get("list_amount") is None and row.get("discount") is None:
            continue
        full = row["list_amount"] if row.get("list_amount") is not None else row["amount"] + row["discount"]
        off = row["discount"] if row.get("discount") is not None else full - row["amount"]
        listed.append(full)
        saved.append(min(max(off, 0), full))
    count = Counter(row["type"] for row in rows)
    return {
        "unit_price_p25": float(np.quantile(units, 0.25)) if units else None,
        "unit_price_median": float(np.quantile(units, 0.5)) if units else None,
        "unit_price_p75": float(np.quantile(units, 0.75)) if units else None,
        "price_level": level,
        "discount_share": sum(saved) / sum(listed) if listed else None,
        "full_price_share": saved.count(0) / len(saved) if saved else None,
        "deepest_discount": max(off / full for off, full in zip(saved, listed, strict=True)) if saved else None,
        "offers_claimed": count["offer_claim"],
        "offers_redeemed": count["offer_redeem"],
        "price_band": None if level is None else "low" if level < 1 / 3 else "high" if level > 2 / 3 else "middle",
    }


def _entrance(own: list[Row]) -> Row:
    entered = [(channel(visit[0].get("platform"), visit[0].get("scene")), visit) for visit in sessions(own)]
    count = Counter(name for name, _ in entered)
    spend: Counter[str] = Counter()
    for name, visit in entered:
        spend[name] += sum(row["amount"] for row in visit if row["type"] == "purchase")
    share = {name: visits / len(entered) for name, visits in count.items()}
    listed = [{"channel": name, "visits": count[name], "spend": spend[name]} for name in count]
    return {
        "first_channel": entered[0][0] if entered else None,
        "last_channel": entered[-1][0] if entered else None,
        "usual_channel": min(count, key=lambda name: (-count[name], name)) if count else None,
        "best_channel": min(spend, key=lambda name: (-spend[name], name)) if any(spend.values()) else None,
        "scan_share": share.get("scan", 0.0) if entered else None,
        "share_share": share.get("share_chat", 0.0) + share.get("share_moments", 0.0) if entered else None,
        "channels": sorted(listed, key=lambda entry: (-entry["visits"], entry["channel"])) or None,
    }


def _taste(rows: list[Row], shop: _Shop, as_of: datetime, app: AppSettings) -> Row:
    strength: dict[tuple[str, int, str], float] = defaultdict(float)
    events: Counter[Any] = Counter()
    last: dict[Any, datetime] = {}
    for row in rows:
        item = shop.items.get(row.get("item_id") or "")
        if item is None or row["type"] not in STRENGTH:
            continue
        age = (as_of - row["ts"]) / DAY
        said = STRENGTH[row["type"]] * 0.5 ** (age / app.taste_half_life_days)
        path = item["category"] or []
        tags = [("category", depth, " > ".join(path[:depth])) for depth in range(1, len(path) + 1)]
        for tag in [*tags, *([("brand", 1, item["brand"])] if item["brand"] else [])]:
            strength[tag] += said
            events[tag] += said > 0.5e-9
            last[tag] = max(row["ts"], last.get(tag, row["ts"]))
    liked = sorted((tag for tag in strength if strength[tag] > 0.5e-9), key=lambda tag: (-strength[tag], tag[2]))
    evidence: dict[str, list[Row]] = {"category": [], "brand": []}
    for kind, entries in evidence.items():
        total = sum(strength[tag] for tag in liked if tag[:2] == (kind, 1))
        for tag in [tag for tag in liked if tag[0] == kind][:20]:
            sure = strength[tag] / (strength[tag] + 5)
            weight = strength[tag] / total if total else None
            entries.append(
                {"tag": tag[2], "weight": weight, "events": events[tag], "last_ts": last[tag], "confidence": sure}
            )
    roots = [entry["tag"] for entry in evidence["category"] if " > " not in entry["tag"]]
    below = [entry["tag"] for entry in evidence["category"] if " > " in entry["tag"]]
    return {
        "categories": evidence["category"] or None,
        "brands": evidence["brand"] or None,
        "top_category": roots[0] if roots else None,
        "top_subcategory": below[0] if below else None,
        "top_brand": evidence["brand"][0]["tag"] if evidence["brand"] else None,
    }


def _compare(people: dict[str, Row]) -> None:
    """Adds what compares a buyer with the others: the R, F and M classes, the expected gap and the stage."""
    buyers = [person for person in people.values() if person["orders"] > 0]
    keys = {"recency_class": lambda p: -p["recency_days"], "frequency_class": lambda p: p["orders"]}
    keys["money_class"] = lambda p: p["net_spend"]
    gaps = [person["order_gap_days"] for person in people.values() if person["order_gap_days"] is not None]
    for person in people.values():
        bought = person["orders"] > 0
        for name, key in keys.items():
            person[name] = _fifth(key(person), [key(buyer) for buyer in buyers]) if bought else None
        person["rfm"] = "".join(str(person[name]) for name in keys) if bought else None
        own = person["order_gap_days"]
        person["expected_gap_days"] = None if not bought else own if own is not None else median(gaps) if gaps else 30.0
        person["overdue"] = person["recency_days"] / person["expected_gap_days"] if bought else None
        person["stage"] = _stage(person)


def _fifth(value: float, everyone: list[float]) -> int:
    below, equal = sum(other < value for other in everyone), sum(other == value for other in everyone)
    return -(-5 * (2 * below + equal) // (2 * len(everyone)))


def _stage(person: Row) -> str:
    if person["orders"] == 0:
        return "visitor"
    if person["overdue"] > 4:
        return "asleep"
    if person["overdue"] > 2:
        return "slipping"
    return "new" if person["order_days"] <= 1 else "loyal" if person["order_days"] >= 4 else "active"
