"""An independent reading of the taste family."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import Any

from plain_shop import Row, Shop

from portraits.grains.tags import STRENGTH

Tag = tuple[str, int, str]
KINDS = {"categories": "category", "brands": "brand", "styles": "style", "price_tastes": "price"}


def taste(rows: list[Row], shop: Shop, as_of: datetime, half_life_days: float) -> Row:
    strength: dict[Tag, float] = defaultdict(float)
    events: Counter[Tag] = Counter()
    last: dict[Tag, datetime] = {}
    for row in rows:
        if row["type"] not in STRENGTH:
            continue
        age = (as_of - row["ts"]) / timedelta(days=1)
        said = STRENGTH[row["type"]] * 0.5 ** (age / half_life_days)
        for tag in _tags(row, shop):
            strength[tag] += said
            events[tag] += said > 0.5e-9
            last[tag] = max(row["ts"], last.get(tag, row["ts"]))
    liked = sorted((tag for tag in strength if strength[tag] > 0.5e-9), key=lambda tag: (-strength[tag], tag[2]))
    evidence: dict[str, list[Row]] = {kind: [] for kind in KINDS.values()}
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
        **{name: evidence[kind] or None for name, kind in KINDS.items()},
        "avoided_categories": _avoided(rows, shop, "category", events),
        "avoided_brands": _avoided(rows, shop, "brand", events),
        "top_category": roots[0] if roots else None,
        "top_subcategory": below[0] if below else None,
        "top_brand": evidence["brand"][0]["tag"] if evidence["brand"] else None,
    }


def _tags(row: Row, shop: Shop) -> list[Tag]:
    item_id = row.get("item_id") or ""
    item, path = shop.items.get(item_id, {}), shop.path(item_id)
    tags = [("category", depth, " > ".join(path[:depth])) for depth in range(1, len(path) + 1)]
    flat = {
        ("brand", item.get("brand")),
        ("price", shop.band(item_id)),
        *(("style", t) for t in item.get("tags") or ()),
    }
    return [*tags, *((kind, 1, tag) for kind, tag in flat if tag is not None)]


def _avoided(rows: list[Row], shop: Shop, kind: str, spoken: Counter[Tag]) -> list[Row] | None:
    count: dict[Any, Counter[Tag]] = defaultdict(Counter)
    last: dict[Tag, datetime] = {}
    of_item: dict[tuple[str, Tag], Counter[str]] = defaultdict(Counter)
    for row in rows:
        for tag in _tags(row, shop):
            count[row["type"]][tag] += 1
            of_item[row["item_id"], tag][row["type"]] += 1
            if row["type"] in ("exposure", "refund"):
                last[tag] = max(row["ts"], last.get(tag, row["ts"]))
    at_root = [tag for tag in {*count["exposure"], *count["click"]} if tag[:2] == (kind, 1)]
    shown, clicked = (sum(count[name][tag] for tag in at_root) for name in ("exposure", "click"))
    likely = (min(clicked, shown) + 1) / (shown + 2)
    found = []
    for tag in (tag for tag in last if tag[0] == kind):
        seen, back, bought = (count[name][tag] for name in ("exposure", "refund", "purchase"))
        passed = seen >= 5 and spoken[tag] == 0
        sent_back = back >= 2 and back >= bought / 2
        if passed or sent_back:
            opened = sum(max(c["click"], c["item_view"]) for (_, other), c in of_item.items() if other == tag)
            doubt = [1 - (1 - likely) ** seen] if passed else []
            doubt += [back / (back + 1)] if sent_back else []
            entry = {"tag": tag[2], "weight": 1.0 if passed else min(back / max(bought, 1), 1.0)}
            entry |= {"events": seen + back, "last_ts": last[tag], "confidence": max(doubt)}
            found.append(entry | {"shown": seen, "opened": opened, "refunded": back})
    found.sort(key=lambda entry: (-entry["shown"] - 5 * entry["refunded"], entry["tag"]))
    return found[:20] or None
