"""Catalogue rows from outside: true from the next request on, whichever worker answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection

from portraits.checking import Rejection, check, contradictions
from portraits.errors import InvalidValue
from portraits.forgotten import REASON
from portraits.history import CATALOGUES, OFFERS, Table
from serving.call import Call, Handler
from serving.stores.catalogues import forgotten_rows, rows_now, upsert_rows


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
    """How many rows changed something, and the places of those that were left out. Raises InvalidValue."""
    if name == OFFERS.name:
        _need_one_meaning(rows, rows_now(connection, app_id, name, {row[OFFERS.key] for row in rows}))
    lost = forgotten_rows(connection, app_id, name, rows)
    return upsert_rows(connection, app_id, name, rows), lost


def _need_one_meaning(rows: Sequence[Mapping[str, Any]], stored: dict[str, dict[str, Any]]) -> None:
    """Raises InvalidValue where a row, with what it leaves as it is, would be refused if it were sent whole. What is
    wrong with a stored row already (it is older than the check) is none of a row's that leaves that column alone."""
    for place, row in enumerate(rows):
        before = stored.get(row[OFFERS.key], {})
        stored[row[OFFERS.key]] = after = before | dict(row)
        wrong = dict(contradictions(before | _moments(before)))
        for column, reason in contradictions(after | _moments(after)):
            if column not in wrong or column in row:
                kept = "" if column in row else ", which stays where the row does not name it"
                raise InvalidValue(f"offers[{place}].{column}", after[column], f"another value{kept}: {reason}")


def _moments(row: Mapping[str, Any]) -> dict[str, datetime]:
    """The times of a row; the store keeps them as text."""
    told = ((name, row.get(name)) for name in ("starts", "ends"))
    return {name: datetime.fromisoformat(str(at)) for name, at in told if at is not None}


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
