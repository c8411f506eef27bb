"""The check that every row of the contract passes, for one record at a time (HTTP, where a batch is 20 events).

`check` reads a record whose values are as JSON gives them into a row of a table of `portraits.history`, or says in one
sentence why not. Files go through `portraits.checking_files`, which reads the same declarations as SQL and asks this
module about every row that is not plainly good; a contract test holds the two against each other.

No Ibis and no pandas here: serving imports this module on its request path.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from portraits.history import (
    BASIS_POINTS,
    BY_SHARE,
    EARLIEST,
    ID_LIMIT,
    INTEGER_LIMIT,
    JSON_LIMIT,
    LATEST,
    LIST_LIMIT,
    OFFERS,
    QUANTITY_LIMIT,
    QUANTITY_SCALE,
    TEXT_LIMIT,
    Column,
    Kind,
    Table,
)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a row was not taken: the column, its value (cut to 200 characters) and the reason in words."""

    column: str
    value: str
    reason: str


def check(table: Table, record: Mapping[str, Any]) -> dict[str, Any] | Rejection:
    """One JSON record as a row of `table` with every column present, or the first reason why not.

    Values come as JSON gives them: strings, numbers, booleans, lists, objects. Times are RFC 3339 with an offset.
    Empty strings count as missing. A JSON column may be an object or its text.
    """
    row: dict[str, Any] = dict.fromkeys(table.names)
    columns = table.by_name
    for name, value in record.items():
        column = columns.get(name)
        if column is None:
            return _first_reason(table, record)
        if value is None or value == "":
            continue
        taken = take(column, value)
        if isinstance(taken, Rejection):
            return _first_reason(table, record)
        row[name] = taken
    for name in table.required:
        if row[name] is None:
            return _first_reason(table, record)
    for name, reason in contradictions(row) if table is OFFERS else ():
        return _reject(name, record[name], reason)
    return row


def contradictions(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What columns of an offer, each of them good, say against each other: more off than all, an end before it
    begins. (column, reason). row: its times are datetimes; what holds nothing may be left out."""
    value, starts, ends = row.get("value"), row.get("starts"), row.get("ends")
    if row.get("kind") in BY_SHARE and (value or 0) > BASIS_POINTS:
        yield "value", f"more than {BASIS_POINTS} basis points, all of an order"
    if starts is not None and ends is not None and starts >= ends:
        yield "ends", "not after starts"


def _first_reason(table: Table, record: Mapping[str, Any]) -> Rejection:
    """Of all that is wrong with a record, the first in the order of the columns: the same whatever its keys' order."""
    for name in record:
        if name not in table.by_name:
            return _reject(name, record[name], f"unknown column; put it in properties or leave it out of {table.name}")
    for column in table.columns:
        value = record.get(column.name)
        if value is None or value == "":
            if column.required:
                return Rejection(column.name, "", "missing")
            continue
        taken = take(column, value)
        if isinstance(taken, Rejection):
            return taken
    raise RuntimeError(f"a row of {table.name} was refused for no reason")


def take(column: Column, value: Any) -> Any | Rejection:
    """One value, neither None nor empty, as `column` keeps it, or the reason why it cannot."""
    return _TAKE[column.kind](column, value)


def clamp_future(event: Mapping[str, Any], received_at: datetime) -> dict[str, Any]:
    """A checked event as it is kept: received at `received_at`, and not later than that.

    A clock that runs ahead would put a visitor's next weeks into every "last 30 days". So `ts` becomes `received_at`
    and the time that was sent stays in `properties` as `sent_ts` (RFC 3339; properties that were a list are kept
    under `sent`).
    """
    kept = {**event, "received_at": received_at}
    sent = kept["ts"]
    if sent <= received_at:
        return kept
    properties = json.loads(kept.get("properties") or "{}")
    if not isinstance(properties, dict):
        properties = {"sent": properties}
    properties["sent_ts"] = sent.astimezone(UTC).isoformat()
    kept["properties"] = json.dumps(properties, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    kept["ts"] = received_at
    return kept


def _reject(name: str, value: Any, reason: str) -> Rejection:
    return Rejection(_printable(name, ID_LIMIT), _printable(str(value), 200), reason)


def _printable(text: str, limit: int) -> str:
    """`text` cut to `limit` and fit for any encoder and database: a lone surrogate would break the answer that reports
    it, a NUL what keeps it."""
    return text[:limit].encode("utf-8", "replace").decode().replace("\x00", "?")


def _take_text(column: Column, value: Any) -> str | Rejection:
    limit = ID_LIMIT if column.kind is Kind.ID else TEXT_LIMIT
    if not isinstance(value, str):
        return _reject(column.name, value, "not a string")
    if len(value) > limit:
        return _reject(column.name, value, f"longer than {limit} characters")
    if "\x00" in value or not encodes(value):
        return _reject(column.name, value, "not valid text")
    return value


def encodes(value: str) -> bool:
    """Whether a text is valid Unicode: no lone surrogate in it."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _take_time(column: Column, value: Any) -> datetime | Rejection:
    if isinstance(value, datetime):
        moment = value
    else:
        try:
            moment = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            return _reject(column.name, value, "not an RFC 3339 time")
    if moment.tzinfo is None:
        return _reject(column.name, value, "time without an offset; add Z or +08:00")
    if not EARLIEST <= moment < LATEST:
        return _reject(column.name, value, "time outside 1970 to 2200")
    return moment.astimezone(UTC)


def _take_integer(column: Column, value: Any) -> int | Rejection:
    if isinstance(value, bool) or not isinstance(value, int):
        return _reject(column.name, value, "not a whole number")
    if abs(value) > INTEGER_LIMIT:
        return _reject(column.name, value, "too large")
    if column.minimum is not None and value < column.minimum:
        return _reject(column.name, value, f"less than {column.minimum}")
    if column.maximum is not None and value > column.maximum:
        return _reject(column.name, value, f"more than {column.maximum}")
    return value


def _take_decimal(column: Column, value: Any) -> Decimal | Rejection:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return _reject(column.name, value, "not a number")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return _reject(column.name, value, "not a number")
    if not number.is_finite():
        return _reject(column.name, value, "not a number")
    if abs(number) >= QUANTITY_LIMIT:
        return _reject(column.name, value, "too large")
    if column.minimum is not None and number < column.minimum:
        return _reject(column.name, value, f"less than {column.minimum}")
    return number.quantize(Decimal(1).scaleb(-QUANTITY_SCALE), ROUND_HALF_UP)


def _take_boolean(column: Column, value: Any) -> bool | Rejection:
    return value if isinstance(value, bool) else _reject(column.name, value, "not true or false")


def _take_list(column: Column, value: Any) -> list[str] | Rejection:
    if not isinstance(value, list):
        return _reject(column.name, value, "not a list of strings")
    if len(value) > LIST_LIMIT:
        return _reject(column.name, value, f"more than {LIST_LIMIT} entries")
    for entry in value:
        taken = _take_text(column, entry)
        if isinstance(taken, Rejection):
            return taken
        if column.words and entry not in column.words:
            return _reject(column.name, entry, f"none of {column.words[0]} to {column.words[-1]}")
    return value


def _take_json(column: Column, value: Any) -> str | Rejection:
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return _reject(column.name, value, "not JSON")
    if not isinstance(value, (dict, list)):
        return _reject(column.name, value, "not a JSON object")
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
    except ValueError:
        return _reject(column.name, value, "not JSON")
    if len(text) > JSON_LIMIT:
        return _reject(column.name, text, f"longer than {JSON_LIMIT} characters")
    if not encodes(text):
        return _reject(column.name, text, "not valid text")
    return text


def _no_constant(name: str) -> None:
    raise ValueError(name)


_TAKE = {
    Kind.ID: _take_text,
    Kind.TEXT: _take_text,
    Kind.TIME: _take_time,
    Kind.INTEGER: _take_integer,
    Kind.DECIMAL: _take_decimal,
    Kind.BOOLEAN: _take_boolean,
    Kind.LIST: _take_list,
    Kind.JSON: _take_json,
}
