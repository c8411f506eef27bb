"""An independent reading of the purchases family."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import mean, median
from typing import Any
from zoneinfo import ZoneInfo

from plain_shop import Row, Shop, is_void, order_of, quantity

DAY = timedelta(days=1)


def purchases(rows: list[Row], shop: Shop, as_of: datetime, time_zone: str) -> Row:
    lines = [row for row in rows if row["type"] == "purchase"]
    refunds = [row for row in rows if row["type"] == "refund"]
    orders: dict[Any, list[Row]] = defaultdict(list)
    for row in lines:
        orders[order_of(row)].append(row)
    first = {key: min(row["ts"] for row in group) for key, group in orders.items()}
    zone = ZoneInfo(time_zone)
    days = sorted({moment.astimezone(zone).date() for moment in first.values()})
    gaps = [(after - before).days for before, after in pairwise(days)]
    spend, refunded = sum(row["amount"] for row in lines), sum(row["amount"] for row in refunds)
    undone = sum(_undone(group, rows) for group in orders.values())
    cancelled = sum(all(is_void(line, rows) for line in group) for group in orders.values())
    kept = [(row, shop.items.get(row.get("item_id") or "", {}).get("cost")) for row in lines if not is_void(row, rows)]
    costs = [(row["amount"], round(cost * quantity(row))) for row, cost in kept if cost is not None]
    margin = sum(amount - cost for amount, cost in costs)
    baskets = [len({row.get("item_id") for row in group} - {None}) for group in orders.values()]
    last = max((row["ts"] for row in lines), default=None)
    gap = median(gaps) if gaps else None

    def since(moment: datetime, days_back: int) -> bool:
        return moment >= as_of - days_back * DAY

    return {
        "orders": len(orders),
        "orders_30d": sum(since(ts, 30) for ts in first.values()),
        "orders_90d": sum(since(ts, 90) for ts in first.values()),
        "largest_order": max((sum(row["amount"] for row in group) for group in orders.values()), default=None),
        "basket_items": float(mean(baskets)) if baskets else None,
        "largest_basket": max(baskets, default=None),
        "orders_cancelled": cancelled,
        "undone": undone,
        "lines": len(lines),
        "units": sum(quantity(row) for row in lines),
        "items_bought": len({row.get("item_id") for row in lines} - {None}),
        "categories_bought": len({shop.root(row.get("item_id")) for row in lines} - {None}),
        "spend": spend,
        "spend_30d": sum(row["amount"] for row in lines if since(row["ts"], 30)),
        "spend_90d": sum(row["amount"] for row in lines if since(row["ts"], 90)),
        "refunds": len(refunds),
        "refunded": refunded,
        "margin": margin if costs else None,
        "margin_share": margin / sum(amount for amount, _ in costs) if any(amount for amount, _ in costs) else None,
        "first_order": min((row["ts"] for row in lines), default=None),
        "last_order": last,
        "order_days": len(days),
        "order_gap_days": gap,
        "net_spend": spend - refunded - undone,
        "order_value": spend / len(orders) if orders else None,
        "basket_lines": len(lines) / len(orders) if orders else None,
        "refund_share": (refunded + undone) / spend if spend else None,
        "cancel_share": cancelled / len(orders) if orders else None,
        "recency_days": None if last is None else (as_of - last) // DAY,
        "last_order_day": days[-1] if days else None,
        "due_date": None if gap is None else days[-1] + timedelta(days=math.ceil(gap)),
    }


def _undone(order: list[Row], rows: list[Row]) -> int:
    """What a cancellation gives back of an order beyond the refunds of the same lines."""
    void = [line for line in order if is_void(line, rows)]
    items = {line.get("item_id") for line in void}
    back = [
        row["amount"]
        for row in rows
        if row["type"] == "refund"
        and order_of(row) == order_of(order[0])
        and (row.get("item_id") is None or row["item_id"] in items)
    ]
    return max(sum(line["amount"] for line in void) - sum(back), 0)


def compare(people: dict[str, Row]) -> None:
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
