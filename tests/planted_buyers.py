"""Shops whose buyers' next orders follow known laws, as rows of events, and their night as a table."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from portraits.build import fields, past_of
from portraits.draft import Draft
from portraits.engine import connect
from portraits.features import REGISTRY
from portraits.history import EVENTS, ITEMS
from portraits.lake import Lake
from portraits.predictions.activity import FIELDS
from portraits.predictions.stage import REPORT_FILE, predict
from portraits.settings import AppSettings

AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
SETTINGS = AppSettings("planted", time_zone="UTC")
Row = dict[str, Any]


def order(user: str, ago: float, **more: Any) -> Row:
    """A purchase so many days before AS_OF (after it where negative)."""
    return {
        "user_id": user,
        "ts": AS_OF - timedelta(days=ago),
        "type": "purchase",
        "item_id": "tea",
        "amount": 1000,
    } | more


def visit(user: str, ago: float, kind: str = "item_view") -> Row:
    return {"user_id": user, "ts": AS_OF - timedelta(days=ago), "type": kind, "item_id": "tea"}


def weekly_and_gone(weekly: int = 150, gone: int = 150) -> list[Row]:
    """w...: an order every 7 days for 60 weeks, the last within 7 days before AS_OF. g...: an order every 7 days for 20
    weeks, the last 100 to 250 days before AS_OF."""
    rows = []
    for n in range(weekly):
        rows += [order(f"w{n:03d}", n % 7 + 0.5 + 7 * k) for k in range(60)]
    for n in range(gone):
        rows += [order(f"g{n:03d}", 100 + n % 150 + 7 * k + 0.5) for k in range(20)]
    return rows


def poisson(rng: np.random.Generator, buyers: int, days: int, after: int) -> tuple[list[Row], np.ndarray[Any, Any]]:
    """Buyers who order with a steady rate of their own, gamma(0.6, 1/30) a day, from a random first day on, for
    `after` days past AS_OF; and the rates, by number."""
    rows: list[Row] = []
    rates = rng.gamma(0.6, 1 / 30, buyers)
    for n, rate in enumerate(rates):
        moment = float(rng.uniform(0, days))
        while moment > -after:
            rows.append(order(f"p{n:05d}", moment, amount=int(rng.integers(500, 1500))))
            moment -= float(rng.exponential(1 / rate)) + 1e-3
    return rows, rates


def night(rows: list[Row], folder: Path, settings: AppSettings = SETTINGS, items: list[Row] | None = None) -> Night:
    """The predictions as of AS_OF."""
    lake = Lake(folder / "lake")
    numbered = [{"event_id": f"e{n}", **row} for n, row in enumerate(rows)]
    whole = [{name: row.get(name) for name in EVENTS.names} for row in numbered]
    lake.append_events("planted", pa.Table.from_pylist(whole, schema=EVENTS.arrow_schema()))
    if items:
        full = [{name: item.get(name) for name in ITEMS.names} for item in items]
        lake.upsert("planted", "items", pa.Table.from_pylist(full, schema=ITEMS.arrow_schema()))
    con, snapshot, features = connect(), lake.snapshot("planted"), folder / "features.parquet"
    past = past_of(snapshot, settings, AS_OF, con)
    fields(past, [REGISTRY[name] for name in FIELDS]).order_by("user_id").to_parquet(features)
    table = predict(Draft(snapshot, settings, past, con, features, folder, None))
    users = pq.read_table(features, columns=["user_id"])["user_id"].to_pylist()
    return Night(dict(zip(users, table.to_pylist(), strict=True)), json.loads((folder / REPORT_FILE).read_text()))


class Night:
    """people: user_id -> predicted fields; report: `predictions.json`."""

    def __init__(self, people: dict[str, Row], report: dict[str, Any]) -> None:
        self.people = people
        self.report = report

    def column(self, name: str, like: str = "") -> np.ndarray[Any, Any]:
        """A field of those whose id begins with `like`, in order of their ids; nan where it is null."""
        told = [row[name] for user, row in self.people.items() if user.startswith(like)]
        return np.array([np.nan if value is None else value for value in told])
