"""A small seeded history with everything in it that a portrait must get right, as plain rows.

Ties in time, launches with and without scenes, test traffic, refused visitors, orders without an id, weighed goods,
refunds, items nobody described, unknown event types, and a time zone whose clocks change within the history.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import ibis
import planted_deals
import pyarrow as pa

from portraits.history import CONTENTS, EVENTS, ITEMS, OFFERS, STORES, USERS, Table
from portraits.past import Past
from portraits.settings import AppSettings

AS_OF = datetime(2025, 11, 20, 15, 30, tzinfo=UTC)
START = datetime(2025, 2, 1, tzinfo=UTC)
SETTINGS = AppSettings("planted", time_zone="Europe/Berlin", taste_half_life_days=30.0)

Row = dict[str, Any]

SCENES = (
    *(("wechat", scene) for scene in ("1047", "1089", "1007", "1053", "1999", None)),
    *(("alipay", scene) for scene in ("1011", "1002", "8888")),
    *(("douyin", scene) for scene in ("021001", "023999", "999")),
    (None, "1047"),
    (None, None),
)
BROWSING = ("page_view", "item_view", "item_view", "search", "cart", "favorite", "click", "share", "exposure", "juggle")


def items() -> list[Row]:
    """Twenty items: deep and missing categories, missing brands, prices and costs, equal prices."""
    rows = []
    for n in range(20):
        path = [["food", "tea", "green"], ["food", "tea"], ["food"], ["toys", "wood"], None][n % 5]
        price = None if n % 7 == 3 else 500 + 250 * (n % 6)
        cost = None if n % 4 == 1 else 333
        row = {"item_id": f"i{n:02d}", "category": path, "brand": f"b{n % 3}", "price": price, "cost": cost}
        rows.append(row | {"tags": (None, ["soft"], ["soft", "green", "soft"], [], ["b1"], ["green"])[n % 6]})
    rows[4]["brand"] = None
    return rows


def users() -> list[Row]:
    """Two visitors refused, one agreed; nothing is known of the others."""
    return [
        {"user_id": "u03", "consent": False},
        {"user_id": "u04", "consent": True},
        {"user_id": "u11", "consent": False},
        {"user_id": "u05", "joined_at": START + timedelta(days=9), "member_tier": "gold", "points": 120},
        {"user_id": "u06", "joined_at": AS_OF, "member_tier": "basic", "points": -5},
        {"user_id": "r01", "joined_at": AS_OF - timedelta(microseconds=1)},
        {"user_id": "u17"},
    ]


def stores() -> list[Row]:
    """Five stores: two in one cell, one of a coarser cell, one far away, one whose place cannot be read."""
    cells = ("u33db", "u33db", "u33d", "u0wtt", "a!")
    return [{"store_id": f"s{n}", "geohash": cell} for n, cell in enumerate(cells)] + [{"store_id": "s5"}]


def contents() -> list[Row]:
    """Six contents: of every kind and of none, with no item, an unknown item and one item twice."""
    kinds = ("article", "video", "live", None, "live", "article")
    shown = (["i00", "i01"], ["i03"], ["i00", "i05", "i05", "i99"], ["i02"], None, [])
    rows = zip(kinds, shown, strict=True)
    return [{"content_id": f"c{n}", "kind": kind, "item_ids": items} for n, (kind, items) in enumerate(rows)]


def events(seed: int = 7) -> list[Row]:
    """About 40 visitors' events before AS_OF, each with its own event_id."""
    rng = random.Random(seed)
    rows = [row for n in range(40) for row in _visitor(rng, f"u{n:02d}", n)]
    rows += [
        {"user_id": "passive", "ts": AS_OF - timedelta(days=3), "type": "message_sent"},
        {
            "user_id": "crawler",
            "ts": AS_OF - timedelta(days=9),
            "type": "launch",
            "platform": "wechat",
            "scene": "1129",
        },
        {"user_id": "crawler", "ts": AS_OF - timedelta(days=9), "type": "page_view"},
        {"user_id": "微信🎁", "ts": AS_OF - timedelta(microseconds=1), "type": "item_view", "item_id": "i00"},
    ]
    rows = _placed(random.Random(seed + 1), rows) + _read(random.Random(seed + 2)) + _shared(random.Random(seed + 3))
    return numbered(rows + planted_deals.deals(seed, START, AS_OF), "e")


def _placed(rng: random.Random, rows: list[Row]) -> list[Row]:
    """`rows`, some of them in a store (known, unknown or not in the catalogue) or a city, some by a content."""
    found = []
    for row in rows:
        extra: Row = {}
        if rng.random() < 0.3:
            extra |= {"store_id": f"s{min(rng.randint(0, 6), rng.randint(0, 6))}"}
        if rng.random() < 0.2:
            extra |= {"city": rng.choice(("上海", "Berlin", "Aachen"))}
        if row["type"] in ("purchase", "item_view") and rng.random() < 0.1:
            extra |= {"content_id": f"c{rng.randint(0, 7)}"}
        found.append(row | extra)
    return found


def _read(rng: random.Random) -> list[Row]:
    """Contents opened, often just before or exactly 24 hours before a purchase of an item shown."""
    rows: list[Row] = []
    for _ in range(120):
        user, content = f"u{rng.randint(0, 39):02d}", f"c{rng.randint(0, 7)}"
        ts = START + timedelta(minutes=rng.randint(0, 60 * 24 * 280))
        rows.append({"user_id": user, "ts": ts, "type": "content_view", "content_id": content, "duration_ms": 9})
        if rng.random() < 0.3:
            rows.append({"user_id": user, "ts": ts, "type": "content_view", "content_id": f"c{rng.randint(0, 7)}"})
        if rng.random() < 0.6:
            later = ts + rng.choice((timedelta(0), timedelta(hours=5), timedelta(days=1)))
            bought = {"user_id": user, "ts": later, "type": "purchase", "item_id": rng.choice(("i00", "i03", "i05"))}
            rows += [bought | {"amount": rng.choice((0, 300, 700))}] * rng.choice((1, 1, 2))
        if rng.random() < 0.2:
            rows.append({"user_id": user, "ts": ts, "type": "cart", "content_id": content, "item_id": "i07"})
    return [row for row in rows if row["ts"] < AS_OF]


def _shared(rng: random.Random) -> list[Row]:
    """Friends who come by shares: own clicks, pairs in turn, strangers, a refused sharer, a long chain, groups."""
    rows: list[Row] = []
    known = [f"u{n:02d}" for n in range(40)]
    for _ in range(150):
        friend, sharer = rng.choice(known), rng.choice([*known[:9], "nobody", "crawler", "passive", rng.choice(known)])
        ts = START + timedelta(minutes=rng.randint(0, 60 * 24 * 280))
        kind = rng.choice(("launch", "share_open", "group_join"))
        rows.append({"user_id": friend, "ts": ts, "type": kind, "referrer_user_id": sharer})
        if sharer in known and rng.random() < 0.4:
            rows.append({"user_id": sharer, "ts": ts, "type": "share_open", "referrer_user_id": friend})
        if rng.random() < 0.5:
            paid = ts + rng.choice((timedelta(0), timedelta(minutes=9), timedelta(days=1)))
            rows.append({"user_id": friend, "ts": paid, "type": "purchase", "item_id": "i01", "amount": 500})
        if rng.random() < 0.2:
            rows.append({"user_id": friend, "ts": ts, "type": "group_open"})
            kind = rng.choice(("group_success", "group_fail"))
            rows.append({"user_id": friend, "ts": ts + timedelta(days=2), "type": kind})
    for n in range(11):
        ts = START - timedelta(days=20 - n)
        late = timedelta(minutes=(0, 30, 0, 31)[n % 4]) if n > 2 else timedelta(0)
        by = None if n == 0 else f"f{n - 1:02d}" if n < 10 else "f03"
        rows.append({"user_id": f"f{n:02d}", "ts": ts, "type": "launch"})
        rows.append({"user_id": f"f{n:02d}", "ts": ts + late, "type": "share_open", "referrer_user_id": by})
        rows.append({"user_id": f"g{n:02d}", "ts": ts, "type": "launch", "referrer_user_id": f"g{n - 1:02d}"})
        rows.append({"user_id": f"f{n:02d}", "ts": ts, "type": "share_open", "referrer_user_id": f"g{n % 3:02d}"})
    return [row for row in rows if row["ts"] < AS_OF]


def numbered(rows: list[Row], prefix: str) -> list[Row]:
    """`rows`, each with an event_id."""
    return [{"event_id": f"{prefix}{n}", **row} for n, row in enumerate(rows)]


def _visitor(rng: random.Random, user: str, n: int) -> list[Row]:
    rows: list[Row] = []
    for visit in range(1 if n % 8 == 0 else rng.randint(1, 9)):
        days = (AS_OF - START).total_seconds() / 86_400
        ts = START + timedelta(seconds=int(rng.random() * days * 86_400), microseconds=rng.choice((0, 0, 17)))
        rows += _visit(rng, user, ts, rng.choice(SCENES), f"{user}-{visit}")
        if rng.random() < 0.15:
            test = rng.choice((("wechat", "1129"), (None, "1017"), ("wechat", "1030")))
            rows += _visit(rng, user, ts + timedelta(minutes=rng.randint(1, 90)), test, f"{user}-t{visit}")
    return [row for row in rows if row["ts"] < AS_OF]


def _visit(rng: random.Random, user: str, ts: datetime, entrance: tuple[Any, Any], order: str) -> list[Row]:
    platform, scene = entrance
    launch = {"user_id": user, "ts": ts, "type": "launch", "platform": platform, "scene": scene}
    rows: list[Row] = [] if rng.random() < 0.2 else [launch]
    for _ in range(rng.randint(1, 8)):
        kind = rng.choice(BROWSING)
        ts += timedelta(seconds=rng.choice((0, 0, 5, 40, 300, 1_799, 1_800, 1_801)))
        row: Row = {"user_id": user, "ts": ts, "type": kind, "duration_ms": rng.choice((None, 1_500))}
        if kind not in ("page_view", "search", "juggle"):
            row["item_id"] = f"i{rng.randint(0, 22):02d}"
        if rng.random() < 0.5:
            row |= {"platform": platform, "scene": scene}
        rows.append(row)
    if rng.random() < 0.5:
        rows += _order(rng, user, ts, order)
    return rows


def _order(rng: random.Random, user: str, ts: datetime, order: str) -> list[Row]:
    rows: list[Row] = []
    order_id = rng.choice((order, order, None))
    for _ in range(rng.randint(1, 3)):
        listed = rng.choice((None, 900, 1_200))
        amount = rng.choice((600, 900))
        row: Row = {"user_id": user, "ts": ts, "type": "purchase", "order_id": order_id, "amount": amount}
        row |= {"item_id": f"i{rng.randint(0, 22):02d}", "list_amount": listed}
        row["quantity"] = rng.choice((None, Decimal("1"), Decimal("2"), Decimal("0.5170"), Decimal("0")))
        row["discount"] = rng.choice((None, 0, 100)) if listed is None else None
        rows.append(row)
    if rng.random() < 0.3:
        back = {"user_id": user, "ts": ts + timedelta(days=2), "type": "refund", "order_id": order_id, "amount": 400}
        rows.append(back | {"item_id": rows[0]["item_id"]})
    if rng.random() < 0.2:
        rows.append({"user_id": user, "ts": ts + timedelta(days=1), "type": "order_cancel", "order_id": order_id})
    if rng.random() < 0.3:
        rows.append({"user_id": user, "ts": ts, "type": "offer_claim", "offer_id": "o1", "revenue": 5})
        rows.append({"user_id": user, "ts": ts, "type": "offer_redeem", "offer_id": "o1"})
    return rows


def arrow(table: Table, rows: list[Row]) -> pa.Table:
    """Plain rows as an Arrow table of the contract."""
    whole = [{name: row.get(name) for name in table.names} for row in rows]
    return pa.Table.from_pylist(whole, schema=table.arrow_schema())


def past(
    event_rows: list[Row],
    item_rows: list[Row] | None = None,
    user_rows: list[Row] | None = None,
    real_time: bool = True,
    settings: AppSettings = SETTINGS,
) -> Past:
    """The planted history (or other rows of its kind) as `build` hands it to features."""
    return Past(
        lake_events=ibis.memtable(arrow(EVENTS, event_rows)),
        lake_items=ibis.memtable(arrow(ITEMS, items() if item_rows is None else item_rows)),
        lake_users=ibis.memtable(arrow(USERS, users() if user_rows is None else user_rows)),
        lake_stores=ibis.memtable(arrow(STORES, stores())),
        lake_contents=ibis.memtable(arrow(CONTENTS, contents())),
        lake_offers=ibis.memtable(arrow(OFFERS, planted_deals.offers())),
        settings=settings,
        as_of=AS_OF,
        first=min((row["ts"] for row in event_rows), default=AS_OF),
        size=len(event_rows),
        real_time=real_time,
    )
