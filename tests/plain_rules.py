"""An independent reading of the grammar of rules: straight from the JSON, one visitor at a time, local dates and times.

Slow and obvious on purpose; it shares no code with `portraits.rules`, so that an agreement means that both are right.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Row = dict[str, Any]


def holds(  # noqa: PLR0911, PLR0917
    rule: Row, portrait: Row, acts: list[Row], now: datetime, zone: ZoneInfo, shop: Row
) -> bool:
    """Whether the visitor is in.

    `portrait` has every field; acts have ts (aware) and the contract's columns; `shop` is what may be looked up: items
    (item_id -> row) and segments (name -> rule).
    """

    def inner(one: Row) -> bool:
        return holds(one, portrait, acts, now, zone, shop)

    past = [act for act in acts if act["ts"] < now]
    today = now.astimezone(zone).date()
    if "and" in rule:
        return all(inner(one) for one in rule["and"])
    if "or" in rule:
        return any(inner(one) for one in rule["or"])
    if "not" in rule:
        return not inner(rule["not"])
    if "segment" in rule:
        return inner(shop["segments"][rule["segment"]])
    if "field" in rule:
        return _field(rule, portrait[rule["field"]], today, zone)
    if "tag" in rule:
        return _tag(rule, portrait[rule["in"]] or [])
    days = rule.get("within_days")
    recent = [a for a in past if days is None or today - timedelta(days) < a["ts"].astimezone(zone).date()]
    if "did" in rule:
        return _did(rule, [act for act in recent if _is(rule["did"], act, shop)], zone)
    if "first" in rule:
        ever = [act for act in past if _is(rule["first"], act, shop)]
        return bool(ever) and min(ever, key=lambda act: act["ts"]) in recent
    gap = timedelta(days=rule["gap_days"]) if "gap_days" in rule else None
    return _steps(rule["sequence"], recent, None, gap, shop)


def _field(rule: Row, value: Any, today: date, zone: ZoneInfo) -> bool:  # noqa: PLR0911
    op, asked = rule["op"], rule.get("value")
    if op == "unknown":
        return value is None or value == []
    if op == "known":
        return not (value is None or value == [])
    if value is None:
        return False
    if isinstance(value, datetime):
        value = value.astimezone(zone).date()
    if op == "within_days":
        return today - timedelta(asked) < value <= today
    if op == "before_days":
        return value <= today - timedelta(asked)
    if op == "next_days":
        return today <= value < today + timedelta(asked)
    if isinstance(value, date):
        asked = [date.fromisoformat(one) for one in asked] if op == "between" else date.fromisoformat(asked)
    return _compare(op, value, asked)


def _compare(op: str, value: Any, asked: Any) -> bool:
    if op == "between":
        return asked[0] <= value <= asked[1]
    if op == "in":
        return any(value == one for one in asked)
    if op == "not_in":
        return all(value != one for one in asked)
    if op == "starts_with":
        return value[: len(asked)] == asked
    return {
        "=": value == asked,
        "!=": value != asked,
        "<": op[0] == "<" and value < asked,
        "<=": op[0] == "<" and value <= asked,
        ">": op[0] == ">" and value > asked,
        ">=": op[0] == ">" and value >= asked,
    }[op]


def _tag(rule: Row, entries: list[Row]) -> bool:
    for entry in entries:
        enough = [entry[name] >= rule[name] for name in ("weight", "confidence", "events") if name in rule]
        if entry["tag"] == rule["tag"] and all(enough):
            return True
    return False


def _did(rule: Row, acts: list[Row], zone: ZoneInfo) -> bool:
    if "amount" in rule:
        total = sum(act["amount"] for act in acts if act["amount"] is not None)
        return _compare(rule["amount"]["op"], total, rule["amount"]["value"])
    if "days" in rule:
        days = {act["ts"].astimezone(zone).date() for act in acts}
        return _compare(rule["days"]["op"], len(days), rule["days"]["value"])
    asked = rule.get("times", {"op": ">=", "value": 1})
    return _compare(asked["op"], len(acts), asked["value"])


def _steps(steps: list[Row], acts: list[Row], after: datetime | None, gap: timedelta | None, shop: Row) -> bool:
    """Tries every act as the first step, and the rest of the steps after it."""
    if not steps:
        return True
    for act in acts:
        late = after is None or act["ts"] > after
        near = after is None or gap is None or act["ts"] - after <= gap
        if late and near and _is(steps[0], act, shop) and _steps(steps[1:], acts, act["ts"], gap, shop):
            return True
    return False


def _is(what: Row, act: Row, shop: Row) -> bool:
    wanted = {key: value if isinstance(value, list) else [value] for key, value in what.items()}
    for key in ("type", "item_id", "content_id", "store_id", "offer_id"):
        if key in wanted and act[key] not in wanted[key]:
            return False
    item = shop["items"].get(act["item_id"])
    if not {"category", "brand", "tag"} & set(wanted):
        return True
    if item is None:
        return False
    path = " > ".join((item["category"] or [])[:4]) or None
    in_category = any(
        path is not None and (path == one or path.startswith(f"{one} > ")) for one in wanted.get("category", [])
    )
    return (
        ("category" not in wanted or in_category)
        and ("brand" not in wanted or item["brand"] in wanted["brand"])
        and ("tag" not in wanted or any(one in (item["tags"] or []) for one in wanted["tag"]))
    )
