"""How long a preview takes: counts for every line of a rule over a million visitors and their behaviour.

    python tests/benchmarks/bench_segments.py [--visitors 1000000] [--events 20]

Makes portraits and behaviour of the sample shop's shape (a few heavy visitors, popular items, mostly views, purchases
rare), lays them out as the preview process does (`segments.tables.numbered_tables`), and times rules from cheap to
dear, beside the same counts in hand-written SQL over the same files. Prints one row a rule, in processor seconds: on
two idle cores a preview takes little more than half of them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from portraits.engine import connect
from portraits.field import Field
from portraits.rules import Moment, parse
from portraits.rules.clock import DAY_US
from portraits.segments.evaluate import Tables, lines
from portraits.segments.preview import preview

NOW = 1_760_000_000_000_000
MOMENT = Moment(NOW, ZoneInfo("Asia/Shanghai"))
ITEMS = 20_000
TYPES = {"exposure": 0.3, "page_view": 0.25, "item_view": 0.3, "cart": 0.05, "purchase": 0.04, "message_open": 0.06}
EVIDENCE = "array<struct<tag: string, weight: float64, events: int64, confidence: float64>>"
ROUNDS = 5


def field(name: str, dtype: str) -> Field:
    return Field(name, "bench", dtype, "things", None, None, (), None, False, "events", "A field.")


FIELDS = {
    one.name: one
    for one in (
        field("orders", "int64"),
        field("stage", "string"),
        field("last_seen", "timestamp('UTC', 6)"),
        field("categories", EVIDENCE),
    )
}
BOUGHT = {"type": "purchase"}
VIEWED_TEA = {"type": "item_view", "category": "c3 > c3-1"}
RULES: dict[str, Any] = {
    "fields": {"and": [{"field": "orders", "op": ">=", "value": 2}, {"field": "stage", "op": "=", "value": "asleep"}]},
    "tag": {"tag": "c3", "in": "categories", "weight": 0.2},
    "bought twice": {"did": BOUGHT, "times": {"op": ">=", "value": 2}, "within_days": 30},
    "viewed, in category": {"did": VIEWED_TEA, "times": {"op": ">=", "value": 2}, "within_days": 30},
    "of the issue": {
        "and": [
            {"did": {**BOUGHT, "category": "c3"}, "times": {"op": ">=", "value": 2}, "within_days": 30},
            {"not": {"did": {"type": "message_open"}, "within_days": 7}},
        ]
    },
    "sequence": {"sequence": [{"type": "cart"}, BOUGHT], "within_days": 30, "gap_days": 3},
    "first ever": {"first": BOUGHT, "within_days": 30},
    "ten conditions": {
        "or": [
            {
                "and": [
                    {"field": "stage", "op": "in", "value": ["asleep", "loyal"]},
                    {"did": VIEWED_TEA, "times": {"op": ">=", "value": 2}, "within_days": 30},
                    {"not": {"did": {"type": "message_open"}, "within_days": 7}},
                    {"did": BOUGHT, "amount": {"op": ">=", "value": 10_000}, "within_days": 90},
                ]
            },
            {
                "and": [
                    {"tag": "c4", "in": "categories", "weight": 0.2},
                    {"sequence": [{"type": "cart"}, BOUGHT], "within_days": 30},
                    {"field": "last_seen", "op": "within_days", "value": 30},
                ]
            },
            {"and": [{"first": BOUGHT, "within_days": 30}, {"field": "orders", "op": ">", "value": 3}]},
            {"did": {"type": "cart"}, "days": {"op": ">=", "value": 3}, "within_days": 30},
        ]
    },
}
SQL = {
    "bought twice": """SELECT count(*) FROM (SELECT number FROM behaviour WHERE type = 'purchase' AND us >= {since_30}
        GROUP BY number HAVING count(*) >= 2) JOIN portraits USING (number)""",
    "of the issue": """SELECT count(*) FROM portraits
        JOIN (SELECT number, count(*) AS n FROM behaviour JOIN items USING (item_id)
              WHERE type = 'purchase' AND us >= {since_30} AND category[1] = 'c3' GROUP BY number) bought USING (number)
        LEFT JOIN (SELECT DISTINCT number, true AS opened FROM behaviour
                   WHERE type = 'message_open' AND us >= {since_7}) USING (number) WHERE n >= 2 AND opened IS NULL""",
}


def planted(visitors: int, each: int, folder: Path) -> tuple[Path, Path, pa.Table]:
    """Files of portraits and behaviour laid out as the preview process has them, and the items."""
    rng = np.random.default_rng(0)
    share = rng.exponential(size=visitors)
    number = np.repeat(np.arange(visitors), rng.poisson(each * share))
    events = len(number)
    kinds = rng.choice(len(TYPES), events, p=list(TYPES.values()))
    us = NOW - (rng.random(events) * 180 * DAY_US).astype(np.int64)
    order = np.lexsort((us, number, us // (30 * DAY_US), kinds))
    types = pa.DictionaryArray.from_arrays(pa.array(kinds[order].astype(np.int8)), list(TYPES))
    seen_us = NOW - (rng.random(visitors) * 90 * DAY_US).astype(np.int64)
    item_ids = pa.array([f"item-{n:06d}" for n in range(ITEMS)])
    items = pa.array(np.minimum(rng.zipf(1.3, events) - 1, ITEMS - 1)[order].astype(np.int32))
    none = pa.nulls(events, pa.string())
    behaviour = pa.table(
        {
            "number": number[order],
            "us": us[order],
            "type": types.cast(pa.string()),
            "item_id": pa.DictionaryArray.from_arrays(items, item_ids).cast(pa.string()),
            **dict.fromkeys(("content_id", "store_id", "offer_id"), none),
            "amount": rng.integers(100, 20_000, events),
        }
    )
    pq.write_table(behaviour, folder / "behaviour.parquet", compression="zstd", row_group_size=65_536)
    tags = pa.array([f"c{n}" for n in range(20)])
    entries = pa.StructArray.from_arrays(
        [
            tags.take(pa.array(rng.integers(0, 20, visitors * 5))),
            pa.array(rng.random(visitors * 5)),
            pa.array(rng.integers(1, 20, visitors * 5)),
            pa.array(rng.random(visitors * 5)),
        ],
        ["tag", "weight", "events", "confidence"],
    )
    portraits = pa.table(
        {
            "user_id": [f"user-{n:09d}" for n in range(visitors)],
            "number": np.arange(visitors),
            "orders": rng.poisson(2 * share),
            "stage": pa.array(["visitor", "new", "loyal", "asleep"]).take(pa.array(rng.integers(0, 4, visitors))),
            "last_seen": pa.array(seen_us, pa.timestamp("us", "UTC")),
            "categories": pa.ListArray.from_arrays(np.arange(0, visitors * 5 + 1, 5, dtype=np.int32), entries),
        }
    )
    pq.write_table(portraits, folder / "portraits.parquet", compression="zstd", row_group_size=8_192)
    paths = [[f"c{n % 20}", f"c{n % 20}-{n // 20 % 5}"] for n in range(ITEMS)]
    catalogue = {"item_id": item_ids, "category": paths, "brand": [f"b{n % 50}" for n in range(ITEMS)]}
    return folder / "portraits.parquet", folder / "behaviour.parquet", pa.table(catalogue | {"tags": [["t"]] * ITEMS})


def timed(ask: Any) -> tuple[float, Any]:
    """Processor seconds of a round, after one that warms up: what a busy machine does not change much."""
    said = ask()
    start = time.process_time()
    for _ in range(ROUNDS):
        ask()
    return (time.process_time() - start) / ROUNDS, said


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--visitors", type=int, default=1_000_000)
    asked.add_argument("--events", type=int, default=20, help="events a visitor")
    told = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        portraits, behaviour, items = planted(told.visitors, told.events, Path(folder))
        con = connect(memory_limit="4GB", threads=2)
        tables = Tables(
            con.read_parquet(str(portraits), table_name="portraits"),
            con.read_parquet(str(behaviour), table_name="behaviour"),
            con.create_table("items", items),
            key="number",
            by_type=True,
        )
        print(f"{told.visitors} visitors, {tables.behaviour.count().execute()} events; processor seconds")
        print(f"{'rule':<22}{'preview':>9}{'SQL':>9}{'visitors':>10}")
        for name, rule in RULES.items():
            parsed = parse(rule, FIELDS)
            seconds, said = timed(lambda parsed=parsed: preview(parsed, lines(parsed, tables, MOMENT)))
            sql, by_hand = "", said.total
            if name in SQL:
                since = {f"since_{days}": MOMENT.since(days) for days in (7, 30)}
                statement = SQL[name].format(**since)
                by_seconds, by_hand = timed(lambda statement=statement: con.con.execute(statement).fetchone()[0])
                sql = f"{by_seconds:.2f}"
            print(
                f"{name:<22}{seconds:>9.2f}{sql:>9}{said.total:>10}"
                + ("" if by_hand == said.total else f" != {by_hand}")
            )


if __name__ == "__main__":
    main()
