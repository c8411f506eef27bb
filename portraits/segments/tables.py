"""A portrait set as the tables that rules are asked of.

`tables_of` reads the set's files as they are, on any engine: right for a night, which asks once. `laid_out_tables`
reads FILE, where the night has laid them out for many questions (`lay_out`): behaviour by type and time, evidence by
tag, and each visitor with a number. A question then reads the rows of its types, days and tags instead of all, and
joins numbers instead of texts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from portraits import behaviour
from portraits.field import Field
from portraits.forgotten import NAMES_OTHERS
from portraits.portrait_set import TABLE_FILE, PortraitSet
from portraits.rules.clock import DAY_US, to_us
from portraits.rules.match import Moment
from portraits.segments.asking import any_of
from portraits.segments.evaluate import Tables
from portraits.snapshot import Snapshot
from portraits.tags import hidden, tags_of

FILE = "laid_out.duckdb"
"""Of a portrait set: tables of DuckDB, which it reads about half again as fast as Parquet."""
NUMBER = "number"
"""A visitor's row in the portraits, from 0."""
ITEM_FACTS = ("item_id", "category", "brand", "tags")
LEAST = ("weight", "confidence", "events")
"""What a rule may ask of an entry of evidence."""
_PLACE = "laid_out"


def moment_of(people: PortraitSet, time_zone: str) -> Moment:
    """The moment of a set: rules asked at it answer as the night did."""
    return Moment(to_us(people.as_of), ZoneInfo(time_zone))


def tables_of(con: Backend, people: PortraitSet, history: Snapshot) -> Tables:
    """The set's own files, and the catalogue of its moment."""
    rows = con.read_parquet(str(people.path / behaviour.FILE))
    items = history.catalogue(con, "items", people.as_of).select(*ITEM_FACTS)
    # Not `cache`: its table would be dropped after the connection that it is in.
    kept = con.create_table(ibis.util.gen_name("items"), obj=items, temp=True)
    return Tables(people.table(con), rows, kept)


def lay_out(con: Backend, folder: Path, items: ir.Table) -> None:
    """Writes FILE beside the portraits and the behaviour of `folder`. `items`: the catalogue of their moment."""
    con.attach(folder / FILE, _PLACE)
    try:
        portraits = _portraits(con, folder)
        con.create_table("behaviour", obj=_by_type(con, folder, portraits), database=f"{_PLACE}.main")
        con.create_table("tags", obj=_by_tag(portraits), database=f"{_PLACE}.main")
        con.create_table("items", obj=items.select(*ITEM_FACTS), database=f"{_PLACE}.main")
        con.raw_sql(f"CHECKPOINT {_PLACE}")
    finally:
        con.detach(_PLACE)


def laid_out_tables(con: Backend, folder: Path) -> Tables:
    """The set in `folder` as `lay_out` left it; the key is NUMBER. `con` holds one set at a time. Reads no row."""
    con.attach(folder / FILE, _PLACE, read_only=True)
    behaviour_rows, tags, items = (
        con.table(name, database=f"{_PLACE}.main") for name in ("behaviour", "tags", "items")
    )
    return Tables(_portraits(con, folder), behaviour_rows, items, key=NUMBER, by_type=True, tags=tags)


def without(tables: Tables, left_out: Collection[str]) -> Tables:
    """The tables without some visitors: they are counted nowhere, and named in nobody's portrait."""
    if not left_out:
        return tables
    gone = ibis.memtable({"user_id": sorted(left_out)})
    return replace(tables, portraits=without_names(tables.portraits.anti_join(gone, "user_id"), left_out))


def without_names(portraits: ir.Table, left_out: Collection[str]) -> ir.Table:
    """Portraits that do not tell that one of these visitors brought somebody."""
    if not left_out or NAMES_OTHERS not in portraits.columns:
        return portraits
    gone = ibis.memtable({"gone_id": sorted(left_out)})
    named = portraits[NAMES_OTHERS].isin(gone.gone_id)
    return portraits.mutate({NAMES_OTHERS: ibis.ifelse(named, ibis.null("string"), portraits[NAMES_OTHERS])})


def masked(tables: Tables, fields: Mapping[str, Field], cells: Mapping[str, Collection[str]]) -> Tables:
    """The tables without what some visitors deleted: tag -> user_ids of whom it is unknown (`portraits.deleted.cells`).

    Where nobody deleted anything they are as they were.
    """
    if not cells:
        return tables
    portraits = masked_portraits(tables.portraits, fields, cells)
    return replace(tables, portraits=portraits, tags=_without_evidence(tables, fields, cells))


def masked_portraits(
    portraits: ir.Table, fields: Mapping[str, Field], cells: Mapping[str, Collection[str]]
) -> ir.Table:
    """The same of the portraits alone."""
    if not cells:
        return portraits
    gone_of = {tag: frozenset(several) for tag, several in cells.items()}
    users = sorted(frozenset().union(*gone_of.values()))
    flags = {f"gone {tag}": [user_id in several for user_id in users] for tag, several in gone_of.items()}
    gone = ibis.memtable({"gone_id": users, **flags})
    people = portraits.left_join(gone, portraits.user_id == gone.gone_id)
    unknown = {}
    for name in sorted(hidden(fields, cells)):
        tags = sorted(tags_of(fields[name]) & set(cells))
        is_gone = any_of([people[f"gone {tag}"].fill_null(False) for tag in tags])
        unknown[name] = ibis.ifelse(is_gone, ibis.null(people[name].type()), people[name])
    return people.mutate(unknown).select(*portraits.columns)


def _without_evidence(
    tables: Tables, fields: Mapping[str, Field], cells: Mapping[str, Collection[str]]
) -> ir.Table | None:
    lists = [name for name in sorted(hidden(fields, cells)) if fields[name].is_list]
    pairs = {(user, name) for name in lists for tag in tags_of(fields[name]) & set(cells) for user in cells[tag]}
    if tables.tags is None or not pairs:
        return tables.tags
    users, names = zip(*sorted(pairs), strict=True)
    gone = ibis.memtable({"user_id": list(users), "field": list(names)})
    gone = gone.inner_join(tables.portraits.select("user_id", tables.key), "user_id").select(tables.key, "field")
    return tables.tags.anti_join(gone, [tables.key, "field"])


def _portraits(con: Backend, folder: Path) -> ir.Table:
    portraits = con.read_parquet(str(folder / TABLE_FILE), file_row_number=True)
    return portraits.rename({NUMBER: "file_row_number"})


def _by_type(con: Backend, folder: Path, portraits: ir.Table) -> ir.Table:
    """Within a type and a month by visitor: their rows are close together, and their numbers take little room."""
    rows = con.read_parquet(str(folder / behaviour.FILE))
    rows = rows.inner_join(portraits.select("user_id", NUMBER), "user_id").select(NUMBER, *behaviour.COLUMNS[1:])
    return rows.order_by(rows.type, rows.us // (30 * DAY_US), rows[NUMBER], rows.us)


def _by_tag(portraits: ir.Table) -> ir.Table:
    """One row an entry of evidence: the visitor, the field, the tag and what a rule may ask of it."""
    parts = [_entries(portraits, name) for name, dtype in portraits.schema().items() if _is_evidence(dtype)]
    none = ibis.memtable({}, schema=_ENTRY)
    rows = ibis.union(*parts) if len(parts) > 1 else (parts or [none])[0]
    return rows.order_by(rows.field, rows.tag, rows[NUMBER])


_ENTRY = {NUMBER: "int64", "field": "string", "tag": "string", **dict.fromkeys(LEAST, "float64"), "events": "int64"}


def _entries(portraits: ir.Table, name: str) -> ir.Table:
    flat = portraits.select(NUMBER, entry=portraits[name].unnest())
    known = flat.entry.type().names
    values = {least: flat.entry[least] if least in known else ibis.null(_ENTRY[least]) for least in LEAST}
    return flat.select(NUMBER, field=ibis.literal(name), tag=flat.entry["tag"], **values)


def _is_evidence(dtype: ibis.DataType) -> bool:
    return dtype.is_array() and dtype.value_type.is_struct() and "tag" in dtype.value_type.names
