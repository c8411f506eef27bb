"""The life of a claim: claimed, then redeemed, returned or expired; a redemption may be returned, too.

Each step is one write transaction: the claim's row, the sums that it is in (`books`), the contract's event for the
lake, and the request that asked for it. Writers take turns on both databases (`dialect`), so a step sees all that came
before it; that the budgets have room is asked once more by the very statement that charges them.

A request is known again by its request_id, for `KEPT_DAYS`: what was done is answered again and not done twice. What is
refused leaves no trace, and is looked at anew when it is asked again.

A claim is charged to the local day in which it is made: what it holds, then what it did cost. The offer's days and
hours are for claiming; what is claimed can be used until it expires.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, text

from portraits.errors import InvalidValue, NothingThere, OfferRefused
from portraits.identity import merge_users
from recommender.offers.terms import Asker, Terms, may_claim
from serving.codec import encode
from serving.stores import schema
from serving.stores.books import CLAIMED, EXPIRED, REDEEMED, RETURNED, Change, charge
from serving.stores.claims import (
    COUNTED,
    EPOCH,
    IDS,
    Claim,
    answered,
    app_zone,
    by_id,
    claims_of,
    claims_of_order,
    is_of,
    keep_request,
    move,
    new_claim,
    offer_row,
    release,
    settle,
    tell,
    told,
)
from serving.stores.database import now_us
from serving.stores.dialect import ask_within, insert_tuples
from serving.stores.forgotten import forgotten_among
from serving.stores.orders import categories_of, order_of
from serving.stores.room import keep_total, need_room
from serving.stores.totals import total_within

Body = Mapping[str, Any]


def claim(connection: Connection, app_id: str, body: Body, at_us: int | None = None) -> dict[str, Any]:
    """Claims an offer inside a write transaction: `body` as `/v1/offers/claim` takes it; the answer.

    Raises OfferRefused, NothingThere (no such offer), UnknownApp; then the transaction must be undone.
    """
    return _once(connection, app_id, "claim", body, _claim, at_us=at_us)


def redeem(connection: Connection, app_id: str, body: Body, at_us: int | None = None) -> dict[str, Any]:
    """Uses a claim: what it holds is released, what it costs is booked. As `claim`; NothingThere: no such claim."""
    return _once(connection, app_id, "redeem", body, _redeem, at_us=at_us)


def give_back(connection: Connection, app_id: str, body: Body, at_us: int | None = None) -> dict[str, Any]:
    """Gives back a claim, or a redemption whose order was refunded: it holds and costs nothing, and frees the person's
    limit. As `redeem`."""
    return _once(connection, app_id, "return", body, _give_back, at_us=at_us)


def _once(
    connection: Connection, app_id: str, what: str, body: Body, step: Callable[..., Claim], *, at_us: int | None
) -> dict[str, Any]:
    asked = sorted((name, value) for name, value in body.items() if value is not None)
    content = hashlib.blake2b(encode([what, asked]), digest_size=8).hexdigest()
    request_id = body["request_id"]
    done = answered(connection, app_id, request_id)
    if done is not None:
        if done[0] != content:
            raise OfferRefused(
                "request_conflict", request_id, "this request_id was used for something else; take another"
            )
        return dict(json.loads(done[1]))
    at_us = now_us() if at_us is None else at_us
    after = step(connection, app_id, body, at_us)
    tell(connection, app_id, what, [after], at_us)
    answer = told(after)
    keep_request(connection, app_id, (request_id, content, after.claim_id, encode(answer).decode(), at_us))
    return answer


def _claim(connection: Connection, app_id: str, body: Body, at_us: int) -> Claim:
    user_id, offer_id = body["user_id"], body["offer_id"]
    if forgotten_among(connection, app_id, [user_id]):
        raise OfferRefused("visitor_forgotten", offer_id, "the visitor asked to be forgotten; nothing is kept of them")
    offer = offer_row(connection, app_id, offer_id)
    if offer is None:
        raise NothingThere("offer", offer_id, "send it with POST /v1/offers/catalogue or: huaxiang import offers")
    zone, at = app_zone(connection, app_id), EPOCH + timedelta(microseconds=at_us)
    may_claim(offer, _asker(connection, app_id, user_id, offer), body.get("store_id"), at.astimezone(zone))
    made = new_claim(offer, user_id, f"c-{secrets.token_hex(12)}", at_us, zone)
    if made.reserved is None and total_within(connection, app_id, made.day) is not None:
        raise OfferRefused("no_max_cost", offer_id, "under one budget for all offers it needs max_cost, to be held")
    made = made._replace(decision_id=body.get("decision_id"), store_id=body.get("store_id"))
    need_room(connection, app_id, offer, made, at_us)
    if not charge(connection, app_id, offer, made.day, Change(open=1, reserved=made.held)):
        raise RuntimeError(f"the books of offer {offer_id} moved in a transaction that no other writer is in")
    keep_total(connection, app_id, offer_id, made.day, at_us)
    insert_tuples(connection, schema.claims, [(app_id, *made)])
    return made


def _asker(connection: Connection, app_id: str, user_id: str, offer: Mapping[str, Any]) -> Asker:
    which = {"app_id": app_id, "user_id": user_id, "offer_id": offer["offer_id"]}
    claims = 0 if offer.get("per_user_limit") is None else int(ask_within(connection, COUNTED, which)[0][0])
    return Asker(_tier(connection, app_id, user_id, offer), claims)


def _tier(connection: Connection, app_id: str, user_id: str, offer: Mapping[str, Any]) -> str | None:
    """The person's membership tier, where the offer asks for one. A rule is a rule: it holds for who refuses
    personalisation as for everyone."""
    if offer.get("kind") != "member" and not offer.get("tiers"):
        return None
    rows = ask_within(connection, _USERS, {"app_id": app_id, "user_id": user_id})
    people = ask_within(connection, _PERSON, {"app_id": app_id, "user_id": user_id})
    user = merge_users({key: json.loads(payload) for key, payload in rows}, people[0][0] if people else user_id)
    return None if user is None else user.get("member_tier")


def _redeem(connection: Connection, app_id: str, body: Body, at_us: int) -> Claim:
    before = _found(connection, app_id, body, at_us)
    _need_usable(before, at_us)
    terms = Terms.from_text(before.terms)
    store_id = _need_order(connection, app_id, before, terms, body, at_us)
    amount = body.get("amount")
    if amount is not None and amount < (terms.minimum or 0):
        raise OfferRefused("below_minimum", before.claim_id, f"the order's amount {amount} is below {terms.minimum}")
    discount = body.get("discount")
    if amount is not None and discount is not None and discount > amount:
        raise InvalidValue("discount", discount, f"no more than the order's amount, {amount}")
    cost = terms.cost(amount, discount)
    if before.reserved is not None and cost > before.reserved:
        why = f"discount {cost} is more than the {before.reserved} that were reserved for it"
        raise OfferRefused("over_reserved", before.claim_id, why)
    order_id = body.get("order_id")
    _need_alone(connection, app_id, before, terms, order_id)
    after = before._replace(state=REDEEMED, cost=cost, order_id=order_id, store_id=store_id, changed_us=at_us)
    if before.reserved is None:
        return _settle_unreserved(connection, app_id, before, after)
    return settle(connection, app_id, before, after)


def _need_order(  # noqa: PLR0917
    connection: Connection, app_id: str, before: Claim, terms: Terms, body: Body, at_us: int
) -> str | None:
    """The order's store. Raises OfferRefused where it is none of the offer's, or no item of the order is what the offer
    is for: by the request, else by what is known of the order; of what nothing is known nothing is asked."""
    items, store_id = body.get("items") or (), body.get("store_id")
    if body.get("order_id") is not None and ((terms.scoped and not items) or (terms.stores and store_id is None)):
        order = order_of(connection, app_id, before.user_id, body["order_id"], at_us)
        items, store_id = items or order.items, store_id or order.store_id
    store_id = store_id or before.store_id
    if terms.stores and store_id not in terms.stores:
        raise OfferRefused(
            "wrong_store", before.claim_id, f"it holds in stores {', '.join(terms.stores)}; say store_id"
        )
    if terms.scoped and items and not terms.fits(categories_of(connection, app_id, items)):
        whom = [f"{name} {', '.join(some[:5])}" for name, some in _scope(terms) if some]
        why = f"none of the order's items is of {' or '.join(whom)}; it takes another claim or another order"
        raise OfferRefused("wrong_items", before.claim_id, why)
    return store_id


def _scope(terms: Terms) -> Sequence[tuple[str, Sequence[str]]]:
    return ("items", terms.items), ("categories", terms.categories)


def _settle_unreserved(connection: Connection, app_id: str, before: Claim, after: Claim) -> Claim:
    """Nothing was held for it, as the offer had no budget; by now it may have one."""
    offer = offer_row(connection, app_id, before.offer_id) or {"offer_id": before.offer_id}
    need_room(connection, app_id, offer, after._replace(reserved=after.cost), after.changed_us)
    if not charge(connection, app_id, offer, before.day, Change(open=-1, redeemed=1, settled=after.cost)):
        raise RuntimeError(f"the books of offer {before.offer_id} moved in a transaction that no other writer is in")
    keep_total(connection, app_id, before.offer_id, before.day, after.changed_us)
    return move(connection, app_id, before, after)


def _need_alone(connection: Connection, app_id: str, before: Claim, terms: Terms, order_id: str | None) -> None:
    """Raises OfferRefused where another offer was used for the same order and one of the two stands alone."""
    if order_id is None:
        return
    for claim_id, theirs in ask_within(connection, _OF_ORDER, {"app_id": app_id, "order_id": order_id}):
        if terms.alone or Terms.from_text(theirs).alone:
            why = f"order {order_id!r} has claim {claim_id!r} already, and one of the two stands alone"
            raise OfferRefused("not_stackable", before.claim_id, why)


def _give_back(connection: Connection, app_id: str, body: Body, at_us: int) -> Claim:
    before = _found(connection, app_id, body, at_us, body.get("order_id"))
    if before.state not in (CLAIMED, REDEEMED):
        raise _is_over(before)
    return release(connection, app_id, before, RETURNED, at_us)


def _found(connection: Connection, app_id: str, body: Body, at_us: int, order_id: str | None = None) -> Claim:
    """The claim that a request is about. `order_id`: that it was used for. Raises NothingThere, InvalidValue, and
    OfferRefused where what else is said of the claim is not so."""
    claim_id, user_id, offer_id = body.get("claim_id"), body.get("user_id"), body.get("offer_id")
    if claim_id is not None:
        one = by_id(connection, app_id, claim_id)
        if one is None:
            raise NothingThere("claim", claim_id, "make one with POST /v1/offers/claim")
        for name, said, is_so in (
            ("user_id", user_id, user_id is None or is_of(connection, app_id, one, user_id)),
            ("offer_id", offer_id, offer_id in (None, one.offer_id)),
            ("order_id", order_id, order_id in (None, one.order_id)),
        ):
            if not is_so:
                raise OfferRefused("wrong_claim", claim_id, f"its {name} is not {said!r}; leave out one of the two")
        return one
    if user_id is None or offer_id is None:
        raise InvalidValue("claim_id", None, "a claim, or the user_id and the offer_id of one")
    if order_id is None:
        found = next(claims_of(connection, app_id, user_id, offer_id, at_us), None)
    else:
        found = next(iter(claims_of_order(connection, app_id, user_id, offer_id, order_id)), None)
    if found is None:
        which = f"{offer_id} of {user_id}" + ("" if order_id is None else f" for order {order_id}")
        raise NothingThere("claim", which, "make one with POST /v1/offers/claim")
    return found


def _need_usable(one: Claim, at_us: int) -> None:
    if one.state != CLAIMED:
        raise _is_over(one)
    if one.is_due(at_us):
        raise _is_over(one._replace(state=EXPIRED))


def _is_over(one: Claim) -> OfferRefused:
    return OfferRefused(f"claim_{one.state}", one.claim_id, f"the claim is {one.state}; it takes another claim")


_PERSON = text("SELECT user_id FROM people WHERE app_id = :app_id AND id = :user_id")
_USERS = text(
    f"SELECT key, payload FROM catalogue WHERE app_id = :app_id AND name = 'users' AND key IN ({IDS})"  # noqa: S608
)
_OF_ORDER = text(
    "SELECT claim_id, terms FROM claims WHERE app_id = :app_id AND order_id = :order_id AND state = 'redeemed'"
)
