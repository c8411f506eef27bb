"""The catalogue files of the sample shop, in the contract's columns and types: what a merchant would export."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from portraits.history import CONTENTS, IDENTITIES, ITEMS, OFFERS, STORES, USERS, Table
from portraits.sample import names
from portraits.sample.people import NEVER
from portraits.sample.plan import DAY_US
from portraits.sample.rows import Array, numbered
from portraits.sample.shop import Shop
from portraits.sample.visits import anonymous_code

PURPOSE = 5
CHUNK = 200_000
KIOSK_USERS = 25
"""Visitors who all signed in on one shared tablet: an identifier that says nothing about who they are."""
CONTENT_KINDS = ("article", "video", "live")


def user_text(shop: Shop, codes: Array) -> pa.Array:
    """Public ids of user codes: `u...`, or `a...` for a visitor before sign-in."""
    first = int(anonymous_code(shop, np.zeros(1, np.int64))[0])
    hidden = pa.array(codes >= first)
    number = np.where(codes >= first, codes - first, codes)
    return pc.if_else(hidden, numbered("a", number), numbered("u", number))


def item_text(shop: Shop) -> pa.Array:
    """Public ids of items by code."""
    return numbered("i", shop.goods.number)


def content_text(shop: Shop) -> pa.Array:
    """Public ids of contents by code; in `media` a content is the item itself."""
    return numbered("c", np.arange(shop.plan.contents) + 1) if shop.plan.sells else item_text(shop)


def store_text(shop: Shop) -> pa.Array:
    return numbered("s", np.arange(shop.plan.stores) + 1, 1)


def offer_text(shop: Shop) -> pa.Array:
    return pa.array([f"offer-{campaign.code + 1}" for campaign in shop.campaigns], pa.string())


def words(shop: Shop) -> dict[str, pa.Array]:
    """Dictionaries of the bounded code columns of events."""
    cells = [_geohash(shop, store) for store in range(shop.plan.stores)]
    cities = [names.CITIES[city][0] for city in shop.places.city]
    return {
        "item": item_text(shop),
        "content": content_text(shop),
        "store": store_text(shop),
        "offer": offer_text(shop),
        "platform": pa.array(names.PLATFORMS),
        "scene": pa.array(names.SCENE_VALUES),
        "page": pa.array(names.PAGES),
        "query": pa.array([leaf.noun for leaf in names.LEAVES] + [names.QUERY_EMOJI]),
        "device": pa.array(names.DEVICES),
        "geohash5": pa.array(cells),
        "city": pa.array(cities),
    }


def _geohash(shop: Shop, store: int) -> str:
    return names.CITIES[shop.places.city[store]][1] + "0123456789"[shop.places.cell[store]]


def write_catalogues(shop: Shop, out: Path) -> None:
    """Writes items, users, offers, stores, contents and identities as they are when the history ends."""
    _write(out / "items.parquet", ITEMS, _items(shop))
    _write(out / "contents.parquet", CONTENTS, _contents(shop))
    _write(out / "stores.parquet", STORES, _stores(shop) if shop.plan.sells else [])
    _write(out / "offers.parquet", OFFERS, _offers(shop))
    known = np.flatnonzero(shop.people.first_day != NEVER)
    for name, table, rows in (("users", USERS, _users), ("identities", IDENTITIES, _identities)):
        with pq.ParquetWriter(out / f"{name}.parquet", table.arrow_schema(), compression="zstd") as writer:
            for begin in range(0, len(known), CHUNK):
                writer.write_table(rows(shop, known[begin : begin + CHUNK]))


def _write(path: Path, table: Table, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows, table.arrow_schema()), path, compression="zstd")


def _items(shop: Shop) -> list[dict[str, Any]]:
    plan, goods = shop.plan, shop.goods
    rng = plan.rng(PURPOSE, 0)
    last = plan.days - 1
    alive, ids = goods.alive(last), item_text(shop).to_pylist()
    stock = np.where(rng.random(plan.items) < 0.3, rng.integers(5, 500, plan.items), -1)
    spec = rng.integers(0, len(names.SPECS), plan.items)
    rows = []
    for code in range(plan.items):
        leaf, brand = names.LEAVES[goods.leaf[code]], names.brand_name(int(goods.brand[code]))
        styles = [names.STYLES[style] for style in dict.fromkeys(goods.styles[code].tolist())]
        row = {
            "item_id": ids[code],
            "title": _title(leaf, brand, styles[0], names.SPECS[spec[code]], plan.sells),
            "category": [leaf.root, leaf.name],
            "brand": brand,
            "hidden": bool(goods.hidden_from[code] <= last),
            "tags": styles,
            "created_at": plan.end - timedelta(days=int(plan.days - goods.created[code])),
            "image": f"https://img.example.com/{ids[code]}.jpg",
        }
        if plan.sells:
            left = None if stock[code] < 0 else int(stock[code])
            row |= {"price": int(goods.price[code]), "cost": int(goods.cost[code])}
            row["stock"] = left if alive[code] else 0
        rows.append(row)
    return rows


def _title(leaf: names.Leaf, brand: str, style: str, spec: str, sells: bool) -> str:
    if brand.startswith("Brand"):
        return f"{brand} {leaf.english}" if sells else f"{brand} on {leaf.english}"
    return f"{brand} {style}{leaf.noun} {spec}" if sells else f"{brand}：{style}{leaf.noun}怎么选"


def _contents(shop: Shop) -> list[dict[str, Any]]:
    if not shop.plan.sells:
        return [
            {"content_id": row["item_id"], "title": row["title"], "kind": "article", "item_ids": [row["item_id"]]}
            for row in _items(shop)
        ]
    ids, items = content_text(shop).to_pylist(), item_text(shop).to_pylist()
    about = names.LEAVES
    return [
        {
            "content_id": ids[code],
            "title": f"{about[shop.clusters.leaf[shop.contents.cluster[code]]].noun}怎么选？第{code + 1}期",
            "kind": CONTENT_KINDS[shop.contents.kind[code]],
            "item_ids": [items[item] for item in dict.fromkeys(shop.contents.items[code].tolist())],
        }
        for code in range(shop.plan.contents)
    ]


def _stores(shop: Shop) -> list[dict[str, Any]]:
    hours = json.dumps({str(day): ["09:00", "22:00"] for day in range(1, 8)}, separators=(",", ":"))
    return [
        {
            "store_id": store_id,
            "name": f"{names.CITIES[shop.places.city[code]][0]}{code + 1}店",
            "geohash": _geohash(shop, code),
            "hours": hours,
        }
        for code, store_id in enumerate(store_text(shop).to_pylist())
    ]


def _offers(shop: Shop) -> list[dict[str, Any]]:
    """The campaigns' coupons; every second one still runs when the history ends, for offers to be planned with."""
    plan, ids = shop.plan, offer_text(shop).to_pylist()
    return [
        {
            "offer_id": ids[campaign.code],
            "title": campaign.title,
            "kind": campaign.kind,
            "value": campaign.value,
            "minimum": campaign.minimum,
            "categories": None if campaign.root < 0 else [names.ROOTS[campaign.root]],
            "tiers": ["silver", "gold"] if campaign.members else None,
            "starts": plan.end - timedelta(days=plan.days - campaign.begins),
            "ends": plan.end + timedelta(days=90 if campaign.code % 2 else campaign.ends - plan.days),
            "budget": plan.users * 2_000,
            "daily_budget": plan.users * 100,
            "per_user_limit": 1,
            "max_cost": campaign.max_cost,
            "stacking": "alone",
            "payer": "merchant",
        }
        for campaign in shop.campaigns
    ]


def _users(shop: Shop, known: Array) -> pa.Table:
    people, plan = shop.people, shop.plan
    luck = plan.rng(PURPOSE, 1).random(len(people))[known]
    attributes = [
        json.dumps({"gender": gender, "city": names.CITIES[shop.places.city[home]][0]}, ensure_ascii=False)
        for gender in ("f", "m")
        for home in range(plan.stores)
    ]
    member = people.member[known]
    silver = people.spent[known] >= 30_000
    gold = people.spent[known] >= 150_000
    tier = np.where(member, silver.astype(np.int8) + gold, -1)
    declared = np.where(luck < 0.7, (known % 2) * plan.stores + people.home[known], -1)
    joined = plan.start_us + people.first_day[known].astype(np.int64) * DAY_US + 3_600_000_000
    return pa.table(
        {
            "user_id": numbered("u", known),
            "attributes": pa.array(attributes).take(pa.array(declared, mask=declared < 0)),
            "joined_at": pa.array(joined, pa.timestamp("us", tz="UTC"), mask=~member),
            "member_tier": pa.array(["basic", "silver", "gold"]).take(pa.array(tier, mask=tier < 0)),
            "points": pa.array(people.points[known].astype(np.int64), mask=~member),
            "consent": pa.array(luck < 0.97, mask=luck < 0.3),
        },
        schema=USERS.arrow_schema(),
    )


def _identities(shop: Shop, known: Array) -> pa.Table:
    """An openid for each visitor, the anonymous id of those who came before they signed in, and a shared tablet."""
    people, plan = shop.people, shop.plan
    hidden = people.anonymous[known]
    kiosk = (known < KIOSK_USERS) & (plan.users > 4 * KIOSK_USERS)
    openid = numbered("o", known)
    union = np.where(kiosk, 0, known + 1)
    linked = plan.start_us + (people.first_day[known].astype(np.int64) + 1) * DAY_US
    return pa.table(
        {
            "link_id": numbered("l", known),
            "user_id": numbered("u", known),
            "openid": openid,
            "unionid": numbered("w", union),
            "anonymous_id": pa.array(numbered("a", known)).take(pa.array(np.arange(len(known)), mask=~hidden)),
            "linked_at": pa.array(
                np.minimum(linked, int(plan.end.timestamp()) * 1_000_000 - 1), pa.timestamp("us", tz="UTC")
            ),
        },
        schema=IDENTITIES.arrow_schema(),
    )
