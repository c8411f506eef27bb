"""Writes the past of a sample shop as the files a merchant would import, and its truth to a separate folder.

Days are lived one after another and written whenever some hundred thousand events have come together: memory is
bounded by the number of visitors (about 130 bytes each) and not by the number of events, and a part file holds few
days. The same seed, size, variant and end give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from portraits.history import DECISIONS, EVENTS
from portraits.sample.catalogues import offer_text, user_text, words, write_catalogues
from portraits.sample.day import Day, live, wake
from portraits.sample.faults import Courier, write_broken
from portraits.sample.plan import END, plan
from portraits.sample.rows import Columns, Encoder, concat, numbered
from portraits.sample.shop import Shop, open_shop
from portraits.sample.tables import TableFile
from portraits.sample.truth import TruthWriter

GROUP_ROWS = 400_000
PART_ROWS = 1_500_000


@dataclass(frozen=True, slots=True)
class Written:
    """What `history` wrote. `events` rows of the part files, of which `duplicates` are second deliveries and `late`
    came after their day; `broken` rows of the broken file, of which an importer should take `broken_accepted`, find
    `broken_duplicates` to be duplicates and quarantine `broken_quarantined`."""

    events: int
    users: int
    items: int
    decisions: int
    parts: int
    duplicates: int
    late: int
    broken: int
    broken_accepted: int
    broken_duplicates: int
    broken_quarantined: int


def history(
    seed: int, n: int, out: Path, truth: Path | None = None, *, variant: str = "shop", end: datetime = END
) -> Written:
    """Writes about `n` events before `end` to `out`, and the truth to `truth` if given.

    `out/events/part-*.parquet` and `broken-000.jsonl`, `out/decisions.parquet`, and the catalogues
    `out/{items,users,offers,stores,contents,identities}.parquet`, all in the contract's names and types. Raises
    InvalidValue for a size, seed, variant or end that a plan cannot have.
    """
    shop = open_shop(plan(seed, n, variant, end))
    (out / "events").mkdir(parents=True, exist_ok=True)
    told = TruthWriter(shop, truth) if truth is not None else None
    courier = Courier(shop.plan)
    with ExitStack() as files:
        parts = files.enter_context(Parts(shop, out / "events"))
        decisions = files.enter_context(TableFile(out / "decisions.parquet", DECISIONS.arrow_schema()))
        for day, lived in enumerate(lived_days(shop)):
            parts.add(courier.deliver(day, lived.events))
            _add_decisions(shop, lived, decisions)
            if told is not None:
                told.add(lived)
        for late in courier.rest():
            parts.add(late)
    write_catalogues(shop, out)
    broken = write_broken(shop.plan, parts.known, out / "events" / "broken-000.jsonl")
    written = Written(
        events=parts.rows,
        users=int((shop.people.first_day < shop.plan.days).sum()),
        items=shop.plan.items,
        decisions=decisions.rows,
        parts=parts.count,
        duplicates=courier.doubled,
        late=courier.late,
        broken=broken["rows"],
        broken_accepted=broken["accepted"],
        broken_duplicates=broken["duplicates"],
        broken_quarantined=broken["quarantined"],
    )
    if told is not None:
        told.finish(asdict(written))
    return written


def lived_days(shop: Shop) -> Iterator[Day]:
    """Lives the days of the history one by one; each day's share of the events follows its season."""
    seasons = np.array([shop.plan.season(day) for day in range(shop.plan.days)])
    left = float(shop.plan.n)
    for day in range(shop.plan.days):
        want = max(left, 0.0) * seasons[day] / seasons[day:].sum()
        lived = live(wake(shop, day, want / shop.events_per_visit))
        left -= len(lived.events["at"])
        yield lived


class Parts:
    """Gathers events and writes them as row groups of part files. `known` is the first event, as text."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        self._encoder = Encoder(words(shop), partial(user_text, shop))
        self._folder = folder
        self._waiting: list[Columns] = []
        self._waiting_rows = 0
        self._writer: pq.ParquetWriter | None = None
        self._part_rows = 0
        self.known: dict[str, Any] = {}
        self.rows = 0
        self.count = 0

    def __enter__(self) -> Parts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._close()

    def add(self, events: Columns) -> None:
        """More events, as code columns."""
        self._waiting.append(events)
        self._waiting_rows += len(events["at"])
        if self._waiting_rows >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting_rows:
            return
        table = self._encoder.table(concat(self._waiting))
        self._waiting, self._waiting_rows = [], 0
        if not self.known:
            first = table.slice(0, 1).select(["event_id", "user_id", "ts"]).to_pylist()[0]
            self.known = {**first, "ts": first["ts"].isoformat()}
        if self._writer is None:
            path = self._folder / f"part-{self.count:04d}.parquet"
            self._writer = pq.ParquetWriter(path, table.schema, **_PARQUET)
            self.count += 1
        self._writer.write_table(table, row_group_size=2 * GROUP_ROWS)
        self.rows += len(table)
        self._part_rows += len(table)
        if self._part_rows >= PART_ROWS:
            self._close()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._part_rows = None, 0


_PARQUET: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "store_schema": False,  # readers see strings, not our dictionaries
    "store_decimal_as_integer": True,
    "use_dictionary": [name for name in EVENTS.names if name not in ("event_id", "ts", "amount", "duration_ms")],
}


def _add_decisions(shop: Shop, day: Day, file: TableFile) -> None:
    """Which random slate each home shelf showed, and for whom a coupon was decided or, by the same lot, none."""
    shelves = {**day.shelves.decisions, "placement": "home", "policy": "random_slate"}
    _add(shop, shelves, day.shelves.slates, file)
    if len(day.coupons.get("at", ())):
        offer_id = offer_text(shop)[int(day.coupons["campaign"][0])].as_py()
        none = '{"source": "none", "propensity": 0.5}'
        one = f'{{"offer_id": "{offer_id}", "position": 1, "source": "random", "propensity": 0.5}}'
        lots = {**day.coupons, "candidates": day.coupons["treated"].astype(np.int64)}
        _add(shop, {**lots, "placement": "offers", "policy": "random_half"}, [f"[{none}]", f"[{one}, {none}]"], file)


def _add(shop: Shop, decisions: dict[str, Any], texts: list[str], file: TableFile) -> None:
    rows = len(decisions["at"])
    file.add(
        {
            "decision_id": numbered("d", decisions["decision"], 3),
            "user_id": user_text(shop, decisions["user"]),
            "ts": pa.array(decisions["at"], pa.timestamp("us", tz="UTC")),
            "placement": pa.repeat(decisions["placement"], rows),
            "version": pa.repeat("random", rows),
            "policy": pa.repeat(decisions["policy"], rows),
            "arm": pa.repeat("treated", rows),
            "degraded": pa.repeat(pa.scalar(False), rows),
            "candidates": pa.array(texts).take(pa.array(decisions["candidates"])),
        }
    )
