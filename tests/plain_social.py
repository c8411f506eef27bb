"""The social family read by plain loops over everybody's rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import Any

Row = dict[str, Any]
DAY = timedelta(days=1)


def social(people: dict[str, list[Row]], passive: tuple[str, ...], as_of: datetime) -> dict[str, Row]:
    """Fields of the family `social` of everybody: `people` are the clean rows by visitor."""
    own = {user: [row for row in rows if row["type"] not in passive] for user, rows in people.items()}
    seen = {user: min(row["ts"] for row in rows) for user, rows in own.items() if rows}
    arrivals = sorted(
        {
            (row["ts"], row["referrer_user_id"], user)
            for user, rows in own.items()
            for row in rows
            if row.get("referrer_user_id") in seen and row["referrer_user_id"] != user
        }
    )
    parent: dict[str, str] = {}
    for ts, sharer, friend in arrivals:
        if friend not in parent and ts - seen[friend] <= timedelta(minutes=30) and seen[sharer] < seen[friend]:
            parent[friend] = sharer
    friends = _friends(arrivals, own)
    above = {user: _line(user, parent) for user in people}
    below: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for user, line in above.items():
        for steps, relative in enumerate(line, 1):
            below[relative].append((steps, user))
    buyers = {user for user, rows in own.items() if any(row["type"] == "purchase" for row in rows)}
    return {
        user: _counts(rows, as_of) | _friendship(rows, friends[user]) | _kin(above[user], below[user], buyers)
        for user, rows in people.items()
    }


def _friends(arrivals: list[tuple[datetime, str, str]], own: dict[str, list[Row]]) -> dict[str, dict[str, Row]]:
    """sharer -> friend -> last arrival, number of purchases and spend."""
    first: dict[tuple[str, str], datetime] = {}
    for ts, sharer, friend in arrivals:
        first.setdefault((sharer, friend), ts)
    kept = {
        (sharer, friend)
        for (sharer, friend), ts in first.items()
        if (friend, sharer) not in first or (ts, sharer) < (first[friend, sharer], friend)
    }
    found: dict[str, dict[str, Row]] = defaultdict(dict)
    for ts, sharer, friend in arrivals:
        if (sharer, friend) in kept:
            found[sharer].setdefault(friend, {"purchases": 0, "spend": 0})["last"] = ts
    for friend, rows in own.items():
        paid: Counter[datetime] = Counter()
        for row in rows:
            if row["type"] == "purchase":
                paid[row["ts"]] += row.get("amount") or 0
        for ts, spend in paid.items():
            came = [(at, sharer) for at, sharer, who in arrivals if who == friend and (sharer, friend) in kept]
            last = max((at for at, _ in came if at <= ts < at + DAY), default=None)
            if last is not None:
                entry = found[min(sharer for at, sharer in came if at == last)][friend]
                entry["purchases"] += 1
                entry["spend"] += spend
    return found


def _line(user: str, parent: dict[str, str]) -> list[str]:
    """Those above a visitor, nearest first, at most 8."""
    line: list[str] = []
    while user in parent and len(line) < 8:
        user = parent[user]
        line.append(user)
    return line


def _counts(rows: list[Row], as_of: datetime) -> Row:
    count = Counter(row["type"] for row in rows)
    return {
        "shares_30d": sum(row["type"] == "share" and row["ts"] >= as_of - 30 * DAY for row in rows),
        "groups_opened": count["group_open"],
        "groups_joined": count["group_join"],
        "groups_succeeded": count["group_success"],
        "groups_failed": count["group_fail"],
    }


def _friendship(rows: list[Row], friends: dict[str, Row]) -> Row:
    shares = sum(row["type"] == "share" for row in rows)
    n, k = len(friends), sum(entry["purchases"] > 0 for entry in friends.values())
    low, high = wilson(k, n) if n else (None, None)
    return {
        "friends_reached": n,
        "paying_friends": k,
        "friends_spend": sum(entry["spend"] for entry in friends.values()),
        "last_friend": max((entry["last"] for entry in friends.values()), default=None),
        "friends_per_share": n / shares if shares else None,
        "friends_paid_share": k / n if n else None,
        "friends_paid_low": low,
        "friends_paid_high": high,
        "sharer_score": 0.0 if low is None else n * low,
    }


def _kin(above: list[str], below: list[tuple[int, str]], buyers: set[str]) -> Row:
    return {
        "brought_by": above[0] if above else None,
        "brought_depth": len(above),
        "friends_brought": sum(steps == 1 for steps, _ in below),
        "buyers_brought": sum(steps == 1 and user in buyers for steps, user in below),
        "tree_size": len(below),
        "tree_depth": max((steps for steps, _ in below), default=0),
    }


def wilson(k: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Where (p - k/n)^2 = z^2 p (1 - p) / n: the two roots."""
    a, b, c = n + z * z, -(2 * k + z * z), k * k / n
    root = max(b * b - 4 * a * c, 0.0) ** 0.5
    return max((-b - root) / (2 * a), 0.0), min((-b + root) / (2 * a), 1.0)
