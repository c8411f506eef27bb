"""Claims in the store: their rows, the moves between their states, and what every move does to the sums and the lake.

What may be moved is `claim_steps`' to say, for whoever asks, and `offer_facts`', for what a platform tells.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, groupby
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import CompoundSelect, Connection, TextClause, bindparam, select, text

from portraits.errors import UnknownApp
from portraits.history import ID_LIMIT
from recommender.offers.terms import Terms, expires_at
from serving.codec import encode
from serving.stores import schema
from serving.stores.books import CLAIMED, EXPIRED, REDEEMED, RETURNED, Books, Change, change, local_day, zone_of
from serving.stores.database import now_us
from serving.stores.dialect import ask_within, do_within, insert_tuples
from serving.stores.events import EventRow, insert_events

KEPT_DAYS = 400
"""How long a request that was done is known again."""
DAY_US = 86_400_000_000
FORGOTTEN_AT_ONCE = 2_000
EXPIRED_AT_ONCE = 200
"""Claims that one transaction lets expire: events wait less than 50 ms for it."""
MOST_OF_STATE = 100
"""Claims of one offer in one state under one id that are looked at."""
STATES = (CLAIMED, REDEEMED, EXPIRED, RETURNED)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Claim(NamedTuple):
    """A row of `schema.claims`, in its order, without the app."""

    claim_id: str
    user_id: str
    offer_id: str
    state: str
    reserved: int | None
    cost: int
    day: int
    terms: str
    decision_id: str | None
    store_id: str | None
    order_id: str | None
    claimed_us: int
    expires_us: int | None
    changed_us: int

    @property
    def held(self) -> int:
        """What it holds of the budget while it is open."""
        return self.reserved or 0

    def is_due(self, at_us: int) -> bool:
        """Whether its time is over, whether or not anybody wrote that down."""
        return self.expires_us is not None and self.expires_us <= at_us


class Claims(Books):
    """What is done behind the requests."""

    def apps_with_claims(self) -> list[str]:
        """Apps that have open claims."""
        return [row.app_id for row in self.read(_APPS)]

    def has_due(self, app_id: str, at_us: int) -> bool:
        """Whether the time of an open claim is over."""
        return bool(self.read(_ANY_DUE, {"app_id": app_id, "at_us": at_us}))

    def claims_by(self, app_id: str, claim_ids: Sequence[str], order_ids: Sequence[str]) -> list[Claim]:
        """Claims that have one of these ids, or were used for one of these orders."""
        return [Claim._make(row) for row in self.read(named_by(app_id, claim_ids, order_ids))]

    def expire_claims(self, app_id: str, at_us: int | None = None) -> int:
        """Lets every claim expire whose time is over; how many did. Raises StoreUnavailable."""
        at_us, expired = now_us() if at_us is None else at_us, 0
        while self.has_due(app_id, at_us):
            with self.write() as connection:
                expired += expire_due(connection, app_id, at_us)
        return expired

    def forget_requests(self, app_id: str, at_us: int | None = None) -> int:
        """Deletes what is kept of requests longer than `KEPT_DAYS`, a few in a transaction; how many."""
        before, gone = (now_us() if at_us is None else at_us) - KEPT_DAYS * DAY_US, 0
        which = {"app_id": app_id, "before": before, "most": FORGOTTEN_AT_ONCE}
        while True:
            with self.write() as connection:
                some = do_within(connection, _OLD_REQUESTS, which)
            gone += some
            if some < FORGOTTEN_AT_ONCE:
                return gone


def named_by(app_id: str, claim_ids: Sequence[str], order_ids: Sequence[str]) -> CompoundSelect[Any]:
    """Claims with one of these ids, and those used for one of these orders. Two questions: for one with an OR, SQLite
    walks all claims of an app."""
    every = select(*(_CLAIM[name] for name in Claim._fields)).where(_CLAIM.app_id == app_id)
    return every.where(_CLAIM.claim_id.in_(claim_ids)).union(every.where(_CLAIM.order_id.in_(order_ids)))


def expire_due(connection: Connection, app_id: str, at_us: int) -> int:
    """Lets some claims expire whose time is over, inside a write transaction; how many."""
    which = {"app_id": app_id, "at_us": at_us, "most": EXPIRED_AT_ONCE}
    return let_expire(connection, app_id, [Claim._make(row) for row in ask_within(connection, _DUE, which)], at_us)


def let_expire(connection: Connection, app_id: str, due: Sequence[Claim], at_us: int) -> int:
    """Lets these open claims expire, inside a write transaction; how many they are."""
    for (of, day), some in groupby(sorted(due, key=_book), key=_book):
        claims = list(some)
        change(connection, app_id, of, day, Change(open=-len(claims), reserved=-sum(one.held for one in claims)))
    for one in due:
        move(connection, app_id, one, one._replace(state=EXPIRED, changed_us=at_us))
    tell(connection, app_id, "expire", due, at_us)
    return len(due)


def move(connection: Connection, app_id: str, before: Claim, after: Claim) -> Claim:
    """Writes a claim's next state; the sums are the caller's to change."""
    columns = {name: getattr(after, name) for name in ("state", "cost", "store_id", "order_id", "changed_us")}
    which = {"app_id": app_id, "claim_id": before.claim_id, "before": before.state}
    if do_within(connection, _MOVE, which | columns) != 1:
        raise RuntimeError(f"claim {before.claim_id} moved in a transaction that no other writer is in")
    return after


def settle(connection: Connection, app_id: str, before: Claim, after: Claim) -> Claim:
    """Makes a claim that is not redeemed one that is and costs `after.cost`, in its row and in the sums."""
    by = Change(redeemed=1, settled=after.cost)
    if before.state == CLAIMED:
        by = by._replace(open=-1, reserved=-before.held)
    change(connection, app_id, before.offer_id, before.day, by)
    return move(connection, app_id, before, after)


def release(connection: Connection, app_id: str, before: Claim, state: str, at_us: int) -> Claim:
    """Ends an open or redeemed claim: it holds and costs nothing any more."""
    open_ = before.state == CLAIMED
    by = Change(open=-1, reserved=-before.held) if open_ else Change(redeemed=-1, settled=-before.cost)
    change(connection, app_id, before.offer_id, before.day, by)
    return move(connection, app_id, before, before._replace(state=state, cost=0, changed_us=at_us))


def tell(connection: Connection, app_id: str, what: str, claims: Iterable[Claim], at_us: int) -> None:
    """Writes the contract's event of each claim's step, for the lake, under an id made of the claim and the step."""
    ts = (EPOCH + timedelta(microseconds=at_us)).isoformat()
    insert_events(connection, app_id, [_event(one, what, at_us, ts) for one in claims])


def claims_of(
    connection: Connection, app_id: str, user_id: str, offer_id: str, at_us: int, *, states: Sequence[str] = STATES
) -> Iterator[Claim]:
    """Claims of an offer that the person with this id made, in these states: those that can be used first, of those the
    one that expires first; then redeemed ones and the rest (those, too, whose time is over, whether or not anybody
    wrote that down), of each the latest. Whoever needs no more reads no more; of each state `MOST_OF_STATE` under each
    id, the oldest of those that can be used and the latest of others: all visitors of a till may be one."""
    which = {"app_id": app_id, "offer_id": offer_id, "at_us": at_us, "most": MOST_OF_STATE}
    ids = ids_of(connection, app_id, user_id)

    def some(statement: TextClause, state: str) -> list[Claim]:
        rows = (ask_within(connection, statement, which | {"user_id": one, "state": state}) for one in ids)
        return sorted(map(Claim._make, chain.from_iterable(rows)), key=lambda one: _best(one, at_us))

    if CLAIMED in states:
        yield from some(USABLE, CLAIMED)
    if REDEEMED in states:
        yield from some(LATEST, REDEEMED)
    rest = [one for state in states if state != REDEEMED for one in some(LATEST, state)]
    yield from sorted(
        (one for one in rest if one.state != CLAIMED or one.is_due(at_us)), key=lambda one: -one.changed_us
    )


def claims_of_order(connection: Connection, app_id: str, user_id: str, offer_id: str, order_id: str) -> list[Claim]:
    """Those that were used for an order, the latest `MOST_OF_STATE`: redeemed ones before others, the latest first."""
    which = {"app_id": app_id, "user_id": user_id, "offer_id": offer_id, "order_id": order_id, "most": MOST_OF_STATE}
    found = map(Claim._make, ask_within(connection, _FOR_ORDER, which))
    return sorted(found, key=lambda one: one.state != REDEEMED)


def ids_of(connection: Connection, app_id: str, user_id: str) -> list[str]:
    """All ids of the person that has this one."""
    return sorted(one for (one,) in ask_within(connection, _IDS, {"app_id": app_id, "user_id": user_id}))


def is_of(connection: Connection, app_id: str, one: Claim, user_id: str) -> bool:
    """Whether a claim is the person's who has this id."""
    which = {"app_id": app_id, "user_id": user_id, "owner": one.user_id}
    return one.user_id == user_id or bool(ask_within(connection, _IS_OF, which))


def offer_row(connection: Connection, app_id: str, offer_id: str) -> dict[str, Any] | None:
    """The offer as the catalogue has it now."""
    rows = ask_within(connection, _OFFER, {"app_id": app_id, "offer_id": offer_id})
    return json.loads(rows[0][0]) if rows else None


def app_zone(connection: Connection, app_id: str) -> ZoneInfo:
    """The app's time zone. Raises UnknownApp."""
    rows = ask_within(connection, _SETTINGS, {"app_id": app_id})
    if not rows:
        raise UnknownApp(app_id)
    return zone_of(rows[0][0])


def answered(connection: Connection, app_id: str, request_id: str) -> tuple[str, str] | None:
    """(content, answer) of a request that was done."""
    rows = ask_within(connection, _REQUEST, {"app_id": app_id, "request_id": request_id})
    return (rows[0][0], rows[0][1]) if rows else None


def keep_request(connection: Connection, app_id: str, row: tuple[str, str, str, str, int]) -> None:
    """Keeps (request_id, content, claim_id, answer, at_us)."""
    insert_tuples(connection, schema.claim_requests, [(app_id, *row)])


def told(one: Claim) -> dict[str, Any]:
    """A claim as the calls answer it."""
    expires = None if one.expires_us is None else (EPOCH + timedelta(microseconds=one.expires_us)).isoformat()
    return {
        "claim_id": one.claim_id,
        "offer_id": one.offer_id,
        "user_id": one.user_id,
        "state": one.state,
        "reserved": one.held if one.state == CLAIMED else 0,
        "cost": one.cost,
        "expires": expires,
        "order_id": one.order_id,
    }


def new_claim(offer: Mapping[str, Any], user_id: str, claim_id: str, at_us: int, zone: ZoneInfo) -> Claim:
    """An open claim of an offer whose rule is stated."""
    terms, until = Terms.of(offer), expires_at(offer, EPOCH + timedelta(microseconds=at_us))
    return Claim(
        claim_id=claim_id,
        user_id=user_id,
        offer_id=offer["offer_id"],
        state=CLAIMED,
        reserved=terms.most,
        cost=0,
        day=local_day(at_us, zone),
        terms=terms.text,
        decision_id=None,
        store_id=None,
        order_id=None,
        claimed_us=at_us,
        expires_us=None if until is None else (until - EPOCH) // timedelta(microseconds=1),
        changed_us=at_us,
    )


def claim_named(properties: str | None) -> str | None:
    """The claim_id that an event's properties (JSON) name; None: none, or what cannot be an id."""
    told = json.loads(properties or "null")
    named = told.get("claim_id") if isinstance(told, dict) else None
    return named if isinstance(named, str) and 0 < len(named) <= ID_LIMIT and "\x00" not in named else None


def by_id(connection: Connection, app_id: str, claim_id: str) -> Claim | None:
    """One claim."""
    rows = ask_within(connection, _BY_ID, {"app_id": app_id, "claim_id": claim_id})
    return Claim._make(rows[0]) if rows else None


def _event(one: Claim, what: str, at_us: int, ts: str) -> EventRow:
    event_id = f"{one.claim_id}-{what}"
    row = {
        "event_id": event_id,
        "user_id": one.user_id,
        "ts": ts,
        "type": f"offer_{what}",
        "order_id": one.order_id,
        "discount": one.cost if what == "redeem" else None,
        "store_id": one.store_id,
        "offer_id": one.offer_id,
        "decision_id": one.decision_id,
        "properties": encode({"claim_id": one.claim_id}).decode(),
        "received_at": ts,
    }
    payload = encode({name: told for name, told in row.items() if told is not None})
    content = hashlib.blake2b(payload, digest_size=8).hexdigest()
    return EventRow(event_id, at_us // DAY_US, one.user_id, at_us, f"offer_{what}", None, payload.decode(), content)


def _book(one: Claim) -> tuple[str, int]:
    return one.offer_id, one.day


def _best(one: Claim, at_us: int) -> tuple[int, bool, int, int]:
    if one.state == CLAIMED and not one.is_due(at_us):
        return 0, one.expires_us is None, one.expires_us or 0, one.claimed_us
    return 1 + (one.state != REDEEMED), False, -one.changed_us, 0


_COLUMNS = ", ".join(Claim._fields)
SELECT = f"SELECT {_COLUMNS} FROM claims WHERE app_id = :app_id"  # noqa: S608 - constants
IDS = (
    "SELECT CAST(:user_id AS VARCHAR) UNION ALL SELECT other.id FROM people AS mine JOIN people AS other "
    "ON other.app_id = mine.app_id AND other.user_id = mine.user_id WHERE mine.app_id = :app_id AND mine.id = :user_id"
)
"""All ids of the person that has the id `user_id`, for use in an IN."""
_DUE = text(f"{SELECT} AND state = 'claimed' AND expires_us <= :at_us ORDER BY expires_us LIMIT :most")
_BY_ID = text(f"{SELECT} AND claim_id = :claim_id")
_IDS = text(f"SELECT DISTINCT * FROM ({IDS}) AS ids")  # noqa: S608 - constants
_OF_STATE = f"{SELECT} AND user_id = :user_id AND offer_id = :offer_id AND state = :state"
USABLE = text(f"{_OF_STATE} AND (expires_us IS NULL OR expires_us > :at_us) ORDER BY changed_us LIMIT :most")
LATEST = text(f"{_OF_STATE} ORDER BY changed_us DESC LIMIT :most")
_FOR_ORDER = text(
    f"{SELECT} AND order_id = :order_id AND offer_id = :offer_id AND user_id IN ({IDS}) "
    "ORDER BY changed_us DESC LIMIT :most"
)
_IS_OF = text(f"SELECT 1 WHERE CAST(:owner AS VARCHAR) IN ({IDS})")
COUNTED = text(
    f"SELECT count(*) FROM claims WHERE app_id = :app_id AND offer_id = :offer_id AND user_id IN ({IDS}) "  # noqa: S608
    "AND state <> 'returned'"
)
"""How many claims of one offer a person has that count against the limit."""
_MOVE = text(
    "UPDATE claims SET state = :state, cost = :cost, store_id = :store_id, order_id = :order_id, "
    "changed_us = :changed_us WHERE app_id = :app_id AND claim_id = :claim_id AND state = :before"
)
_OFFER = text("SELECT payload FROM catalogue WHERE app_id = :app_id AND name = 'offers' AND key = :offer_id")
_SETTINGS = text("SELECT settings FROM apps WHERE app_id = :app_id")
_REQUEST = text("SELECT content, answer FROM claim_requests WHERE app_id = :app_id AND request_id = :request_id")
_OLD_REQUESTS = text(
    "DELETE FROM claim_requests WHERE app_id = :app_id AND request_id IN "
    "(SELECT request_id FROM claim_requests WHERE app_id = :app_id AND at_us < :before ORDER BY at_us LIMIT :most)"
)
_CLAIM = schema.claims.c
_APPS = select(schema.offer_books.c.app_id).where(schema.offer_books.c.open > 0).distinct()
_ANY_DUE = (
    select(_CLAIM.claim_id)
    .where(_CLAIM.app_id == bindparam("app_id"), schema.OPEN, _CLAIM.expires_us <= bindparam("at_us"))
    .limit(1)
)
