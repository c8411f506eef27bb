"""THE schema: what an event and a catalogue row may hold.

One declaration (`Column`) is read by two checkers: `portraits.checking`, for one record at a time, and
`portraits.checking_files`, which turns the same declaration into SQL. Ids are strings, money is whole minor units of
the app's currency, time is UTC microseconds.

No Ibis and no pandas here: serving imports this module on its request path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property

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
BASIS_POINTS = 10_000
"""All of an order, as a share of it."""
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
LOGS = ("events", "decisions")
"""Tables of what happened, which only grow; all others are catalogues, of what is so."""
CATALOGUES: Mapping[str, Table] = {name: table for name, table in TABLES.items() if name not in LOGS}
