"""Everything that an installation keeps of one person, row by row: for `huaxiang export` and `/v1/portrait/export`.

The online store first (what the lake does not hold yet), then the published portrait, the lake and the nights of
segments. Rows are as they are kept, but for who brought the person: of another visitor it is told that there was one.
Of a log that both hold an event is told once. Rows of others are not told, also where they name the person (who came in
by what the person shared): they are others'.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from portraits.engine import connect
from portraits.errors import BrokenBundle
from portraits.forgotten import NAMES_OTHERS, REFERRER, SOMEBODY, refused_ids
from portraits.history import LOGS
from portraits.identity import KINDS
from portraits.lake import ORDERS, Lake
from portraits.portrait_set import PortraitSet
from portraits.segments import nights
from portraits.storage import quoted_list
from serving.portrait import portrait_of
from serving.publish import portraits_folder
from serving.segments.night import folder_of
from serving.settings import ProcessSettings
from serving.stores import Store

OWN = {"events": ("user_id",), "decisions": ("user_id",), "users": ("user_id",), "identities": KINDS}
"""Tables of the lake, and the columns by which a row is a person's own."""
BATCH_ROWS = 10_000

Row = tuple[str, dict[str, Any]]


def everything(process: ProcessSettings, store: Store, app_id: str, user_id: str) -> Iterator[Row]:
    """(table, row in JSON's own types), always in the same order. Raises UnknownApp, StoreUnavailable."""
    return (_nobody_else(row) for row in _everything(process, store, app_id, user_id))


def _everything(process: ProcessSettings, store: Store, app_id: str, user_id: str) -> Iterator[Row]:
    state = store.state(app_id, user_id)
    yield from store.rows_of_person(app_id, state.ids)
    if state.consent and state.active.portraits is not None:
        yield from _portrait(process, store, app_id, state.active.portraits.version, state.ids)
    lake = Lake(process.lake)
    yield from _lake(lake, app_id, state.ids)
    yield from _segments(lake, app_id, state.ids)


def _nobody_else(row: Row) -> Row:
    others = {name: SOMEBODY for name in (REFERRER, NAMES_OTHERS) if row[1].get(name) is not None}
    return row[0], row[1] | others


def page(rows: Iterable[Row], after: int, n: int) -> dict[str, Any]:
    """At most `n` of the rows, from place `after` on; `next`: where the next page begins, None at the end."""
    some = list(islice(rows, after, after + n + 1))
    told = [{"table": table, "row": row} for table, row in some[:n]]
    return {"rows": told, "next": after + n if len(some) > n else None}


def _portrait(process: ProcessSettings, store: Store, app_id: str, version: str, ids: Collection[str]) -> Iterator[Row]:
    try:
        portrait = portrait_of(store, app_id, PortraitSet(portraits_folder(process, app_id, version)), ids)
    except BrokenBundle:
        return
    if portrait is not None:
        yield "portrait", {name: _plain(known) for name, known in portrait.items()}


def _lake(lake: Lake, app_id: str, ids: Collection[str]) -> Iterator[Row]:
    snapshot = lake.snapshot(app_id)
    backend = connect()
    try:
        con = backend.con
        con.register("given", pa.table({"id": pa.array(sorted(ids), pa.string())}))
        for name, columns in OWN.items():
            files = [str(path) for path in snapshot.files(name)]
            if files:
                for row in _rows(con, name, files, columns):
                    yield f"lake.{name}", row
        mine = set(ids)
        for row in snapshot.quarantine(backend).to_pyarrow().to_pylist():
            if mine & refused_ids(row["column"] or "", row["value"] or "", row["row"] or "", KINDS):
                yield "lake.quarantine", {column: _plain(known) for column, known in row.items()}
    finally:
        backend.disconnect()


def _rows(
    con: duckdb.DuckDBPyConnection, name: str, files: list[str], columns: Collection[str]
) -> Iterator[dict[str, Any]]:
    own = " OR ".join(f'"{column}" IN (SELECT id FROM given)' for column in columns)  # noqa: S608 - of the schema
    order = "ts, event_id" if name == "events" else "ts, decision_id" if name in LOGS else ORDERS[name]
    source = f"read_parquet({quoted_list(files)}, hive_partitioning = false, union_by_name = true)"
    query = f"SELECT * FROM {source} WHERE {own} ORDER BY {order}"  # noqa: S608 - names of the schema, quoted paths
    found = con.execute(query)
    for batch in found.fetch_record_batch(BATCH_ROWS):
        for row in batch.to_pylist():
            yield {column: _plain(known) for column, known in row.items() if known is not None}


def _segments(lake: Lake, app_id: str, ids: Collection[str]) -> Iterator[Row]:
    mine = pa.array(sorted(ids), pa.string())
    for night in nights.nights(folder_of(lake, app_id)):
        for row in pq.read_table(night.path, filters=pc.field(nights.USER).isin(mine)).to_pylist():
            inside = [name for name in night.definitions if (row.get(nights.column(name)) or 0) & 1]
            told = {"user_id": row[nights.USER], "as_of": night.as_of.isoformat(), "segments": inside}
            yield "lake.segments", told | {"stage": row[nights.STAGE]}


def _plain(known: Any) -> Any:
    match known:
        case date() | datetime():
            return known.isoformat()
        case Decimal():
            return str(known)
        case list():
            return [_plain(one) for one in known]
        case Mapping():
            return {name: _plain(one) for name, one in known.items()}
    return known


def as_line(row: Row) -> str:
    """A row as a line of a file of JSON lines."""
    return json.dumps({"table": row[0], "row": row[1]}, ensure_ascii=False, separators=(",", ":"))
