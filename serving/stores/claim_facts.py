"""Claims that a platform tells of with events (`offer_claim`, `offer_redeem`, `offer_return`, `offer_expire`).

They are facts: stored whatever they say, and counted in the same rows and sums as claims that were asked for, each
event once, however often it is sent. An event that names a claim of ours (`claim_id` among its properties; the person's
own, of this offer) is about that one; else a redemption, a return or an expiry is about the person's own claim of the
offer: the open one that expires first, a return that names an order the one of that order. A redemption of what nobody
claimed counts as a claim, too; so does one of a claim that had expired, or was given back before; a return or an expiry
of what is not there changes nothing.

What names a claim of ours and tells of a step that is known already tells nothing: our own event of that step is
stored, so it is a duplicate, and not stored beside it. An event that names no claim, but an order, is known by order,
offer and person: where a call of ours booked that redemption, or it was given back, whoever told of it, it is not
booked again. What names neither cannot be told from another redemption, and counts: its event_id alone says that it is
the same. (Not its moment: a pack of coupons is claimed, and two coupons of one payment are used, at the same one; and
what is taken for a repetition, but is none, costs money that no budget knows of.)

A claim_id that is none of ours is the platform's name of the coupon, kept with the claim that its first event was
about: what tells of that coupon again is about the same claim, under whatever event_id, and what tells of another
coupon is not, though person, offer and order are the same.

Nobody asked whether there was room. What goes beyond the budget closes the offer, until its row gets a higher one;
what goes beyond a day's budget or the app's for all offers needs no closing, as nothing more is given anyway.

Files that are imported (`huaxiang import events`) go to the lake and are not counted here: they are history.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from portraits.errors import InvalidValue
from recommender.offers.eligible import stated
from recommender.offers.terms import Terms
from serving.codec import encode
from serving.stores import schema
from serving.stores.books import CLAIMED, EXPIRED, REDEEMED, RETURNED, Change, book_of, bound, change, close, local_day
from serving.stores.claims import (
    DAY_US,
    IDS,
    KEPT_DAYS,
    SELECT,
    Claim,
    answered,
    app_zone,
    by_id,
    claim_named,
    claims_of,
    claims_of_order,
    is_of,
    keep_request,
    new_claim,
    offer_row,
    release,
    settle,
)
from serving.stores.database import now_us
from serving.stores.dialect import ask_within, do_within, insert_tuples
from serving.stores.events import EventRow
from serving.stores.totals import total_within

BUDGET, DAILY_BUDGET, TOTAL = "budget", "daily_budget", "total"
MOST_COST = 10**12
"""What one event may cost, minor units: sums stay far from what 64 bits hold."""
TOLD_BACK, NAMED = "told back", "named"
"""Contents of what is kept of facts: an event that told nothing new, and a platform's name of a claim."""
OUR_CALL, FACT = "our call", "a fact"
NOTHING_KNOWN = {"kind": "cash", "value": 0}
"""The rule of an offer that the catalogue does not know: it holds nothing, and costs what is told."""


class Beyond(NamedTuple):
    """What facts of an offer went beyond: a budget of it (BUDGET or DAILY_BUDGET), or the app's for all (TOTAL)."""

    offer_id: str
    what: str


class Counted(NamedTuple):
    """What became of facts. told_back: rows that told nothing new, and are stored no more."""

    beyond: list[Beyond]
    told_back: list[EventRow]


class _Step(NamedTuple):
    """The claim that a fact was about; `new`: it told something."""

    claim: Claim | None
    new: bool = True


class _Fact(NamedTuple):
    """An event as it counts. `day`: local. `said`: its columns."""

    fact_id: str
    at_us: int
    day: int
    user_id: str
    said: Mapping[str, Any]
    offer: Mapping[str, Any]
    zone: ZoneInfo

    @property
    def offer_id(self) -> str:
        return str(self.offer["offer_id"])

    @property
    def claim_id(self) -> str | None:
        """The claim that it names: one of ours, or a coupon of the platform's."""
        return claim_named(self.said.get("properties"))

    @property
    def name_id(self) -> str | None:
        """Under what the claim is kept that is the platform's coupon."""
        named = f"{self.offer_id} {self.claim_id}".encode()
        return None if self.claim_id is None else f"n-{hashlib.blake2b(named, digest_size=12).hexdigest()}"


def count_facts(connection: Connection, app_id: str, rows: Sequence[EventRow], at_us: int | None = None) -> Counted:
    """Counts events that were just stored, inside the same write transaction."""
    facts, found = [row for row in rows if row.type in _STEPS], Counted([], [])
    if not facts:
        return found
    at_us = now_us() if at_us is None else at_us
    zone = app_zone(connection, app_id)
    for row in facts:
        said = json.loads(row.payload)
        fact_id = f"e-{hashlib.blake2b(f'{row.day} {row.event_id}'.encode(), digest_size=12).hexdigest()}"
        recent = row.ts_us > at_us - KEPT_DAYS * DAY_US  # older ones may have been counted, and that forgotten
        if said.get("offer_id") is None or not recent:
            continue
        known = answered(connection, app_id, fact_id)
        if known is not None:
            if known[0] == TOLD_BACK:
                found.told_back.append(row)
            continue
        offer = {"offer_id": said["offer_id"]} | (offer_row(connection, app_id, said["offer_id"]) or {})
        offer = offer if stated(offer) else offer | NOTHING_KNOWN
        day = local_day(row.ts_us, zone)
        fact = _Fact(fact_id, row.ts_us, day, row.user_id, said, offer, zone)
        if not _counted(connection, app_id, fact, _STEPS[row.type], found.beyond):
            found.told_back.append(row)
    for row in found.told_back:
        do_within(connection, _UNSTORED, {"app_id": app_id, "event_id": row.event_id, "day": row.day})
    return found


def _counted(
    connection: Connection, app_id: str, fact: _Fact, step: Callable[..., _Step], beyond: list[Beyond]
) -> bool:
    """Counts one, and adds where it went beyond a budget; whether it told anything."""
    before, total = book_of(connection, app_id, fact.offer_id, fact.day), total_within(connection, app_id, fact.day)
    claim, new = step(connection, app_id, fact)
    answer = "" if claim is None or not new else encode({"state": claim.state}).decode()
    kept = fact.fact_id, "" if new else TOLD_BACK, "" if claim is None else claim.claim_id, answer, fact.at_us
    keep_request(connection, app_id, kept)
    _keep_name(connection, app_id, fact, claim)
    after = book_of(connection, app_id, fact.offer_id, fact.day)
    if after.spent > max(before.spent, bound(fact.offer, BUDGET)) and close(connection, app_id, fact.offer_id, BUDGET):
        beyond.append(Beyond(fact.offer_id, BUDGET))
    if before.today <= bound(fact.offer, DAILY_BUDGET) < after.today:
        beyond.append(Beyond(fact.offer_id, DAILY_BUDGET))
    if total is not None:
        spent = total_within(connection, app_id, fact.day)
        if spent is not None and total.spent <= total.total.budget < spent.spent:
            beyond.append(Beyond(fact.offer_id, TOTAL))
    return new


def _claimed(connection: Connection, app_id: str, fact: _Fact) -> _Step:
    known = _named(connection, app_id, fact)
    if known is not None:  # what we were asked for is told back
        return _Step(known, new=False)
    made = _new(fact)
    change(connection, app_id, fact.offer_id, fact.day, Change(open=1, reserved=made.held))
    insert_tuples(connection, schema.claims, [(app_id, *made)])
    return _Step(made)


def _redeemed(connection: Connection, app_id: str, fact: _Fact) -> _Step:
    known = _named(connection, app_id, fact)
    again = known if known is not None and _is_known(connection, app_id, known, fact) else None
    again = _of_order(connection, app_id, fact) if known is None else again
    if again is not None:  # of a claim that came back unused, as far as we knew, it is news, though it costs nothing
        return _Step(again, new=again.state == RETURNED and _redeemed_by(connection, app_id, again) is None)
    known = known or _mine(connection, app_id, fact, CLAIMED)
    before = known or _new(fact)
    said = fact.said
    try:
        cost = Terms.from_text(before.terms).cost(said.get("amount"), said.get("discount"))
    except InvalidValue:  # nothing says how much, and a fact cannot be asked
        cost = 0
    cost = min(cost, MOST_COST)
    store_id, order_id = said.get("store_id") or before.store_id, said.get("order_id")
    after = before._replace(state=REDEEMED, cost=cost, store_id=store_id, order_id=order_id, changed_us=fact.at_us)
    if known is not None:
        return _Step(settle(connection, app_id, known, after))
    change(connection, app_id, fact.offer_id, fact.day, Change(redeemed=1, settled=cost))
    insert_tuples(connection, schema.claims, [(app_id, *after)])
    return _Step(after)


def _returned(connection: Connection, app_id: str, fact: _Fact) -> _Step:
    known = _named(connection, app_id, fact) or _mine(connection, app_id, fact, CLAIMED, REDEEMED)
    if known is None and fact.said.get("order_id") is not None:
        known = _mine(connection, app_id, fact, REDEEMED, RETURNED)
    if known is None or known.state not in (CLAIMED, REDEEMED):
        return _Step(known, known is None or known.state != RETURNED)
    return _Step(release(connection, app_id, known, RETURNED, fact.at_us))


def _expired(connection: Connection, app_id: str, fact: _Fact) -> _Step:
    known = _named(connection, app_id, fact) or _mine(connection, app_id, fact, CLAIMED)
    if known is None or known.state != CLAIMED:
        return _Step(known, known is None or known.state != EXPIRED)
    return _Step(release(connection, app_id, known, EXPIRED, fact.at_us))


_STEPS_OF = text(
    "SELECT content, answer FROM claim_requests WHERE app_id = :app_id AND claim_id = :claim_id ORDER BY at_us"
)
_PERHAPS_KNOWN = text(
    f"{SELECT} AND offer_id = :offer_id AND order_id = :order_id AND user_id IN ({IDS}) AND (state = 'returned' OR "  # noqa: S608 - constants
    "EXISTS (SELECT 1 FROM claim_requests AS r WHERE r.app_id = claims.app_id AND r.claim_id = claims.claim_id "
    """AND r.content <> '' AND replace(r.answer, '"state":"redeemed"', '') <> r.answer)) ORDER BY changed_us DESC"""
)
"""Claims of a person for an order that were given back, or redeemed by a call of ours, though perhaps not last: one
statement, however many claims name the order."""
_BY_NAME = text("SELECT claim_id FROM claim_requests WHERE app_id = :app_id AND request_id = :name_id")
_OTHERWISE = text(
    "SELECT 1 FROM claim_requests WHERE app_id = :app_id AND claim_id = :claim_id "  # noqa: S608 - constants
    f"AND content = '{NAMED}' AND request_id <> :name_id LIMIT 1"
)
_UNSTORED = text("DELETE FROM events WHERE app_id = :app_id AND event_id = :event_id AND day = :day")
_STEPS: Mapping[str, Callable[..., _Step]] = {
    "offer_claim": _claimed,
    "offer_redeem": _redeemed,
    "offer_return": _returned,
    "offer_expire": _expired,
}


def _new(fact: _Fact) -> Claim:
    made = new_claim(fact.offer, fact.user_id, f"f{fact.fact_id[1:]}", fact.at_us, fact.zone)
    return made._replace(decision_id=fact.said.get("decision_id"), store_id=fact.said.get("store_id"))


def _named(connection: Connection, app_id: str, fact: _Fact) -> Claim | None:
    """The claim that the event names, where it is the person's own and of the event's offer."""
    named, name_id = fact.claim_id, fact.name_id
    if named is None or name_id is None:
        return None
    kept = (one for (one,) in ask_within(connection, _BY_NAME, {"app_id": app_id, "name_id": name_id}))
    found = (by_id(connection, app_id, one) for one in (named, *kept))
    own = (one for one in found if one and one.offer_id == fact.offer_id)
    return next((one for one in own if is_of(connection, app_id, one, fact.user_id)), None)


def _keep_name(connection: Connection, app_id: str, fact: _Fact, one: Claim | None) -> None:
    """Keeps what the platform calls the claim that its event was about."""
    name_id = fact.name_id
    if one is None or name_id is None or fact.claim_id == one.claim_id:
        return
    if not ask_within(connection, _BY_NAME, {"app_id": app_id, "name_id": name_id}):
        keep_request(connection, app_id, (name_id, NAMED, one.claim_id, "", fact.at_us))


def _may_be(connection: Connection, app_id: str, fact: _Fact, one: Claim) -> bool:
    """Whether a claim may be the one that an event is about: not where both are named, and apart."""
    which = {"app_id": app_id, "claim_id": one.claim_id, "name_id": fact.name_id}
    return fact.name_id is None or not ask_within(connection, _OTHERWISE, which)


def _is_known(connection: Connection, app_id: str, named: Claim, fact: _Fact) -> bool:
    """Whether the redemption of the claim that an event names is known: it is redeemed; or it was given back, after the
    moment that the event tells of, or after a redemption that no order tells from this one."""
    if named.state != RETURNED:
        return named.state == REDEEMED
    order_id = fact.said.get("order_id")
    same = order_id is None or named.order_id in (None, order_id)
    return fact.at_us < named.changed_us or (same and _redeemed_by(connection, app_id, named) is not None)


def _of_order(connection: Connection, app_id: str, fact: _Fact) -> Claim | None:
    """The person's claim whose redemption for the event's order is known already."""
    order_id = fact.said.get("order_id")
    if order_id is None:
        return None
    which = {"app_id": app_id, "user_id": fact.user_id, "offer_id": fact.offer_id, "order_id": order_id}
    found = [Claim._make(row) for row in ask_within(connection, _PERHAPS_KNOWN, which)]
    known = (one for one in found if one.state == RETURNED or _is_by_call(connection, app_id, one))
    return next((one for one in known if _may_be(connection, app_id, fact, one)), None)


def _is_by_call(connection: Connection, app_id: str, one: Claim) -> bool:
    return _redeemed_by(connection, app_id, one) == OUR_CALL


def _redeemed_by(connection: Connection, app_id: str, one: Claim) -> str | None:
    """What redeemed a claim last, OUR_CALL or FACT; None: nothing did that is known."""
    by = None
    for content, answer in ask_within(connection, _STEPS_OF, {"app_id": app_id, "claim_id": one.claim_id}):
        if answer and json.loads(answer)["state"] == REDEEMED:
            by = OUR_CALL if content else FACT
    return by or (FACT if one.order_id is not None else None)


def _mine(connection: Connection, app_id: str, fact: _Fact, *states: str) -> Claim | None:
    """The person's claim in one of these states; a redeemed one by its order, where the event names one."""
    order_id = fact.said.get("order_id") if REDEEMED in states else None
    whose = connection, app_id, fact.user_id, fact.offer_id
    if order_id is None:
        every: Iterable[Claim] = claims_of(*whose, fact.at_us, states=states)
    else:
        every = claims_of_order(*whose, order_id)
    mine = (one for one in every if one.state in states)
    return next((one for one in mine if _may_be(connection, app_id, fact, one)), None)
