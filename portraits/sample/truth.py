"""What only tests and benchmarks may read: the planted truth of a sample shop, in a folder of its own.

| file | a row is | columns |
|---|---|---|
| users | a visitor who came | user_id, bias and sense (log odds to buy, and what a discount does to them), budget (log
  of prices paid over usual ones), rate, channel, platform, home_store, local_hour, payday, weekend, reads, shares,
  pull, joined_day, left_day, switch_day (the day two tastes change places), anonymous |
| tastes | a visitor's taste cluster at the end | user_id, cluster, weight, category, brands, level |
| needs | a repeated need | user_id, item_id, category, every_days |
| items | an item | item_id, cluster, quality |
| campaigns | a random send | offer_id, begins, ends, treated_share |
| effects | a visitor x offer | user_id, offer_id, p_without, p_with: chance that an ordinary visit ends in an unplanned
  purchase |
| coupons | first visit of a visitor in a random send | decision_id, user_id, offer_id, ts, treated, p_without, p_with
  (chance to buy anything), p_planned (chance that a need is bought, the same in both), wants_without and wants_with
  (the unplanned decision, drawn with the same luck for either world) |
| brought | a visit that a share brought | sharer, friend, ts, new, paid |

`accounting.json` is `Written`, the ids of bots and testers, and the number of days. The user of an anonymous id
`a...` is `u...` with the same digits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from portraits.sample import names
from portraits.sample.catalogues import item_text, offer_text, store_text, user_text
from portraits.sample.choice import buy_chance, offer_shift
from portraits.sample.day import Day
from portraits.sample.people import NEEDS, NEVER
from portraits.sample.rows import Array, coded, numbered
from portraits.sample.shop import Shop
from portraits.sample.tables import TableFile

CHUNK = 200_000
_TEXT, _TIME, _REAL, _DAY, _YES = pa.string(), pa.timestamp("us", tz="UTC"), pa.float64(), pa.int32(), pa.bool_()

SCHEMAS = {
    "users": pa.schema(
        [
            ("user_id", _TEXT),
            *((name, _REAL) for name in ("bias", "sense", "budget", "rate", "reads", "shares", "pull")),
            *((name, _DAY) for name in ("local_hour", "payday", "weekend", "joined_day", "left_day", "switch_day")),
            *((name, _TEXT) for name in ("channel", "platform", "home_store")),
            ("anonymous", _YES),
        ]
    ),
    "tastes": pa.schema(
        [
            ("user_id", _TEXT),
            ("cluster", _DAY),
            ("weight", _REAL),
            ("category", _TEXT),
            ("brands", pa.list_(_TEXT)),
            ("level", _REAL),
        ]
    ),
    "needs": pa.schema([("user_id", _TEXT), ("item_id", _TEXT), ("category", _TEXT), ("every_days", _REAL)]),
    "items": pa.schema([("item_id", _TEXT), ("cluster", _DAY), ("quality", _REAL)]),
    "campaigns": pa.schema([("offer_id", _TEXT), ("begins", _TIME), ("ends", _TIME), ("treated_share", _REAL)]),
    "effects": pa.schema([("user_id", _TEXT), ("offer_id", _TEXT), ("p_without", _REAL), ("p_with", _REAL)]),
    "coupons": pa.schema(
        [
            ("decision_id", _TEXT),
            ("user_id", _TEXT),
            ("offer_id", _TEXT),
            ("ts", _TIME),
            ("treated", _YES),
            ("p_without", _REAL),
            ("p_with", _REAL),
            ("p_planned", _REAL),
            ("wants_without", _YES),
            ("wants_with", _YES),
        ]
    ),
    "brought": pa.schema([("sharer", _TEXT), ("friend", _TEXT), ("ts", _TIME), ("new", _YES), ("paid", _YES)]),
}


class TruthWriter:
    """Writes the truth beside a history: `add` each day, then `finish`."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._shop, self._folder = shop, folder
        self._coupons = TableFile(folder / "coupons.parquet", SCHEMAS["coupons"])
        self._brought = TableFile(folder / "brought.parquet", SCHEMAS["brought"])

    def add(self, day: Day) -> None:
        """The truth that came to light on a day."""
        shop, brought, coupons = self._shop, day.brought, day.coupons
        self._brought.add(
            {
                "sharer": user_text(shop, brought["sharer"]),
                "friend": user_text(shop, brought["friend"]),
                "ts": pa.array(brought["at"], _TIME),
                "new": brought["new"],
                "paid": brought["paid"],
            }
        )
        if coupons:
            same = ("treated", "p_without", "p_with", "p_planned", "wants_without", "wants_with")
            self._coupons.add(
                {
                    "decision_id": numbered("d", coupons["decision"], 3),
                    "user_id": user_text(shop, coupons["user"]),
                    "offer_id": offer_text(shop).take(pa.array(coupons["campaign"])),
                    "ts": pa.array(coupons["at"], _TIME),
                    **{name: coupons[name] for name in same},
                }
            )

    def finish(self, written: dict[str, Any]) -> None:
        """Closes the running files and writes those of the end of the history."""
        shop, plan = self._shop, self._shop.plan
        for running in (self._coupons, self._brought):
            running.close()
        tables = {"users": _users, "tastes": _tastes, "needs": _needs, "effects": _effects}
        for name, blocks in tables.items():
            with TableFile(self._folder / f"{name}.parquet", SCHEMAS[name]) as file:
                for known in _known(shop):
                    for block in blocks(shop, known):
                        file.add(block)
        for name, block in (("items", _items(shop)), ("campaigns", _campaigns(shop))):
            with TableFile(self._folder / f"{name}.parquet", SCHEMAS[name]) as file:
                file.add(block)
        programs = user_text(shop, plan.users + np.arange(plan.bots + plan.testers)).to_pylist()
        told = {**written, "days": plan.days, "bots": programs[: plan.bots], "testers": programs[plan.bots :]}
        (self._folder / "accounting.json").write_text(json.dumps(told, indent=1) + "\n")


def _known(shop: Shop) -> Iterator[Array]:
    known = np.flatnonzero(shop.people.first_day != NEVER)
    for begin in range(0, len(known), CHUNK):
        yield known[begin : begin + CHUNK]


def _users(shop: Shop, known: Array) -> Iterator[dict[str, Any]]:
    people = shop.people
    same = ("bias", "sense", "budget", "rate", "reads", "shares", "pull", "payday", "weekend", "anonymous")
    yield {
        "user_id": numbered("u", known),
        **{name: getattr(people, name)[known] for name in same},
        "local_hour": people.hour[known],
        "joined_day": people.joined[known],
        "left_day": people.left[known],
        "switch_day": pa.array(people.switch[known], mask=people.switch[known] == NEVER),
        "channel": _word(people.channel[known], pa.array(names.CHANNELS)),
        "platform": _word(people.platform[known], pa.array(names.PLATFORMS)),
        "home_store": _word(people.home[known] if shop.plan.sells else np.full(len(known), -1), store_text(shop)),
    }


def _word(codes: Array, words: pa.Array) -> pa.Array:
    return words.take(pa.array(codes, mask=codes < 0))


def _tastes(shop: Shop, known: Array) -> Iterator[dict[str, Any]]:
    leaves = pa.array([leaf.name for leaf in names.LEAVES])
    brands = pa.array([[names.brand_name(int(brand)) for brand in row] for row in shop.clusters.brands])
    for place in range(3):
        cluster = shop.people.clusters[known, place]
        yield {
            "user_id": numbered("u", known),
            "cluster": cluster,
            "weight": shop.people.weights(known)[:, place],
            "category": _word(shop.clusters.leaf[cluster], leaves),
            "brands": brands.take(pa.array(cluster)),
            "level": shop.clusters.level[cluster],
        }


def _needs(shop: Shop, known: Array) -> Iterator[dict[str, Any]]:
    people, leaves = shop.people, pa.array([leaf.name for leaf in names.LEAVES])
    for need in range(NEEDS):
        some = known[people.need_item[known, need] >= 0]
        item = people.need_item[some, need]
        yield {
            "user_id": numbered("u", some),
            "item_id": _word(item, item_text(shop)),
            "category": _word(shop.goods.leaf[item], leaves),
            "every_days": people.need_every[some, need],
        }


def _effects(shop: Shop, known: Array) -> Iterator[dict[str, Any]]:
    for campaign in shop.campaigns:
        some = known[shop.people.member[known]] if campaign.members else known
        yield {
            "user_id": numbered("u", some),
            "offer_id": coded(np.full(len(some), campaign.code), offer_text(shop)),
            "p_without": buy_chance(shop, some),
            "p_with": buy_chance(shop, some, offer_shift(shop, some, campaign)),
        }


def _items(shop: Shop) -> dict[str, Any]:
    return {"item_id": item_text(shop), "cluster": shop.goods.cluster, "quality": shop.goods.quality}


def _campaigns(shop: Shop) -> dict[str, Any]:
    return {
        "offer_id": offer_text(shop),
        "begins": pa.array([shop.plan.day_us(campaign.begins) for campaign in shop.campaigns], _TIME),
        "ends": pa.array([shop.plan.day_us(campaign.ends) for campaign in shop.campaigns], _TIME),
        "treated_share": pa.array([0.5] * len(shop.campaigns), _REAL),
    }
