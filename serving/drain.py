"""The day's rows go from the online store into the history lake.

Every part is: read what the lake does not hold yet, append it (the lake takes each key once), then tell the store how
far it is filled. A crash between the last two repeats the append, which finds duplicates and changes nothing.

A page that is not full was the last: what comes in meanwhile is for the next night, because while events keep coming
there would always be another page.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq

from portraits.engine import connect
from portraits.history import CATALOGUES, DECISIONS, EVENTS, TABLES, USERS, Kind, Table
from portraits.lake import Appended, Lake
from portraits.quarantine import STAGED
from serving.stores import Store
from serving.stores.events import RejectedRow

PAGE_ROWS = 100_000
SOURCE = "online store"

_AS_JSON = {Kind.INTEGER: pa.int64(), Kind.BOOLEAN: pa.bool_(), Kind.LIST: pa.list_(pa.string())}


@dataclass(frozen=True, slots=True)
class Drained:
    """What the lake did not hold before; events that it knew already or that contradict one it knew; rows refused."""

    events: int = 0
    duplicates: int = 0
    conflicts: int = 0
    changes: int = 0
    decisions: int = 0
    rejected: int = 0


def drain(store: Store, lake: Lake, app_id: str, tell: Callable[[str], None]) -> Drained:
    """Copies one app's events, catalogue changes, decisions and refused rows; `tell` hears how far it is.

    Raises StoreUnavailable, AnotherRunning (another writer of the lake).
    """
    changes = drain_changes(store, lake, app_id)
    events = _drain_events(store, lake, app_id, tell)
    decisions = _drain_decisions(store, lake, app_id)
    rejected = _drain_rejected(store, lake, app_id)
    return Drained(events.accepted, events.duplicates, events.conflicts, changes, decisions, rejected)


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
        if len(changes) < PAGE_ROWS:
            break
    return taken


def keep_to_switches(store: Store, lake: Lake, app_id: str, as_of: datetime) -> int:
    """Makes the lake say of consent what visitors said themselves, true at `as_of`: a file that was imported since may
    say otherwise. How many rows it took."""
    rows = store.rows_of_switches(app_id)
    if not rows:
        return 0
    return lake.upsert(app_id, USERS.name, as_table(USERS, rows), valid_from=as_of, source=SOURCE).accepted


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


def _events(payloads: Sequence[str]) -> pa.Table:
    """Events with what was sent of those whose ts was clamped (`checking.clamp_future`): sent again after the night
    that took them, they are to be known."""
    table = as_table(EVENTS, payloads)
    sent = {place: found for place, text in enumerate(payloads) if '"sent_ts' in text and (found := _as_sent(text))}
    if not sent:
        return table
    ts, properties = table["ts"].to_pylist(), table["properties"].to_pylist()
    for place, (moment, rest) in sent.items():
        ts[place], properties[place] = moment, rest
    table = table.append_column("sent_ts", pa.array(ts, table.schema.field("ts").type))
    return table.append_column("sent_properties", pa.array(properties, pa.string()))


def _as_sent(payload: str) -> tuple[datetime, str | None] | None:
    """The ts and the properties that were sent; None of an event that was not clamped, whatever its properties say."""
    row = json.loads(payload)
    properties = json.loads(row.get("properties") or "null")
    if row["ts"] != row["received_at"] or not isinstance(properties, dict):
        return None
    moment = properties.pop("sent_ts", None)
    if moment is None:
        return None
    rest = properties["sent"] if [*properties] == ["sent"] else properties
    text = json.dumps(rest, ensure_ascii=False, separators=(",", ":"), sort_keys=True) if rest else None
    return datetime.fromisoformat(moment), text


def _drain_events(store: Store, lake: Lake, app_id: str, tell: Callable[[str], None]) -> Appended:
    taken = Appended(0, 0, 0)
    while True:
        page = store.events_to_drain(app_id, limit=PAGE_ROWS)
        if not page.payloads:
            return taken
        new = lake.append(app_id, "events", _events(page.payloads), SOURCE)
        taken = Appended(
            taken.accepted + new.accepted, taken.duplicates + new.duplicates, taken.conflicts + new.conflicts
        )
        tell(f"{taken.accepted:,} events")
        store.mark_drained(app_id, page.last_seq)
        if len(page.payloads) < PAGE_ROWS:
            return taken


def _drain_decisions(store: Store, lake: Lake, app_id: str) -> int:
    taken = 0
    while True:
        page = store.decisions_to_drain(app_id, limit=PAGE_ROWS)
        if not page.payloads:
            return taken
        lake.append(app_id, "decisions", as_table(DECISIONS, page.payloads), SOURCE)
        store.delete_decisions(app_id, page.last_seq)
        taken += len(page.payloads)
        if len(page.payloads) < PAGE_ROWS:
            return taken


def _drain_rejected(store: Store, lake: Lake, app_id: str) -> int:
    """What requests were refused goes where the refused rows of files are."""
    taken = 0
    while rejected := store.rejected_to_drain(app_id, limit=PAGE_ROWS):
        for source in sorted({row.source for _, row in rejected}):
            _quarantine(lake, app_id, source, [row for _, row in rejected if row.source == source])
        store.delete_rejected(app_id, rejected[-1][0])
        taken += len(rejected)
        if len(rejected) < PAGE_ROWS:
            break
    return taken


def _quarantine(lake: Lake, app_id: str, source: str, rows: Sequence[RejectedRow]) -> None:
    """Lands refused rows alone, as an import does that takes nothing. `source` is the path of the request."""
    name = source.rpartition("/")[2]
    columns = {column: [getattr(row, column) for row in rows] for column in STAGED.names}
    with lake.staging(app_id) as stage:
        pq.write_table(pa.table(columns, schema=STAGED), stage / "quarantine-0.parquet")
        con = connect(temp=stage / "spill")
        try:
            lake.land(con.con, app_id, name if name in TABLES else EVENTS.name, stage, source)
        finally:
            con.disconnect()
