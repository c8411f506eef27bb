"""The books of the offers: what claims hold, what redemptions cost, and what a visitor had and saw.

Sums are kept beside the claims that they are sums of and change in the same transaction, so a reader needs no sum over
claims. They outlive what they are of: the offer's row may change or go, a visitor may be forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    Connection,
    String,
    and_,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    null,
    or_,
    select,
    text,
    union_all,
)

from portraits.errors import UnknownApp
from serving.stores import schema
from serving.stores.database import Database, now_us
from serving.stores.dialect import ask_within, do_within, insert_tuples

MOST_OPEN = 200
"""Open claims of one visitor, those that expire first, that a reader is told."""
MOST_EXPOSURES = 500
"""Of one visitor, newest first, that a reader is told."""
CLAIMED, REDEEMED, EXPIRED, RETURNED = "claimed", "redeemed", "expired", "returned"
"""States of a claim."""
UNBOUNDED = 2**62
"""A budget that is never spent."""
_IDS = (1, 4, 16, 64, 256)
"""Ids of a person that a statement is made for."""


@dataclass(frozen=True, slots=True)
class Book:
    """The sums of one offer, money in minor units.

    claims: open or redeemed. reserved: the most that the open ones may cost. settled: what the redeemed ones did cost.
    today: what the claims of the current local day hold or did cost. closed: why nobody may claim it although its row
    would let them; None: it is not closed.
    """

    claims: int = 0
    reserved: int = 0
    settled: int = 0
    today: int = 0
    closed: str | None = None

    @property
    def spent(self) -> int:
        """What counts against the budget."""
        return self.reserved + self.settled


class Held(NamedTuple):
    """An open claim: what it promises (`terms.Terms.text`) and until when (microseconds; None: for ever)."""

    claim_id: str
    terms: str
    until: int | None

    @property
    def ends(self) -> tuple[bool, int]:
        """To order by."""
        return self.until is None, self.until or 0


class VisitorOffers(NamedTuple):
    """What one person had and saw of the offers, under all ids.

    claims: offer_id -> claims that count against the limit a person: all but those that were returned. open: of those
    that are neither redeemed nor expired the one that expires first. exposures: (microseconds, offer_id) of offers
    seen, newest first.
    """

    claims: Mapping[str, int]
    open: Mapping[str, Held]
    exposures: tuple[tuple[int, str], ...]


class Books(Database):
    """The part of the store that reads the books."""

    def offer_books(self, app_id: str, day: int | None = None) -> dict[str, Book]:
        """offer_id -> its sums, of every offer that was ever claimed. `day`: the local day that is today (days since
        1970, see `local_day`); without it the app's settings are read for it. Raises UnknownApp, StoreUnavailable."""
        if day is None:
            found = self.ask(_SETTINGS, {"app_id": app_id})
            if not found:
                raise UnknownApp(app_id)
            day = local_day(now_us(), zone_of(found[0][0]))
        rows = self.ask(_BOOKS, {"app_id": app_id, "day": day})
        return {row[0]: Book(row[1] + row[2], row[3], row[4], row[5] or 0, row[6]) for row in rows}

    def offer_facts(self, app_id: str, ids: Sequence[str], since_us: int) -> VisitorOffers:
        """What the person with these ids had and saw; exposures that the store holds and that are of `since_us` or
        later. One statement, hence of one moment. Raises StoreUnavailable."""
        now = now_us()
        most, named = _named(ids)
        claims: dict[str, int] = {}
        still: dict[str, Held] = {}
        seen = []
        for offer_id, count, at_us, words in self.ask(
            _facts(most), {"app_id": app_id, "since_us": since_us, "now_us": now} | named
        ):
            if words is None:
                claims[offer_id] = count
            elif offer_id is not None:
                claim_id, terms = words.split(" ", 1)
                held = Held(claim_id, terms, at_us)
                still[offer_id] = min(still.get(offer_id, held), held, key=lambda one: one.ends)
            elif (shown := json.loads(words).get("offer_id")) is not None:
                seen.append((at_us, shown))
        return VisitorOffers(claims, still, tuple(sorted(seen, reverse=True)))

    def offer_ghosts(self, app_id: str, ids: Sequence[str], since_us: int) -> list[int]:
        """When (microseconds) the person with these ids, who is held out, would have been shown an offer, one for each;
        of `since_us` or later, as far as the store holds them. Raises StoreUnavailable."""
        most, named = _named(ids)
        rows = self.ask(_ghosts(most), {"app_id": app_id, "since_us": since_us} | named)
        return [at_us for at_us, payload in rows for _ in range(json.loads(payload)["candidates"].count('"offer_id":'))]


class Change(NamedTuple):
    """What one or several claims of an offer and a day change of its sums."""

    open: int = 0
    redeemed: int = 0
    reserved: int = 0
    settled: int = 0


def book_of(connection: Connection, app_id: str, offer_id: str, day: int) -> Book:
    """The sums of one offer inside a write transaction, `day` being today; from then on there are rows to `change`."""
    rows = ask_within(connection, _BOOK, {"app_id": app_id, "offer_id": offer_id, "day": day})
    if not rows:
        insert_tuples(connection, schema.offer_books, [(app_id, offer_id, 0, 0, 0, 0, None)])
    if not rows or rows[0][4] is None:
        insert_tuples(connection, schema.offer_days, [(app_id, offer_id, day, 0)], skip=True)
    if not rows:
        return Book()
    waiting, redeemed, reserved, settled, today, closed = rows[0]
    return Book(waiting + redeemed, reserved, settled, today or 0, closed)


def change(connection: Connection, app_id: str, offer_id: str, day: int, by: Change) -> None:
    """Changes the sums of an offer and of one of its days, whatever its budgets say, inside a write transaction."""
    where = {"app_id": app_id, "offer_id": offer_id}
    do_within(connection, _CHANGE, where | by._asdict())
    do_within(connection, _CHANGE_DAY, where | {"day": day, "spent": by.reserved + by.settled})


def charge(connection: Connection, app_id: str, offer: Mapping[str, Any], day: int, by: Change) -> bool:
    """The same where the budgets of an offer's row have room for it and it is not closed; False: they have not, and the
    transaction must be undone. A claim that costs nothing needs room, too: an offer whose budget is spent is over."""
    where = {"app_id": app_id, "offer_id": offer["offer_id"]}
    spent = by.reserved + by.settled
    needed = max(spent, 1)
    fits = do_within(connection, _CHARGE, where | by._asdict() | {"needed": needed, "budget": bound(offer, "budget")})
    daily = {"day": day, "spent": spent, "needed": needed, "budget": bound(offer, "daily_budget")}
    return fits == 1 and do_within(connection, _CHARGE_DAY, where | daily) == 1


def bound(offer: Mapping[str, Any], budget: str) -> int:
    """A budget of an offer's row as a number."""
    return UNBOUNDED if offer.get(budget) is None else int(offer[budget])


def close(connection: Connection, app_id: str, offer_id: str, reason: str) -> bool:
    """Closes an offer; whether it was open."""
    return do_within(connection, _CLOSE, {"app_id": app_id, "offer_id": offer_id, "reason": reason}) == 1


def reopen(
    connection: Connection, app_id: str, offers: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> None:
    """Opens those of the offers (rows by offer_id: before, now) again that were closed and whose budget is higher now
    and has room."""
    for offer_id, reserved, settled in ask_within(connection, _CLOSED, {"app_id": app_id}):
        before, now = (bound(row, "budget") for row in offers.get(offer_id, ({}, {"budget": 0})))
        if now > before and reserved + settled < now:
            do_within(connection, _REOPEN, {"app_id": app_id, "offer_id": offer_id})


def drop_claims(connection: Connection, app_id: str, claim_ids: Sequence[str]) -> None:
    """Deletes claims and the requests that moved them. What they hold is held no longer, as nobody can use them any
    more; what they did cost stays in the sums. A few at a time."""
    mine, request = schema.claims.c, schema.claim_requests.c
    which = and_(mine.app_id == app_id, mine.claim_id.in_(claim_ids))
    held = select(mine.offer_id, mine.day, func.count(), func.coalesce(func.sum(mine.reserved), 0))
    for offer_id, day, count, reserved in connection.execute(
        held.where(which, mine.state == CLAIMED).group_by(mine.offer_id, mine.day)
    ).all():
        change(connection, app_id, offer_id, day, Change(open=-count, reserved=-int(reserved)))
    connection.execute(delete(schema.claim_requests).where(request.app_id == app_id, request.claim_id.in_(claim_ids)))
    connection.execute(delete(schema.claims).where(which))


def local_day(us: int, zone: ZoneInfo) -> int:
    """The local day (since 1970) of a moment."""
    return datetime.fromtimestamp(us / 1e6, UTC).astimezone(zone).toordinal() - _FIRST_DAY


@lru_cache(maxsize=1_000)
def zone_of(settings: str) -> ZoneInfo:
    """The time zone in an app's settings (JSON)."""
    return ZoneInfo(json.loads(settings)["time_zone"])


_FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC).toordinal()
_SETTINGS = select(schema.apps.c.settings).where(schema.apps.c.app_id == bindparam("app_id"))
_OF = "WHERE app_id = :app_id AND offer_id = :offer_id"
_MOVED = "open = open + :open, redeemed = redeemed + :redeemed, reserved = reserved + :reserved"
_SUMS = f"UPDATE offer_books SET {_MOVED}, settled = settled + :settled {_OF}"  # noqa: S608 - constants
_DAYS = f"UPDATE offer_days SET spent = spent + :spent {_OF} AND day = :day"  # noqa: S608 - constants
_CHANGE, _CHANGE_DAY = text(_SUMS), text(_DAYS)
_CHARGE = text(f"{_SUMS} AND closed IS NULL AND reserved + settled + :needed <= :budget")
_CHARGE_DAY = text(f"{_DAYS} AND spent + :needed <= :budget")
_CLOSE = text(f"UPDATE offer_books SET closed = :reason {_OF} AND closed IS NULL")  # noqa: S608 - constants
_REOPEN = text(f"UPDATE offer_books SET closed = NULL {_OF}")  # noqa: S608
_CLOSED = text("SELECT offer_id, reserved, settled FROM offer_books WHERE app_id = :app_id AND closed IS NOT NULL")
_BOOK = text(
    "SELECT b.open, b.redeemed, b.reserved, b.settled, d.spent, b.closed FROM offer_books AS b "
    "LEFT JOIN offer_days AS d ON d.app_id = b.app_id AND d.offer_id = b.offer_id AND d.day = :day "
    "WHERE b.app_id = :app_id AND b.offer_id = :offer_id"
)


def _books() -> Any:
    book, day = schema.offer_books.c, schema.offer_days.c
    today = and_(day.app_id == book.app_id, day.offer_id == book.offer_id, day.day == bindparam("day"))
    columns = (book.offer_id, book.open, book.redeemed, book.reserved, book.settled, day.spent, book.closed)
    return (
        select(*columns)
        .select_from(schema.offer_books.outerjoin(schema.offer_days, today))
        .where(book.app_id == bindparam("app_id"))
    )


_BOOKS = _books()


_EXPOSURE: Any = literal_column("'offer_exposure'")
"""In the text: for a parameter that an index's condition names, SQLite plans a statement anew each time (0.2 ms)."""


def _named(ids: Sequence[str]) -> tuple[int, dict[str, str]]:
    """The ids as parameters of a statement that is made for so many."""
    if len(ids) == 1:
        return 1, {"id0": ids[0]}
    most = next((size for size in _IDS if size >= len(ids)), len(ids))
    return most, {f"id{place}": ids[min(place, len(ids) - 1)] for place in range(most)}


@lru_cache(maxsize=len(_IDS) + 8)
def _ghosts(ids: int) -> Any:
    """(ts_us, payload) of answers about offers to a person with so many ids who is held out, newest first."""
    mine = [bindparam(f"id{place}", type_=String) for place in range(ids)]
    row = schema.decisions.c
    of_mine = (row.app_id == bindparam("app_id"), row.user_id.in_(mine), row.ts_us >= bindparam("since_us"))
    return select(row.ts_us, row.payload).where(*of_mine, schema.GHOST).order_by(row.ts_us.desc()).limit(MOST_EXPOSURES)


@lru_cache(maxsize=len(_IDS) + 8)
def _facts(ids: int) -> Any:
    """(offer_id, claims, null, null), of open ones (offer_id, null, end, claim and terms) and of exposures (null, null,
    ts_us, payload) of a person with so many ids, some of them perhaps twice."""
    mine = [bindparam(f"id{place}", type_=String) for place in range(ids)]
    claim, event = schema.claims.c, schema.events.c
    waiting = and_(schema.OPEN, or_(claim.expires_us.is_(None), claim.expires_us > bindparam("now_us")))
    number, words = cast(null(), BigInteger), cast(null(), String)
    of_mine = and_(claim.app_id == bindparam("app_id"), claim.user_id.in_(mine))
    claims = (
        select(claim.offer_id, func.count(), number, words)
        .where(of_mine, claim.state != RETURNED)
        .group_by(claim.offer_id)
    )
    still = (
        select(claim.offer_id, claim.expires_us, (claim.claim_id + " " + claim.terms).label("words"))
        .where(of_mine, waiting)
        .order_by(claim.expires_us.is_(None), claim.expires_us)
        .limit(MOST_OPEN)
        .subquery()
    )
    seen = [
        select(event.ts_us, event.payload)
        .where(event.app_id == bindparam("app_id"), event.user_id.in_(mine), event.ts_us >= bindparam("since_us"))
        .where(part, event.type == _EXPOSURE)
        .order_by(event.ts_us.desc())
        .limit(MOST_EXPOSURES)
        .subquery()
        for part in (schema.SHAPING, schema.OTHER)
    ]
    held = select(still.c.offer_id, number, still.c.expires_us, still.c.words)
    return union_all(claims, held, *(select(words, number, part.c.ts_us, part.c.payload) for part in seen))
