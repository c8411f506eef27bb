"""Bought together: the same pairs as a plain count over planted orders and over a real order log."""

from __future__ import annotations

import csv
import gzip
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest

from portraits.build import past_of
from portraits.engine import connect
from portraits.history import EVENTS
from portraits.lake import Lake
from portraits.settings import AppSettings
from recommender.counting.together import (
    FEWEST_ORDERS,
    FEWEST_VISITORS,
    KEPT,
    LONGEST_ORDER,
    PRIOR,
    arrays,
    lines_of,
    pairs,
)
from recommender.history.dataset import as_ids

START = datetime(2026, 3, 1, tzinfo=UTC)
AS_OF = START + timedelta(days=60)
Line = tuple[str, str, str]
"""Visitor, order, item."""


def counted_plainly(lines: Iterable[Line]) -> dict[str, list[tuple[str, int, float, float]]]:
    """item -> (other, orders, lift, confidence), best first: the definition, with dictionaries."""
    orders: dict[tuple[str, str], set[str]] = defaultdict(set)
    for visitor, order, item in lines:
        orders[visitor, order].add(item)
    size = Counter(item for items in orders.values() for item in items)
    met: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (visitor, _), items in orders.items():
        often = sorted((item for item in items if size[item] >= FEWEST_ORDERS), key=lambda item: (size[item], item))
        for pair in itertools.permutations(often[:LONGEST_ORDER], 2):
            met[pair].append(visitor)
    found: dict[str, list[tuple[float, str, int, float, float]]] = defaultdict(list)
    for (one, other), visitors in met.items():
        chance = size[one] * size[other] / len(orders)
        both = len(visitors)
        if both < FEWEST_ORDERS or len(set(visitors)) < FEWEST_VISITORS or both / chance <= 1:
            continue
        confidence = both / size[one]
        score = round(math.log((both + PRIOR) / (chance + PRIOR)) * both / size[one], 9)
        found[one].append((-score, other, both, both / chance, confidence))
    return {one: [line[1:] for line in sorted(others)[:KEPT]] for one, others in found.items()}


def rows_of(lines: Iterable[Line], con: Any) -> Any:
    names = ("user_id", "order_key", "item_id")
    table = pa.table(dict(zip(names, zip(*sorted(set(lines)), strict=True), strict=True)))
    return con.to_pyarrow(pairs(ibis.memtable(table)).order_by("item_id", "rank")).to_pylist()


def counted(lines: Iterable[Line]) -> dict[str, list[tuple[str, int, float, float]]]:
    """The same by the expression."""
    found: dict[str, list[tuple[str, int, float, float]]] = defaultdict(list)
    for row in rows_of(lines, connect()):
        assert row["rank"] == len(found[row["item_id"]])
        found[row["item_id"]].append((row["other_id"], row["orders"], row["lift"], row["confidence"]))
    return found


def same(ours: dict[str, list[tuple[str, int, float, float]]], lines: list[Line]) -> None:
    plain = counted_plainly(lines)
    assert ours.keys() == plain.keys()
    for item, others in plain.items():
        assert [one[:2] for one in ours[item]] == [one[:2] for one in others]
        np.testing.assert_allclose([one[2:] for one in ours[item]], [one[2:] for one in others], rtol=1e-9)


PLANTED: list[Line] = [
    *((f"v{n}", f"o{n}", item) for n in range(8) for item in ("tea", "pot")),  # go together
    *((f"v{n}", f"o{n}", "bag") for n in range(30)),  # in every order
    *((f"v{n}", f"o{n}", "cup") for n in range(7, 20)),
    *(("w", f"w{n}", item) for n in range(9) for item in ("glue", "nail")),  # one visitor's habit
    ("v1", "o1", "rare"),
    ("v2", "o2", "odd"),
]


def test_planted_orders() -> None:
    found = counted(PLANTED)
    same(found, PLANTED)
    other, orders, lift, confidence = found["tea"][0]
    assert (other, orders, lift, confidence) == ("pot", 8, 8 * 39 / (8 * 8), 1.0)
    assert "glue" not in found, "only one visitor's"
    assert "rare" not in found, "once is not often"


def test_a_fluke_does_not_lead() -> None:
    """Two rare items that met twice have the highest lift; what goes together eight times is said first."""
    lines = [*PLANTED, *((f"v{n}", f"o{n}", "fluke") for n in (3, 4))]
    found = counted(lines)
    lifts = {other: lift for other, _, lift, _ in found["tea"]}
    assert lifts["fluke"] == lifts["pot"]
    assert found["tea"][0][0] == "pot"


def test_a_very_long_order_is_cut_to_its_rarest_items() -> None:
    long = [(f"v{n}", f"o{n}", f"i{item:03d}") for n in range(3) for item in range(LONGEST_ORDER + 20)]
    often = [(f"x{n}", f"x{n}", f"i{item:03d}") for n in range(20) for item in range(20)]
    lines = [*long, *often]
    same(counted(lines), lines)
    assert not {f"i{item:03d}" for item in range(20)} & {other for other, *_ in counted(lines)["i030"]}


def test_from_a_history(tmp_path: Path) -> None:
    """Without an order_id an order is a visitor's moment; what was cancelled was not bought."""

    def bought(user: str, item: str, day: int, **more: str) -> dict[str, object]:
        moment = START + timedelta(days=day)
        event = {"event_id": f"{user}{item}{day}", "user_id": user, "ts": moment, "type": "purchase", "item_id": item}
        return event | more

    rows = [
        *(bought(user, item, 1) for user in "abc" for item in ("tea", "pot")),
        *(bought("a", item, 2, order_id="one") for item in ("tea", "pot")),
        *(bought("d", item, 3, order_id=f"two-{item}") for item in ("tea", "cup")),
        *(bought("e", item, 4, order_id="gone") for item in ("tea", "pot")),
        {**bought("e", "pot", 5, order_id="gone"), "type": "order_cancel"},
    ]
    lake = Lake(tmp_path)
    lake.append_events("shop", pa.Table.from_pylist(rows, EVENTS.arrow_schema()))
    past = past_of(lake.snapshot("shop"), AppSettings("shop"), AS_OF, connect())
    ids = as_ids(["cup", "pot", "tea"])
    made = arrays(pairs(lines_of(past)), ids)
    assert made["together_items"].tolist() == [[-1], [2], [1]]
    assert made["together_orders"].tolist() == [[0], [4], [4]]
    lift = 4 * 7 / (4 * 6)  # orders: a, b, c, one, two-tea, two-cup, gone (tea alone)
    np.testing.assert_allclose(made["together_lift"], np.array([[0.0], [lift], [lift]]), rtol=1e-6)
    assert made["together_scores"].tolist() == [[0], [1], [1]]


def test_a_history_without_orders_has_no_pairs(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    row = {"event_id": "1", "user_id": "a", "ts": START, "type": "item_view", "item_id": "tea"}
    lake.append_events("shop", pa.Table.from_pylist([row], EVENTS.arrow_schema()))
    past = past_of(lake.snapshot("shop"), AppSettings("shop"), AS_OF, connect())
    assert arrays(pairs(lines_of(past)), as_ids(["tea"]))["together_items"].shape == (1, 0)


def test_a_real_order_log(real_data: Path) -> None:
    """A month of a gift shop."""
    with gzip.open(real_data / "online_retail" / "online_retail.csv.gz", "rt", encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["InvoiceDate"].startswith("2010-12")]
    kept = [row for row in rows if row["CustomerID"] and not row["InvoiceNo"].startswith("C")]
    log = [(row["CustomerID"], row["InvoiceNo"], row["StockCode"]) for row in kept]
    assert len(log) > 20_000
    same(counted(log), log)


@pytest.mark.spark
@pytest.mark.law
def test_the_same_pairs_on_spark(spark: ibis.BaseBackend) -> None:
    theirs, ours = rows_of(PLANTED, spark), rows_of(PLANTED, connect())
    assert [(row["item_id"], row["other_id"], row["orders"], row["rank"]) for row in theirs] == [
        (row["item_id"], row["other_id"], row["orders"], row["rank"]) for row in ours
    ]
    for name in ("lift", "confidence", "score"):
        np.testing.assert_allclose([row[name] for row in theirs], [row[name] for row in ours], rtol=1e-9)
