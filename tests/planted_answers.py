"""Answers and what followed them, as plain rows, and a plain reading of the rule that ties the two together."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from portraits.history import DECISIONS, EVENTS, TABLES
from portraits.lake import Lake
from portraits.snapshot import Snapshot

START = datetime(2026, 3, 2, tzinfo=UTC)
Row = dict[str, Any]


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def answer(name: str, user: str, hours: float, *items: str, arm: str | None = "treated", **more: Any) -> Row:
    """An answer with these items, from the source `als`."""
    shown = [{"item_id": one, "position": place, "source": "als"} for place, one in enumerate(items, 1)]
    row = {"decision_id": name, "user_id": user, "ts": at(hours), "arm": arm, "candidates": json.dumps(shown)}
    return dict.fromkeys(DECISIONS.names) | row | more


def event(user: str, kind: str, item: str | None, hours: float, **more: Any) -> Row:
    name = "-".join(str(one) for one in (user, kind, item, hours, *more.values()))
    row = {"event_id": name, "user_id": user, "ts": at(hours), "type": kind, "item_id": item}
    return dict.fromkeys(EVENTS.names) | row | more


def lake_of(root: Path, events: Sequence[Row], decisions: Sequence[Row], **catalogues: Sequence[Row]) -> Snapshot:
    """A lake of the app `shop` with these rows."""
    lake = Lake(root)
    for name, rows in (("events", events), ("decisions", decisions)):
        lake.append("shop", name, pa.Table.from_pylist(list(rows), TABLES[name].arrow_schema()), "planted")
    for name, rows in catalogues.items():
        full = [dict.fromkeys(TABLES[name].names) | row for row in rows]
        lake.upsert("shop", name, pa.Table.from_pylist(full, TABLES[name].arrow_schema()), START - timedelta(days=9))
    return lake.snapshot("shop")


def random_log(seed: int) -> tuple[list[Row], list[Row]]:
    """Answers and events of few people and items, close together, so that everything meets."""
    rng = random.Random(seed)
    people, things = ["ann", "bob", "cid"], ["tea", "cup", "pot"]
    names = [f"d{n}" for n in range(12)]
    decisions = [answer(name, rng.choice(people), rng.randrange(80), *rng.sample(things, 2)) for name in names[:-2]]
    decisions += [decisions[0] | {"user_id": "bob", "ts": at(200)}]  # the same id on another day
    events = []
    for n in range(160):
        kind = rng.choice(["purchase", "purchase", "click", "exposure", "order_cancel"])
        row = event(rng.choice(people), kind, rng.choice(things), rng.randrange(100), quantity=n)
        row["decision_id"] = rng.choice([None, None, *names])
        row["order_id"] = None if kind in ("click", "exposure") else rng.choice([None, *(f"o{k}" for k in range(60))])
        if kind == "order_cancel":
            row["item_id"] = rng.choice([None, row["item_id"]])
        events.append(row)
    return events, decisions


def plainly(events: Sequence[Row], decisions: Sequence[Row], hours: float) -> list[tuple[Any, ...]]:
    """Each purchase that stands: (quantity, answer it belongs to, how, answer it was seen in, whether it names an
    answer that is not its own)."""
    answers: dict[str, Row] = {}
    for row in sorted(decisions, key=lambda one: (one["ts"], one["user_id"])):
        answers.setdefault(row["decision_id"], row)

    def own(row: Row) -> str | None:
        named = answers.get(row["decision_id"])
        if named is None or named["user_id"] not in (row["user_id"], "-"):
            return None
        return row["decision_id"] if named["ts"] <= row["ts"] + timedelta(minutes=10) else None

    def last(kind: str, bought: Row) -> tuple[bool, str | None]:
        rows = [
            row for row in events
            if row["type"] == kind and (row["user_id"], row["item_id"]) == (bought["user_id"], bought["item_id"])
            and timedelta(0) <= bought["ts"] - row["ts"] <= timedelta(hours=hours)
        ]  # fmt: skip
        latest = [row for row in rows if row["ts"] == max(one["ts"] for one in rows)]
        return bool(rows), min((name for row in latest if (name := own(row)) is not None), default=None)

    void = {(row["user_id"], row["order_id"], row["item_id"]) for row in events if row["type"] == "order_cancel"}
    found = []
    for row in events:
        order = row["user_id"], row["order_id"]
        gone = row["order_id"] is not None and ((*order, None) in void or (*order, row["item_id"]) in void)
        if row["type"] != "purchase" or gone:
            continue
        clicked, by_click = last("click", row)
        name = own(row)
        how = "named" if name else "click" if by_click else None
        seen = None if name or clicked else last("exposure", row)[1]
        found.append((row["quantity"], name or by_click, how, seen, row["decision_id"] is not None and not name))
    return found
