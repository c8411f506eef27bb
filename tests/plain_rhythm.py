"""An independent reading of the rhythm family (`last_order_day` and `due_date` are told with the purchases)."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from itertools import pairwise
from statistics import mean, median, pvariance
from typing import Any
from zoneinfo import ZoneInfo

from plain_shop import Row, Shop, is_void, order_of


def rhythm(rows: list[Row], starts: list[datetime], shop: Shop, as_of: datetime, time_zone: str) -> Row:
    zone = ZoneInfo(time_zone)
    local = [start.astimezone(zone) for start in starts]
    hours, weekdays = Counter(moment.hour for moment in local), Counter(moment.isoweekday() for moment in local)
    visits = len(local)
    parts = {"night_share": 0, "morning_share": 6, "afternoon_share": 12, "evening_share": 18}
    return {
        "favourite_hour": _mode(hours),
        "favourite_weekday": _mode(weekdays),
        "weekend_share": (weekdays[6] + weekdays[7]) / visits if visits else None,
        "hour_counts": [{"hour": h, "visits": hours[h]} for h in sorted(hours)] or None,
        "weekday_counts": [{"weekday": d, "visits": weekdays[d]} for d in sorted(weekdays)] or None,
        **{
            name: sum(hours[hour] for hour in range(begin, begin + 6)) / visits if visits else None
            for name, begin in parts.items()
        },
        **_paydays(rows, zone),
        **_refills(rows, shop, as_of.astimezone(zone).date(), zone),
    }


def _mode(counted: Counter[int]) -> int | None:
    return min(counted, key=lambda value: (-counted[value], value)) if counted else None


def _paydays(rows: list[Row], zone: ZoneInfo) -> Row:
    orders: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        if row["type"] == "purchase":
            orders[order_of(row)].append(row)
    told = [(min(r["ts"] for r in group), sum(r["amount"] for r in group)) for group in orders.values()]
    spend, n, q = sum(paid for _, paid in told), len(told), 3 / 30.4375
    evidence = []
    for payday in (5, 10, 15, 25):
        near = [(ts, paid) for ts, paid in told if payday <= ts.astimezone(zone).day <= payday + 2]
        if near:
            z = (len(near) - n * q) / math.sqrt(n * q * (1 - q))
            evidence.append(
                {
                    "tag": str(payday),
                    "weight": sum(paid for _, paid in near) / spend if spend else None,
                    "events": len(near),
                    "last_ts": max(ts for ts, _ in near),
                    "confidence": z * z / (1 + z * z) if z > 0 else 0.0,
                }
            )
    evidence.sort(key=lambda entry: (-entry["events"], int(entry["tag"])))
    clear = [entry for entry in evidence if entry["confidence"] >= 0.95 and entry["events"] >= 3]
    share = sum(entry["weight"] or 0.0 for entry in evidence)
    return {
        "payday": int(clear[0]["tag"]) if clear else None,
        "payday_share": float(share) if spend else None,
        "paydays": evidence or None,
    }


def _refills(rows: list[Row], shop: Shop, today: date, zone: ZoneInfo) -> Row:
    days: dict[tuple[str, str], set[date]] = defaultdict(set)
    for row in rows:
        if row["type"] == "purchase" and not is_void(row, rows):
            day = row["ts"].astimezone(zone).date()
            if path := shop.path(row.get("item_id")):
                days["category", " > ".join(path)].add(day)
            if row.get("item_id"):
                days["item", row["item_id"]].add(day)
    listed: dict[str, list[Row]] = {"category": [], "item": []}
    due = []
    for (kind, tag), on in days.items():
        if len(on) < 2:
            continue
        gaps = [(after - before).days for before, after in pairwise(sorted(on))]
        gap, last = float(median(gaps)), max(on)
        sure = len(gaps) / (len(gaps) + 2) / (1 + pvariance(gaps) / mean(gaps) ** 2)
        due_day, late = last + timedelta(days=math.ceil(gap)), (today - last).days / gap
        known = {"tag": tag, "due_day": due_day, "confidence": sure}
        listed[kind].append(known | {"gap_days": gap, "orders": len(on), "last_day": last})
        if len(on) >= 3 and due_day <= today and late <= 3:
            due.append(known | {"kind": kind, "overdue": late})
    for entries in listed.values():
        entries.sort(key=lambda entry: (-entry["orders"], entry["tag"]))
    due.sort(key=lambda entry: (-entry["overdue"], entry["kind"], entry["tag"]))
    return {
        "category_rhythm": listed["category"][:20] or None,
        "item_rhythm": listed["item"][:20] or None,
        "due": due[:20] or None,
    }
