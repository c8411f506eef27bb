"""THE schema: what an event and a catalogue row may hold, and the check that every row passes.

One declaration (`Column`) is read by two checkers: `check`, for one record at a time (HTTP, where a batch is 20
events), and `portraits.importing`, which turns the same declaration into vectorised SQL for files. A contract test
holds the two against each other. Ids are strings, money is whole minor units of the app's currency, time is UTC
microseconds.

No Ibis and no pandas here: serving imports this module on its request path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from enum import StrEnum
from functools import cached_property
from typing import Any

import pyarrow as pa

ROW_LIMIT_BYTES = 1_000_000
ID_LIMIT = 128
TEXT_LIMIT = 1_024
JSON_LIMIT = 16_384
LIST_LIMIT = 256
CATEGORY_SEPARATOR = " > "
QUANTITY_SCALE = 4
QUANTITY_LIMIT = 10**12
INTEGER_LIMIT = 2**63 - 1
MOST_MONEY = 10**15
"""Of an offer, minor units: sums of many stay within 64 bits."""
MOST_HOURS = 87_600
"""Ten years."""
WHOLE = 10_000
"""Basis points."""
BY_SHARE = ("discount", "member")
"""Kinds of offers whose value is a share of the order, in basis points."""
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)

EVENT_TYPES = tuple(
    "launch page_view item_view content_view search cart cart_remove favorite unfavorite share share_open store_enter "
    "purchase refund order_cancel group_open group_join group_success group_fail exposure click ad_impression ad_click "
    "offer_exposure offer_claim offer_redeem offer_return offer_expire message_sent message_open subscribe "
    "unsubscribe".split()
)
"""Types huaxiang understands; any other type is kept and ignored by features."""


class Kind(StrEnum):
    """Type of a column, on the wire and in the lake."""

    ID = "id"
    TEXT = "text"
    TIME = "time"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    LIST = "list"
    JSON = "json"


ARROW_TYPES: Mapping[Kind, pa.DataType] = {
    Kind.ID: pa.string(),
    Kind.TEXT: pa.string(),
    Kind.TIME: pa.timestamp("us", tz="UTC"),
    Kind.INTEGER: pa.int64(),
    Kind.DECIMAL: pa.decimal128(18, QUANTITY_SCALE),
    Kind.BOOLEAN: pa.bool_(),
    Kind.LIST: pa.list_(pa.string()),
    Kind.JSON: pa.string(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, type, meaning and bounds. `minimum` applies to INTEGER and DECIMAL, `maximum` to INTEGER;
    `words`: all that an entry of a LIST may be, where that is so."""

    name: str
    kind: Kind
    meaning: str
    required: bool = False
    minimum: int | None = None
    maximum: int | None = None
    words: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Table:
    """A table of the contract. `key` is what makes a row unique within an app."""

    name: str
    key: str
    columns: tuple[Column, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def required(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if column.required)

    def column(self, name: str) -> Column:
        return self.by_name[name]

    def arrow_schema(self) -> pa.Schema:
        """Arrow schema of the contract's columns, without `app_id` (the lake keeps a table for each app)."""
        return pa.schema([pa.field(c.name, ARROW_TYPES[c.kind]) for c in self.columns])


EVENTS = Table(
    "events",
    "event_id",
    (
        Column("event_id", Kind.ID, "idempotency key, unique within app and UTC day of ts", required=True),
        Column("user_id", Kind.ID, "the visitor", required=True),
        Column("ts", Kind.TIME, "when it happened", required=True),
        Column("received_at", Kind.TIME, "when the server took it; set by the server"),
        Column("type", Kind.ID, "what happened; unknown types are kept", required=True),
        Column("item_id", Kind.ID, "the product"),
        Column("order_id", Kind.ID, "the order; a purchase is one event for each order line"),
        Column("quantity", Kind.DECIMAL, "how many, or how much of a weighed good", minimum=0),
        Column("amount", Kind.INTEGER, "what was paid for the whole line, minor units", minimum=0),
        Column("list_amount", Kind.INTEGER, "list price of the whole line, minor units", minimum=0),
        Column("discount", Kind.INTEGER, "taken off the whole line, minor units", minimum=0),
        Column("revenue", Kind.INTEGER, "what an ad or a lead earned, minor units", minimum=0),
        Column("platform", Kind.ID, "wechat, alipay, douyin or other"),
        Column("scene", Kind.ID, "entrance value as the platform spells it"),
        Column("session_id", Kind.ID, "session as the client counts it"),
        Column("page", Kind.TEXT, "page path"),
        Column("query", Kind.TEXT, "search words"),
        Column("duration_ms", Kind.INTEGER, "how long, milliseconds", minimum=0),
        Column("device", Kind.TEXT, "device model or class"),
        Column("content_id", Kind.ID, "article, video or live"),
        Column("store_id", Kind.ID, "the store"),
        Column("offer_id", Kind.ID, "the offer"),
        Column("group_id", Kind.ID, "the group buy"),
        Column("referrer_user_id", Kind.ID, "who shared what brought this visitor"),
        Column("decision_id", Kind.ID, "the answer that caused it"),
        Column("position", Kind.INTEGER, "place in that answer, from 1", minimum=0),
        Column("points", Kind.INTEGER, "membership points earned (> 0) or spent (< 0)"),
        Column("geohash5", Kind.ID, "coarse place"),
        Column("city", Kind.TEXT, "city"),
        Column("properties", Kind.JSON, "anything else, a JSON object"),
    ),
)

ITEMS = Table(
    "items",
    "item_id",
    (
        Column("item_id", Kind.ID, "the product", required=True),
        Column("title", Kind.TEXT, "name shown to visitors"),
        Column("category", Kind.LIST, "path from the root, e.g. ['food', 'tea']"),
        Column("brand", Kind.TEXT, "brand"),
        Column("price", Kind.INTEGER, "price of one, minor units", minimum=0),
        Column("cost", Kind.INTEGER, "cost of one, minor units", minimum=0),
        Column("stock", Kind.INTEGER, "how many are left; none given = unlimited", minimum=0),
        Column("hidden", Kind.BOOLEAN, "never shown"),
        Column("tags", Kind.LIST, "free labels and style words"),
        Column("store_ids", Kind.LIST, "stores that sell it; none given = all"),
        Column("created_at", Kind.TIME, "when it came into the catalogue"),
        Column("image", Kind.TEXT, "address of a picture"),
    ),
)

USERS = Table(
    "users",
    "user_id",
    (
        Column("user_id", Kind.ID, "the visitor", required=True),
        Column("attributes", Kind.JSON, "what the visitor declared, a JSON object"),
        Column("joined_at", Kind.TIME, "when the visitor became a member"),
        Column("member_tier", Kind.TEXT, "membership tier"),
        Column("points", Kind.INTEGER, "membership points held"),
        Column("consent", Kind.BOOLEAN, "false: personalisation is refused"),
    ),
)

WEEKDAYS = tuple(map(str, range(1, 8)))
HOURS = tuple(map(str, range(24)))

OFFERS = Table(
    "offers",
    "offer_id",
    (
        Column("offer_id", Kind.ID, "the offer", required=True),
        Column("title", Kind.TEXT, "name shown to visitors"),
        Column("kind", Kind.ID, "cash, discount, exchange or member", required=True),
        Column(
            "value",
            Kind.INTEGER,
            "minor units off (cash), basis points off (discount, member), price (exchange)",
            minimum=0,
            maximum=MOST_MONEY,
        ),
        Column("minimum", Kind.INTEGER, "least order amount, minor units", minimum=0, maximum=MOST_MONEY),
        Column("items", Kind.LIST, "items it is for; none given = all"),
        Column("categories", Kind.LIST, "categories it is for; none given = all"),
        Column("stores", Kind.LIST, "stores it is for; none given = all"),
        Column("tiers", Kind.LIST, "membership tiers it is for (kind member); none given = all members"),
        Column("days", Kind.LIST, "ISO weekdays it runs on, '1' (Monday) to '7'; none given = all", words=WEEKDAYS),
        Column("hours", Kind.LIST, "local hours it runs in, '0' to '23'; none given = all", words=HOURS),
        Column("starts", Kind.TIME, "first moment"),
        Column("ends", Kind.TIME, "first moment after it"),
        Column("budget", Kind.INTEGER, "most it may cost in all, minor units", minimum=0, maximum=MOST_MONEY),
        Column(
            "daily_budget",
            Kind.INTEGER,
            "most it may cost in a local day, minor units",
            minimum=0,
            maximum=MOST_MONEY,
        ),
        Column("per_user_limit", Kind.INTEGER, "most claims of one visitor", minimum=0),
        Column(
            "valid_hours",
            Kind.INTEGER,
            "how long a claim can be redeemed, hours; none given = until the offer ends",
            minimum=1,
            maximum=MOST_HOURS,
        ),
        Column(
            "max_cost",
            Kind.INTEGER,
            "most one claim may cost, minor units (needed for discount)",
            minimum=0,
            maximum=MOST_MONEY,
        ),
        Column("stacking", Kind.ID, "stacking rule: alone or with_others"),
        Column("payer", Kind.ID, "who pays: merchant, platform, supplier"),
    ),
)

STORES = Table(
    "stores",
    "store_id",
    (
        Column("store_id", Kind.ID, "the store", required=True),
        Column("name", Kind.TEXT, "name shown to visitors"),
        Column("geohash", Kind.ID, "where it is"),
        Column("hours", Kind.JSON, "opening hours, a JSON object by ISO weekday"),
    ),
)

CONTENTS = Table(
    "contents",
    "content_id",
    (
        Column("content_id", Kind.ID, "article, video or live", required=True),
        Column("title", Kind.TEXT, "name shown to visitors"),
        Column("kind", Kind.ID, "article, video, live"),
        Column("item_ids", Kind.LIST, "items it shows"),
    ),
)

IDENTITIES = Table(
    "identities",
    "link_id",
    (
        Column("link_id", Kind.ID, "idempotency key of the link", required=True),
        Column("user_id", Kind.ID, "the merchant's id of the visitor"),
        Column("openid", Kind.ID, "platform id within one mini program"),
        Column("unionid", Kind.ID, "platform id across one owner's mini programs"),
        Column("anonymous_id", Kind.ID, "id before sign-in"),
        Column("linked_at", Kind.TIME, "when the link was learnt"),
    ),
)

NOBODY = "-"
"""Whom a decision is for when the request names no visitor, or the visitor was forgotten."""

CANDIDATES = (
    "[{item_id or offer_id, position, source, propensity, score}]; of offers also {source: none, propensity, could}: "
    "how likely none was, and which offers could have been given (ids)"
)

DECISIONS = Table(
    "decisions",
    "decision_id",
    (
        Column("decision_id", Kind.ID, "the answer", required=True),
        Column("user_id", Kind.ID, "who was answered", required=True),
        Column("ts", Kind.TIME, "when", required=True),
        Column("placement", Kind.ID, "which shelf"),
        Column("version", Kind.ID, "model version that answered"),
        Column("policy", Kind.ID, "pipeline, occasion, trending, popular, fallback; offers"),
        Column("arm", Kind.ID, "treated or control; none where both are answered alike: nothing personal was wanted"),
        Column("degraded", Kind.BOOLEAN, "true: a fallback answered"),
        Column("candidates", Kind.JSON, CANDIDATES, required=True),
    ),
)

TABLES: Mapping[str, Table] = {
    table.name: table for table in (EVENTS, ITEMS, USERS, OFFERS, STORES, CONTENTS, IDENTITIES, DECISIONS)
}
CATALOGUES: Mapping[str, Table] = {name: table for name, table in TABLES.items() if name not in ("events", "decisions")}


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
    contradiction = _contradiction(row, record) if table is OFFERS else None
    return row if contradiction is None else contradiction


def _contradiction(row: Mapping[str, Any], record: Mapping[str, Any]) -> Rejection | None:
    """What columns of an offer, each of them good, say against each other: more off than all, an end before it
    begins."""
    if row["kind"] in BY_SHARE and (row["value"] or 0) > WHOLE:
        return _reject("value", record["value"], f"more than {WHOLE} basis points, all of an order")
    starts, ends = row["starts"], row["ends"]
    if starts is not None and ends is not None and starts >= ends:
        return _reject("ends", record["ends"], "not after starts")
    return None


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
    if "\x00" in value or not _encodes(value):
        return _reject(column.name, value, "not valid text")
    return value


def _encodes(value: str) -> bool:
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
    if not _encodes(text):
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
