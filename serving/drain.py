"""The day's rows go from the online store into the history lake.

Every part is: read what the lake does not hold yet, append it (the lake takes each key once), then tell the store how
far it is filled. A crash between the last two repeats the append, which finds duplicates and changes nothing.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.json

from portraits.history import CATALOGUES, DECISIONS, EVENTS, Kind, Table
from portraits.lake import Appended, Lake
from serving.stores import Store

PAGE_ROWS = 100_000
SOURCE = "online store"

_AS_JSON = {Kind.INTEGER: pa.int64(), Kind.BOOLEAN: pa.bool_(), Kind.LIST: pa.list_(pa.string())}


@dataclass(frozen=True, slots=True)
class Drained:
    """What the lake did not hold before, and the events that it knew already or that contradict one it knew."""

    events: int = 0
    duplicates: int = 0
    conflicts: int = 0
    changes: int = 0
    decisions: int = 0


def drain(store: Store, lake: Lake, app_id: str, tell: Callable[[str], None]) -> Drained:
    """Copies events, catalogue changes and decisions of one app; `tell` hears how far it is.

    Raises StoreUnavailable, AnotherRunning (another writer of the lake).
    """
    changes = drain_changes(store, lake, app_id)
    events = _drain_events(store, lake, app_id, tell)
    decisions = _drain_decisions(store, lake, app_id)
    return Drained(events.accepted, events.duplicates, events.conflicts, changes, decisions)


def drain_changes(store: Store, lake: Lake, app_id: str) -> int:
    """Copies the catalogues' log of changes; how many there were."""
    taken = 0
    while changes := store.changes_to_drain(app_id, limit=PAGE_ROWS):
        for name in sorted({change.name for change in changes}):
            rows = [change for change in changes if change.name == name]
            moments = pa.array([change.at_us for change in rows], pa.timestamp("us", tz="UTC"))
            told = as_table(CATALOGUES[name], [change.payload for change in rows])
            lake.upsert(app_id, name, told.append_column("valid_from", moments), source=SOURCE)
        taken += len(changes)
        store.mark_changes_drained(app_id, changes[-1].seq)
    return taken


def as_table(table: Table, payloads: Sequence[str]) -> pa.Table:
    """JSON texts of the contract's rows as one Arrow table in the contract's types; missing columns are null."""
    raw = pa.schema([pa.field(c.name, _AS_JSON.get(c.kind, pa.string())) for c in table.columns])
    text = "\n".join(payloads).encode()
    read = pyarrow.json.read_json(
        io.BytesIO(text),
        read_options=pyarrow.json.ReadOptions(block_size=len(text) + 1),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=raw, unexpected_field_behavior="ignore"),
    )
    return read.cast(table.arrow_schema())


def _drain_events(store: Store, lake: Lake, app_id: str, tell: Callable[[str], None]) -> Appended:
    taken = Appended(0, 0, 0)
    while True:
        page = store.events_to_drain(app_id, limit=PAGE_ROWS)
        if not page.payloads:
            return taken
        new = lake.append(app_id, "events", as_table(EVENTS, page.payloads), SOURCE)
        taken = Appended(
            taken.accepted + new.accepted, taken.duplicates + new.duplicates, taken.conflicts + new.conflicts
        )
        tell(f"{taken.accepted:,} events")
        store.mark_drained(app_id, page.last_seq)


def _drain_decisions(store: Store, lake: Lake, app_id: str) -> int:
    taken = 0
    while True:
        page = store.decisions_to_drain(app_id, limit=PAGE_ROWS)
        if not page.payloads:
            return taken
        lake.append(app_id, "decisions", as_table(DECISIONS, page.payloads), SOURCE)
        store.delete_decisions(app_id, page.last_seq)
        taken += len(page.payloads)
