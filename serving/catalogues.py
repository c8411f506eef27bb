"""Catalogue rows from outside: true from the next request on, whichever worker answers it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection

from portraits.checking import Rejection, check
from portraits.errors import InvalidValue
from portraits.forgotten import REASON
from portraits.history import CATALOGUES, Table
from serving.call import Call, Handler
from serving.stores.catalogues import forgotten_rows, upsert_rows


def upsert_route(name: str) -> Handler:
    """The handler that upserts rows of one catalogue: all of them, or none when one cannot be taken.

    Rows of forgotten visitors are no mistake of the sender's: they alone are left out, and named.
    """
    table = CATALOGUES[name]

    async def post_rows(call: Call) -> dict[str, Any]:
        await call.confirm()
        rows = _checked(table, call.body[table.name])
        write = partial(_store, app_id=call.app_id, name=name, rows=rows)
        changed, lost = await call.context.writer.write(call.app_id, write, len(rows))
        kept = {row[table.key] for place, row in enumerate(rows) if place not in lost}
        answer: dict[str, Any] = {"changed": changed, "unchanged": len(kept) - changed}
        refused = [{"index": place, "reason": REASON} for place in sorted(lost)]
        return answer | ({"rejected": refused} if refused else {})

    return post_rows


def _store(connection: Connection, app_id: str, name: str, rows: Sequence[dict[str, Any]]) -> tuple[int, set[int]]:
    """How many rows changed something, and the places of those that were left out."""
    lost = forgotten_rows(connection, app_id, name, rows)
    return upsert_rows(connection, app_id, name, rows), lost


def _checked(table: Table, sent: Sequence[Any]) -> list[dict[str, Any]]:
    rows = []
    for place, record in enumerate(sent):
        if not isinstance(record, dict):
            raise InvalidValue(f"{table.name}[{place}]", record, "an object")
        row = check(table, record)
        if isinstance(row, Rejection):
            raise InvalidValue(f"{table.name}[{place}].{row.column}", row.value, f"another value: {row.reason}")
        rows.append({name: row[name] for name in record})
    return rows
