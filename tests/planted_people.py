"""Planted visitors for what looks at all portraits together: only the fields that such a stage reads, groups known."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from portraits.build import past_of
from portraits.draft import Draft
from portraits.engine import connect
from portraits.lake import Lake
from portraits.personas.traits import FIELDS
from portraits.portrait_set import FORMAT, MANIFEST_FILE, TABLE_FILE, PortraitSet, last_users
from portraits.settings import AppSettings

AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
SETTINGS = AppSettings("planted", seed=3)
INTEGERS = ("visits", "days_since_seen", "orders", "item_views", "content_views", "lines", "offers_redeemed", "shares")
OF_BUYERS = ("order_value", "price_level", "discount_share", "refund_share")

KINDS: dict[str, dict[str, float]] = {
    "guests": {"visits": 1, "days_since_seen": 90, "item_views": 2},
    "regulars": {
        "visits": 40,
        "days_since_seen": 3,
        "item_views": 120,
        "orders": 20,
        "lines": 40,
        "order_value": 6000,
        "price_level": 0.5,
        "discount_share": 0.05,
        "refund_share": 0,
        "scan_share": 0.9,
    },
    "hunters": {
        "visits": 15,
        "days_since_seen": 20,
        "item_views": 90,
        "orders": 6,
        "lines": 12,
        "order_value": 2000,
        "price_level": 0.2,
        "discount_share": 0.6,
        "refund_share": 0,
        "weekend_share": 0.9,
        "offers_redeemed": 4,
    },
    "premium": {
        "visits": 6,
        "days_since_seen": 60,
        "item_views": 30,
        "orders": 3,
        "lines": 4,
        "order_value": 60000,
        "price_level": 0.95,
        "discount_share": 0.0,
        "refund_share": 0,
        "share_share": 0.6,
    },
}
"""Four kinds of visitors; what is not named is 0, or unknown where it needs an order."""


def people(sizes: dict[str, int], seed: int = 0) -> dict[str, dict[str, Any]]:
    """Visitors by user_id, each with `kind` and the fields that traits read, scattered around the kind's own."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = [person(kind, rng) for kind, size in sizes.items() for _ in range(size)]
    order = rng.permutation(len(rows))
    return {f"u{place:06d}": rows[n] for place, n in enumerate(order)}


def person(kind: str, rng: np.random.Generator) -> dict[str, Any]:
    """One visitor of a kind. Guests are all alike: heavy ties are what real visitors have."""
    typical, apart = KINDS[kind], 0.0 if kind == "guests" else 1.0
    row: dict[str, Any] = {"kind": kind}
    for field in FIELDS:
        value = typical.get(field, 0)
        if field in OF_BUYERS and "orders" not in typical:
            row[field] = None
        elif field in INTEGERS:
            row[field] = round(value * float(rng.lognormal(0, 0.2 * apart)))
        elif field == "order_value":
            row[field] = value * float(rng.lognormal(0, 0.2))
        else:
            row[field] = float(np.clip(value + rng.normal(0, 0.05 * apart), 0, 1))
    return row


def table(visitors: dict[str, dict[str, Any]]) -> pa.Table:
    """The visitors as portraits, sorted."""
    users = sorted(visitors)
    columns = {field: [visitors[user][field] for user in users] for field in FIELDS}
    types = {field: pa.int64() if field in INTEGERS else pa.float64() for field in FIELDS}
    arrays = [pa.array(columns[field], types[field]) for field in FIELDS]
    return pa.table([pa.array(users, pa.string()), *arrays], ["user_id", *FIELDS])


def draft(folder: Path, rows: pa.Table, previous: PortraitSet | None = None, group: int = 500, seed: int = 3) -> Draft:
    """These portraits in the making, in row groups of `group`."""
    folder.mkdir(parents=True, exist_ok=True)
    features = folder / TABLE_FILE
    pq.write_table(rows, features, row_group_size=group)
    snapshot, con = Lake(folder / "lake").snapshot("planted"), connect()
    settings = replace(SETTINGS, seed=seed)
    return Draft(snapshot, settings, past_of(snapshot, settings, AS_OF, con), con, features, folder, previous)


def as_set(folder: Path) -> PortraitSet:
    """A folder with portraits as a published set."""
    path = folder / TABLE_FILE
    rows = pq.ParquetFile(path).metadata.num_rows
    users = last_users(path) if rows else []
    told = {"format": FORMAT, "as_of": AS_OF.isoformat(), "rows": rows, "fields": [], "files": {}}
    (folder / MANIFEST_FILE).write_text(json.dumps({**told, "last_users": {TABLE_FILE: users}}))
    return PortraitSet(folder)
