"""Catalogue rows from outside: true from the next request on, whichever worker answers it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from portraits.errors import InvalidValue
from portraits.history import CATALOGUES, Rejection, Table, check
from serving.call import Call, Handler
from serving.stores.catalogues import upsert_rows


def upsert_route(name: str) -> Handler:
    """The handler that upserts rows of one catalogue: all of them, or none when one cannot be taken."""
    table = CATALOGUES[name]

    async def post_rows(call: Call) -> dict[str, Any]:
        call.confirm()
        rows = _checked(table, call.body[table.name])
        changed = await call.context.writer.write(partial(upsert_rows, app_id=call.app_id, name=name, rows=rows))
        return {"changed": changed, "unchanged": len({row[table.key] for row in rows}) - changed}

    return post_rows


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
