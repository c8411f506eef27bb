"""A merchant's file goes into the lake; a catalogue's rows also go into the online store, where requests see them.

The lake is history, the store is what is true now. Before a catalogue is imported the lake learns what the store
changed today, so that afterwards the lake's latest rows are the truth, except for those that a request changes
meanwhile. Repeating an import after a crash tells the store what it missed. Events of claims that the store knows of
come into the lake once (`told`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from portraits.engine import connect
from portraits.history import CATALOGUES
from portraits.importing import ImportReport, import_file
from portraits.lake import Lake
from portraits.mapping import Mapping
from serving.drain import drain_changes
from serving.stores import Store
from serving.told import Told

ROWS_AT_ONCE = 10_000
NO_CHANGE = 2**62
"""A place in the store's log of changes that none has reached."""


def take_file(
    store: Store,
    lake: Lake,
    app_id: str,
    table: str,
    path: Path,
    *,
    mapping: Mapping | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> ImportReport:
    """Imports one file into one table of an app; `on_progress` hears the share of the file that was read.

    Raises UnknownApp before anything is read, StoreUnavailable, and whatever `import_file` raises.
    """
    settings = store.app(app_id)
    forgotten = partial(store.forgotten, app_id)
    if table not in CATALOGUES:
        told = Told(store, app_id) if table == "events" else None
        return import_file(
            lake, settings, table, path, mapping, on_progress=on_progress, forgotten=forgotten, told=told
        )
    since_us = time.time_ns() // 1000
    drain_changes(store, lake, app_id)
    report = import_file(lake, settings, table, path, mapping, on_progress=on_progress, forgotten=forgotten)
    _tell_store(store, lake, app_id, table, since_us)
    return report


def _tell_store(store: Store, lake: Lake, app_id: str, name: str, since_us: int) -> None:
    """The lake's latest rows become the store's, except those that the store changed since `since_us`."""
    key = CATALOGUES[name].key
    newer = {row[key] for row in store.changes(app_id, name, NO_CHANGE, since_us)}
    con = connect()
    try:
        batches = lake.snapshot(app_id).catalogue(con, name).to_pyarrow_batches(chunk_size=ROWS_AT_ONCE)
        for batch in batches:
            store.upsert(app_id, name, [row for row in batch.to_pylist() if row[key] not in newer])
    finally:
        con.disconnect()
