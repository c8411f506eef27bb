"""Tables of the online store: what changes by day. Every row carries its `app_id`.

Times are int64 microseconds since 1970 UTC, rows of the contract are JSON text, strings are compared by their bytes.
Changes to these tables go through a migration (`migrations/versions`); a test holds the two against each other.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

REVISION = "0013"
"""The migration that these tables correspond to."""

metadata = MetaData()

Sequence = BigInteger().with_variant(Integer, "sqlite")
"""Type of an ever-growing number; SQLite counts only a column of type INTEGER."""

apps = Table(
    "apps",
    metadata,
    Column("app_id", String, primary_key=True),
    Column("settings", Text, nullable=False),
    Column("salt", String, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("change_seq", BigInteger, nullable=False),
    Column("events_drained", BigInteger, nullable=False),
    Column("changes_drained", BigInteger, nullable=False),
    Column("merchant_id", String),
)
"""`revision` moves with settings, keys and activations, `change_seq` with the catalogues: a reader that sees the same
numbers knows that nothing changed. `*_drained`: everything up to there is in the lake. `salt` keys the hashes of
visitors, so that two apps never share an arm."""

providers = Table(
    "providers",
    metadata,
    Column("provider_id", String, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)
"""Who runs mini programs for several merchants."""

merchants = Table(
    "merchants",
    metadata,
    Column("merchant_id", String, primary_key=True),
    Column("provider_id", String),
    Column("name", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("hash", String, primary_key=True),
    Column("key_id", String, nullable=False, unique=True),
    Column("app_id", String, index=True),
    Column("scope", String, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
    Column("provider_id", String, index=True),
)
"""A key is of one app or of one provider, whose apps it may name. From `revoked_us` on it is unknown."""

SHAPING = text("(item_id IS NOT NULL OR type IN ('order_cancel', 'refund')) AND type <> 'exposure'")
"""Events that may change the next answer: those of items, and orders that are sent back whole. The index of a visitor's
events holds no others, so that a visitor who saw a million shelves costs no more than one who saw ten."""

OTHER = text("((item_id IS NULL AND type NOT IN ('order_cancel', 'refund')) OR type = 'exposure')")
"""All other events, in an index of their own: a segment may ask for any of them, an answer never walks past them."""

PURCHASE = text("type = 'purchase' AND item_id IS NOT NULL")
"""Lines of orders, in an index of their own: a redemption looks for its order's, whatever else its visitor did."""

events = Table(
    "events",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("app_id", String, nullable=False),
    Column("event_id", String, nullable=False),
    Column("day", Integer, nullable=False),
    Column("user_id", String, nullable=False),
    Column("ts_us", BigInteger, nullable=False),
    Column("type", String, nullable=False),
    Column("item_id", String),
    Column("payload", Text, nullable=False),
    Column("content", String, nullable=False),
    Index("events_once", "app_id", "event_id", "day", unique=True),
    Index("events_of_visitor", "app_id", "user_id", "ts_us", sqlite_where=SHAPING, postgresql_where=SHAPING),
    Index("purchases_of_visitor", "app_id", "user_id", "ts_us", sqlite_where=PURCHASE, postgresql_where=PURCHASE),
    Index("other_events_of_visitor", "app_id", "user_id", "ts_us", sqlite_where=OTHER, postgresql_where=OTHER),
    sqlite_autoincrement=True,
)
"""Events that the published portraits do not hold yet. `day` counts days since 1970 of the ts as it was sent, `content`
is a hash of the row as it was sent: a repeated event keeps both, whatever the server's clock says."""

rejected = Table(
    "rejected",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("app_id", String, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("source", String, nullable=False),
    Column("line", Integer, nullable=False),
    Column("column", String, nullable=False),
    Column("value", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("row", Text, nullable=False),
    Column("user_id", String),
    Index("rejected_of_app", "app_id", "seq"),
    Index("rejected_of_visitor", "app_id", "user_id"),
    sqlite_autoincrement=True,
)
"""Rows that could not be taken. `user_id`: whose each was, where it said so with something that can be an id."""

catalogue = Table(
    "catalogue",
    metadata,
    Column("app_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("key", String, nullable=False),
    Column("payload", Text, nullable=False),
    Column("change_seq", BigInteger, nullable=False),
    Column("changed_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("app_id", "name", "key"),
    Index("catalogue_changes", "app_id", "name", "change_seq"),
    Index("catalogue_changed", "app_id", "name", "changed_us"),
)
"""The row that is true now, for each of the six catalogues."""

catalogue_log = Table(
    "catalogue_log",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("app_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("payload", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Index("catalogue_log_of_app", "app_id", "seq"),
    sqlite_autoincrement=True,
)
"""Every change in order, kept until the lake has it. Its `seq` is the `change_seq` of the row it made."""

links = Table(
    "links",
    metadata,
    Column("app_id", String, nullable=False),
    Column("link_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("value", String, nullable=False),
    Column("linked_us", BigInteger),
    PrimaryKeyConstraint("app_id", "link_id", "kind"),
    Index("links_of_id", "app_id", "value", "kind"),
)
"""The ids that each row of the identities catalogue names now, findable by id."""

people = Table(
    "people",
    metadata,
    Column("app_id", String, nullable=False),
    Column("id", String, nullable=False),
    Column("user_id", String, nullable=False),
    PrimaryKeyConstraint("app_id", "id"),
    Index("ids_of_person", "app_id", "user_id"),
)
"""Each linked id (the person's own too) and the user_id of its person: what `portraits.identity` says of the links.
An id that is not here is a person of its own."""

GHOST = text("""replace(payload, '"policy":"offers","arm":"control"', '') <> payload""")
"""Answers about offers to visitors who are held out, by the words that `serving.ground.record` writes. (Not LIKE: a
percent sign is not the same to all drivers, and an index is used only where its condition is repeated to the letter.)
"""

decisions = Table(
    "decisions",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("app_id", String, nullable=False),
    Column("decision_id", String, nullable=False),
    Column("user_id", String, nullable=False),
    Column("ts_us", BigInteger, nullable=False),
    Column("payload", Text, nullable=False),
    Index("decisions_of_app", "app_id", "seq"),
    Index("ghosts_of_visitor", "app_id", "user_id", "ts_us", sqlite_where=GHOST, postgresql_where=GHOST),
    sqlite_autoincrement=True,
)

active = Table(
    "active",
    metadata,
    Column("app_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("version", String, nullable=False),
    Column("as_of_us", BigInteger, nullable=False),
    Column("events_seq", BigInteger, nullable=False),
    Column("changes_seq", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("app_id", "kind"),
)
"""What is served now, `kind` bundle or portraits. `*_seq`: how far the lake was filled when the version was built."""

activations = Table(
    "activations",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("app_id", String, nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("version", String, nullable=False),
    Column("as_of_us", BigInteger, nullable=False),
    Column("events_seq", BigInteger, nullable=False),
    Column("changes_seq", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
"""Every version that was ever made active, newest last."""

runs = Table(
    "runs",
    metadata,
    Column("app_id", String, nullable=False),
    Column("run_id", String, nullable=False),
    Column("as_of_us", BigInteger, nullable=False),
    Column("started_us", BigInteger, nullable=False),
    Column("finished_us", BigInteger),
    Column("status", String, nullable=False),
    Column("steps", Text, nullable=False),
    Column("summary", Text, nullable=False),
    PrimaryKeyConstraint("app_id", "run_id"),
)

segments = Table(
    "segments",
    metadata,
    Column("app_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("app_id", "name", "version"),
)
"""Definitions of segments: saving one again, or deleting it, is a further version; the last one counts. `rule` is the
JSON text of its grammar."""

rules = Table(
    "rules",
    metadata,
    Column("app_id", String, nullable=False),
    Column("rule_id", String, nullable=False),
    Column("payload", Text, nullable=False),
    Column("changed_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("app_id", "rule_id"),
)
"""Pins and boosts as they are now: whole rows as JSON text."""

forgotten = Table(
    "forgotten",
    metadata,
    Column("app_id", String, nullable=False),
    Column("hash", String, nullable=False),
    Column("person", String, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("known", Boolean, nullable=False),
    Column("status", String, nullable=False),
    Column("id", String),
    Column("erased_us", BigInteger),
    PrimaryKeyConstraint("app_id", "hash"),
    Index("forgotten_persons", "app_id", "person"),
)
"""Ids that were forgotten, by `portraits.forgotten.mark`. `person` is the mark of the id that was asked for, the same
for all ids forgotten with it; `known`: there was something to forget. While `status` is pending, `id` is the id itself,
so that the night knows what to look for; it goes when nothing holds it any more. `erased_us`: since when the lake does
not; what was built before may."""

OPEN = text("state = 'claimed'")
"""Claims that may still be used."""

HOLDING = text("state = 'claimed' AND reserved > 0")
"""Those of them that hold a part of a budget."""

claims = Table(
    "claims",
    metadata,
    Column("app_id", String, nullable=False),
    Column("claim_id", String, nullable=False),
    Column("user_id", String, nullable=False),
    Column("offer_id", String, nullable=False),
    Column("state", String, nullable=False),
    Column("reserved", BigInteger),
    Column("cost", BigInteger, nullable=False),
    Column("day", Integer, nullable=False),
    Column("terms", Text, nullable=False),
    Column("decision_id", String),
    Column("store_id", String),
    Column("order_id", String),
    Column("claimed_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger),
    Column("changed_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("app_id", "claim_id"),
    Index("claims_of_visitor", "app_id", "user_id", "offer_id", "state", "changed_us"),
    Index("claims_of_order", "app_id", "order_id"),
    Index("claims_due", "app_id", "expires_us", sqlite_where=OPEN, postgresql_where=OPEN),
    Index(
        "claims_due_of_day",
        *("app_id", "offer_id", "day", "expires_us"),
        sqlite_where=HOLDING,
        postgresql_where=HOLDING,
    ),
)
"""One row a claim of an offer. `state`: claimed, redeemed, expired or returned. `reserved`: the most it may cost, which
is held while it is open; null: nothing bounds it, and nothing is held. `cost`: what it did cost, while it is redeemed.
`day`: the local day (since 1970) whose budget it is charged to, that of the claim. `terms`: JSON of the rule as it was
when it was claimed."""

offer_books = Table(
    "offer_books",
    metadata,
    Column("app_id", String, nullable=False),
    Column("offer_id", String, nullable=False),
    Column("open", BigInteger, nullable=False),
    Column("redeemed", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("settled", BigInteger, nullable=False),
    Column("closed", String),
    PrimaryKeyConstraint("app_id", "offer_id"),
)
"""Sums of an offer's claims: how many are open and how many redeemed, what the open ones hold and the redeemed ones
cost, in minor units. `closed`: why nobody may claim it although its row would let them."""

offer_days = Table(
    "offer_days",
    metadata,
    Column("app_id", String, nullable=False),
    Column("offer_id", String, nullable=False),
    Column("day", Integer, nullable=False),
    Column("spent", BigInteger, nullable=False),
    PrimaryKeyConstraint("app_id", "offer_id", "day"),
)
"""What the claims of a local day hold or did cost, in minor units."""

claim_requests = Table(
    "claim_requests",
    metadata,
    Column("app_id", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("content", String, nullable=False),
    Column("claim_id", String, nullable=False),
    Column("answer", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("app_id", "request_id"),
    Index("requests_of_claim", "app_id", "claim_id"),
    Index("requests_by_time", "app_id", "at_us"),
)
"""Requests that moved a claim (and events of platforms that did): asked again, they get the same answer and move
nothing. `content`: a hash of what was asked."""

deleted_tags = Table(
    "deleted_tags",
    metadata,
    Column("app_id", String, nullable=False),
    Column("user_id", String, nullable=False),
    Column("tag", String, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("app_id", "user_id", "tag"),
)
"""Tags of the portrait that a visitor deleted, and when: what happened before then brings them back no more."""
