"""A portrait set as the tables that rules are asked of.

`tables_of` reads the set's files as they are: right for a night, which asks once. `numbered_tables` lays behaviour out
anew first, by type and time and with a number for each visitor: a question then reads the rows of its types and days
instead of all, and joins numbers instead of texts. That is worth its minute where many questions follow.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import ibis
from ibis.backends.duckdb import Backend

from portraits import behaviour
from portraits.lake import Snapshot
from portraits.portrait_set import PortraitSet
from portraits.rules.clock import DAY_US, to_us
from portraits.rules.match import Moment
from portraits.segments.evaluate import Tables

ROW_GROUP = 65_536
NUMBER = "number"


def moment_of(people: PortraitSet, time_zone: str) -> Moment:
    """The moment of a set: rules asked at it answer as the night did."""
    return Moment(to_us(people.as_of), ZoneInfo(time_zone))


def tables_of(con: Backend, people: PortraitSet, history: Snapshot) -> Tables:
    """The set's own files, and the catalogue of its moment."""
    rows = con.read_parquet(str(people.path / behaviour.FILE))
    items = history.catalogue(con, "items", people.as_of).select("item_id", "category", "brand", "tags")
    # Not `cache`: its table would be dropped after the connection that it is in.
    kept = con.create_table(ibis.util.gen_name("items"), obj=items, temp=True)
    return Tables(people.table(con), rows, kept)


def numbered_tables(con: Backend, people: PortraitSet, history: Snapshot, folder: Path) -> Tables:
    """The same, laid out anew in `folder` for many questions; the key is NUMBER."""
    plain = tables_of(con, people, history)
    portraits = con.read_parquet(str(people.path / "portraits.parquet"), file_row_number=True)
    portraits = portraits.rename({NUMBER: "file_row_number"})
    ids = portraits.select("user_id", NUMBER)
    rows = plain.behaviour.inner_join(ids, "user_id").select(NUMBER, *behaviour.COLUMNS[1:])
    laid_out = folder / f"{people.path.name}.behaviour.parquet"
    months = rows.us // (30 * DAY_US)
    rows = rows.order_by([rows.type, months, rows[NUMBER], rows.us])
    rows.to_parquet(laid_out, compression="zstd", row_group_size=ROW_GROUP)
    return Tables(portraits, con.read_parquet(str(laid_out)), plain.items, key=NUMBER, by_type=True)


def without(tables: Tables, left_out: Collection[str]) -> Tables:
    """The tables without some visitors: they are counted nowhere."""
    if not left_out:
        return tables
    gone = ibis.memtable({"user_id": sorted(left_out)})
    return replace(tables, portraits=tables.portraits.anti_join(gone, "user_id"))
