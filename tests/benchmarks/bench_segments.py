"""How long a preview takes: counts for every line of a rule over a million visitors and their behaviour.

    python tests/benchmarks/bench_segments.py [--visitors 1000000] [--events 20] [--threads 2]

Makes portraits and behaviour of the sample shop's shape (a few heavy visitors, popular items, mostly views, purchases
rare), lays them out as a night does (`segments.tables.lay_out`), and times rules from cheap to dear, beside the same
counts in hand-written SQL over the same tables. Prints one row a rule: processor seconds, which a busy machine does
not change much, and the shortest time on the clock.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from portraits.engine import connect
from portraits.field import Field
from portraits.rules import Moment, parse
from portraits.rules.clock import DAY_US
from portraits.segments.evaluate import lines
from portraits.segments.preview import preview
from portraits.segments.tables import FILE, laid_out_tables, lay_out

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
PORTRAITS = "(SELECT file_row_number AS number FROM read_parquet('{}/portraits.parquet', file_row_number = true))"
SQL = {
    "bought twice": """SELECT count(*) FROM
        (SELECT number FROM laid_out.behaviour WHERE type = 'purchase' AND us >= {since_30}
        GROUP BY number HAVING count(*) >= 2) JOIN {portraits} USING (number)""",
    "of the issue": """SELECT count(*) FROM {portraits}
        JOIN (SELECT number, count(*) AS n FROM laid_out.behaviour JOIN laid_out.items USING (item_id)
              WHERE type = 'purchase' AND us >= {since_30} AND category[1] = 'c3' GROUP BY number) bought USING (number)
        LEFT JOIN (SELECT DISTINCT number, true AS opened FROM laid_out.behaviour
                   WHERE type = 'message_open' AND us >= {since_7}) USING (number) WHERE n >= 2 AND opened IS NULL""",
}


def planted(visitors: int, each: int, folder: Path) -> pa.Table:
    """Files of portraits and behaviour as a portrait set has them, and the items."""
    rng = np.random.default_rng(0)
    share = rng.exponential(size=visitors)
    number = np.repeat(np.arange(visitors), rng.poisson(each * share))
    events = len(number)
    kinds = rng.choice(len(TYPES), events, p=list(TYPES.values()))
    us = NOW - (rng.random(events) * 180 * DAY_US).astype(np.int64)
    order = np.lexsort((us, number))
    user_ids = pa.array([f"user-{n:09d}" for n in range(visitors)])
    types = pa.DictionaryArray.from_arrays(pa.array(kinds[order].astype(np.int8)), list(TYPES))
    seen_us = NOW - (rng.random(visitors) * 90 * DAY_US).astype(np.int64)
    item_ids = pa.array([f"item-{n:06d}" for n in range(ITEMS)])
    items = pa.array(np.minimum(rng.zipf(1.3, events) - 1, ITEMS - 1)[order].astype(np.int32))
    none = pa.nulls(events, pa.string())
    behaviour = pa.table(
        {
            "user_id": user_ids.take(pa.array(number[order])),
            "us": us[order],
            "type": types.cast(pa.string()),
            "item_id": pa.DictionaryArray.from_arrays(items, item_ids).cast(pa.string()),
            **dict.fromkeys(("content_id", "store_id", "offer_id"), none),
            "amount": rng.integers(100, 20_000, events),
        }
    )
    pq.write_table(behaviour, folder / "behaviour.parquet", compression="zstd", row_group_size=16_384)
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
            "user_id": user_ids,
            "orders": rng.poisson(2 * share),
            "stage": pa.array(["visitor", "new", "loyal", "asleep"]).take(pa.array(rng.integers(0, 4, visitors))),
            "last_seen": pa.array(seen_us, pa.timestamp("us", "UTC")),
            "categories": pa.ListArray.from_arrays(np.arange(0, visitors * 5 + 1, 5, dtype=np.int32), entries),
        }
    )
    pq.write_table(portraits, folder / "portraits.parquet", compression="zstd", row_group_size=8_192)
    paths = [[f"c{n % 20}", f"c{n % 20}-{n // 20 % 5}"] for n in range(ITEMS)]
    catalogue = {"item_id": item_ids, "category": paths, "brand": [f"b{n % 50}" for n in range(ITEMS)]}
    return pa.table(catalogue | {"tags": [["t"]] * ITEMS})


def timed(ask: Any) -> tuple[float, float, Any]:
    """Processor seconds of a round and the shortest time of one, after one that warms up; and the answer."""
    said = ask()
    shortest, start = float("inf"), time.process_time()
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        ask()
        shortest = min(shortest, time.perf_counter() - begun)
    return (time.process_time() - start) / ROUNDS, shortest, said


@contextmanager
def told(what: str) -> Iterator[None]:
    """Prints how long it took."""
    begun = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - begun:.1f} s")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--visitors", type=int, default=1_000_000)
    asked.add_argument("--events", type=int, default=20, help="events a visitor")
    asked.add_argument("--threads", type=int, default=2)
    size = asked.parse_args()
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room)
        items = ibis.memtable(planted(size.visitors, size.events, folder))
        with told("laid out by the night"):
            lay_out(connect(), folder, items)
        print(f"{(folder / FILE).stat().st_size / 1e6:.0f} MB")
        with told("opened"):
            con = connect(memory_limit="1GB", threads=size.threads)
            tables = laid_out_tables(con, folder)
        print(f"{size.visitors} visitors, {tables.behaviour.count().execute()} events; seconds")
        print(f"{'rule':<22}{'processor':>10}{'clock':>8}{'SQL':>8}{'clock':>8}{'visitors':>10}")
        for name, rule in RULES.items():
            parsed = parse(rule, FIELDS)
            busy, clock, said = timed(lambda parsed=parsed: preview(parsed, lines(parsed, tables, MOMENT)))
            sql, by_hand = "", said.total
            if name in SQL:
                since = {f"since_{days}": MOMENT.since(days) for days in (7, 30)}
                statement = SQL[name].format(portraits=PORTRAITS.format(folder), **since)
                sql_busy, sql_clock, by_hand = timed(
                    lambda statement=statement: con.con.execute(statement).fetchone()[0]
                )
                sql = f"{sql_busy:>8.2f}{sql_clock:>8.2f}"
            differs = "" if by_hand == said.total else f" != {by_hand}"
            print(f"{name:<22}{busy:>10.2f}{clock:>8.2f}{sql:>16}{said.total:>10}{differs}")


if __name__ == "__main__":
    main()
