"""The content family read by plain loops over one visitor's rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

Row = dict[str, Any]
DAY = timedelta(days=1)


def content(
    rows: list[Row], catalogue: Sequence[Row], categories: dict[str, list[str]], as_of: datetime, half_life_days: float
) -> Row:
    """Fields of the family `content`. `categories`: the category path of each item that has one."""
    kinds = {row["content_id"]: row.get("kind") for row in catalogue}
    shown = {row["content_id"]: set(row.get("item_ids") or ()) for row in catalogue}
    opened = [row for row in rows if row["type"] == "content_view" and row.get("content_id")]
    touches = [(row["ts"], row["content_id"], item) for row in opened for item in shown.get(row["content_id"], ())]
    named = [row for row in rows if row["type"] != "purchase" and row.get("content_id") and row.get("item_id")]
    touches += [(row["ts"], row["content_id"], row["item_id"]) for row in named]
    found: dict[str, Row] = defaultdict(lambda: {"views": 0, "purchases": 0, "spend": 0, "last_ts": []})
    for row in opened:
        found[row["content_id"]]["views"] += 1
        found[row["content_id"]]["last_ts"].append(row["ts"])
    lines = [row for row in rows if row["type"] == "purchase"]
    for row in lines:
        led = row.get("content_id") or _last_touch(row, touches)
        if led:
            found[led]["purchases"] += 1
            found[led]["spend"] += row.get("amount") or 0
            found[led]["last_ts"].append(row["ts"])
    listed = [
        {"content_id": c, "kind": kinds.get(c), **entry, "last_ts": max(entry["last_ts"])} for c, entry in found.items()
    ]
    listed.sort(key=lambda entry: (-entry["spend"], -entry["views"], entry["content_id"]))
    of_kind = _by_kind(listed)
    spend, led_spend = sum(row.get("amount") or 0 for row in lines), sum(entry["spend"] for entry in listed)
    return {
        "contents_opened": sum(entry["views"] > 0 for entry in listed),
        "content_purchases": sum(entry["purchases"] for entry in listed),
        "content_spend": led_spend,
        "favourite_content_kind": next((entry["kind"] for entry in of_kind if entry["views"]), None),
        "content_spend_share": led_spend / spend if spend else None,
        "contents": listed[:20] or None,
        "content_kinds": of_kind or None,
        "content_categories": _categories(opened, shown, categories, as_of, half_life_days) or None,
    }


def _last_touch(line: Row, touches: list[tuple[datetime, str, str]]) -> str | None:
    fitting = [(ts, c) for ts, c, item in touches if item == line.get("item_id") and ts <= line["ts"] < ts + DAY]
    last = max((ts for ts, _ in fitting), default=None)
    return min((c for ts, c in fitting if ts == last), default=None)


def _by_kind(listed: list[Row]) -> list[Row]:
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in listed:
        if entry["kind"] is not None:
            sums[entry["kind"]].update({name: entry[name] for name in ("views", "purchases", "spend")})
    rows = [{"kind": kind, **{n: of[n] for n in ("views", "purchases", "spend")}} for kind, of in sums.items()]
    return sorted(rows, key=lambda entry: (-entry["views"], entry["kind"]))


def _categories(
    opened: list[Row],
    shown: dict[str, set[str]],
    categories: dict[str, list[str]],
    as_of: datetime,
    half_life_days: float,
) -> list[Row]:
    strength: dict[str, Fraction] = defaultdict(Fraction)
    views: Counter[str] = Counter()
    last: dict[str, datetime] = {}
    for row in opened:
        items = shown.get(row["content_id"], set())
        said = Fraction(0.5 ** ((as_of - row["ts"]) / DAY / half_life_days))
        paths = [categories[item] for item in items if item in categories]
        tags = Counter(" > ".join(path[:depth]) for path in paths for depth in range(1, len(path) + 1))
        for tag, of in tags.items():
            strength[tag] += said * of / len(items)
            views[tag] += 1
            last[tag] = max(row["ts"], last.get(tag, row["ts"]))
    liked = sorted((tag for tag in strength if strength[tag] > 1e-9), key=lambda tag: (-strength[tag], tag))
    total = sum(strength[tag] for tag in liked if " > " not in tag)
    return [
        {
            "tag": tag,
            "weight": float(strength[tag] / total),
            "events": views[tag],
            "last_ts": last[tag],
            "confidence": float(strength[tag] / (strength[tag] + 5)),
        }
        for tag in liked[:20]
    ]
