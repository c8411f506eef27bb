"""An independent reading of the membership family."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from plain_shop import Row


def membership(rows: list[Row], known: Row, offers: dict[str, Row], as_of: datetime) -> Row:
    """`known` is the visitor's row of the users catalogue, empty where there is none."""
    joined = known.get("joined_at")
    count = Counter(row["type"] for row in rows)
    points = [row.get("points") or 0 for row in rows]
    used = [offers.get(row.get("offer_id") or "", {}).get("kind") for row in rows if row["type"] == "offer_redeem"]
    sent, opened = count["message_sent"], count["message_open"]
    return {
        "member_tier": known.get("member_tier"),
        "member_days": (as_of - joined) // timedelta(days=1) if joined is not None and joined < as_of else None,
        "points_held": known.get("points"),
        "points_earned": sum(p for p in points if p > 0),
        "points_spent": -sum(p for p in points if p < 0),
        "benefits_used": used.count("member"),
        "messages_sent": sent,
        "messages_opened": opened,
        "permissions_left": _permissions(rows),
        "message_open_share": min(opened / sent, 1.0) if sent else None,
    }


def _permissions(rows: list[Row]) -> int:
    order = ("subscribe", "message_sent", "unsubscribe")
    told = [row for row in rows if row["type"] in order]
    left = 0
    for row in sorted(told, key=lambda row: (row["ts"], order.index(row["type"]))):
        left = {"subscribe": left + 1, "message_sent": max(left - 1, 0), "unsubscribe": 0}[row["type"]]
    return left
