"""Claims of offers over HTTP: claim, use, give back. Each can be refused, and each may be sent twice.

A claim may be made with a visitor's token, for the visitor; that an offer was used or an order refunded is told by the
merchant's backend, with a server key. What a phone makes up as a request_id is kept apart from the backend's, as with
events. Whether the visitor refuses personalisation does not matter: an offer's rule is for everyone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sqlalchemy import Connection

from portraits.errors import StoreUnavailable
from serving.call import Call
from serving.context import Context
from serving.observed import lap
from serving.sent_events import own_event_id
from serving.stores import claim_steps
from serving.stores.claims import EXPIRED_AT_ONCE, expire_due
from serving.stores.database import now_us

EVERY_S = 30.0
"""How often a worker looks for claims whose time is over."""

log = logging.getLogger(__name__)
Step = Callable[[Connection, str, Mapping[str, Any]], dict[str, Any]]


async def post_claim(call: Call) -> dict[str, Any]:
    """POST /v1/offers/claim: the offer is the visitor's until it expires, and what it may cost is reserved."""
    return await _write(call, claim_steps.claim)


async def post_redeem(call: Call) -> dict[str, Any]:
    """POST /v1/offers/redeem: the claim was used for an order; what it cost is booked."""
    return await _write(call, claim_steps.redeem)


async def post_return(call: Call) -> dict[str, Any]:
    """POST /v1/offers/return: the claim, or what it cost with an order that was refunded, is given back."""
    return await _write(call, claim_steps.give_back)


async def _write(call: Call, step: Step) -> dict[str, Any]:
    await call.confirm()
    lap("read")
    body, visitor = call.body, call.grant.user_id
    if visitor:
        body = body | {"request_id": own_event_id(visitor, body["request_id"])}
    answer = await call.context.writer.write(call.app_id, lambda connection: step(connection, call.app_id, body))
    call.context.ledgers.moved(call.app_id)
    lap("write")
    return answer


async def keep_expiring(context: Context) -> None:
    """Lets claims expire whose time is over, until it is cancelled. Any number of workers may do so at once."""
    while True:
        try:
            await expire(context)
        except StoreUnavailable:
            pass  # then next time
        except Exception:  # once it ended, nothing would expire any more
            log.exception("claims whose time is over could not expire")
        await asyncio.sleep(EVERY_S)


async def expire(context: Context) -> int:
    """Lets every claim expire whose time is over, a few in a transaction; how many did. Raises StoreUnavailable."""
    expired, at_us = 0, now_us()
    for app_id in await context.reads.quick(context.store.apps_with_claims):
        try:
            while await context.reads.quick(context.store.has_due, app_id, at_us):
                write = partial(expire_due, app_id=app_id, at_us=at_us)
                expired += await context.writer.write(app_id, write, EXPIRED_AT_ONCE)
        except StoreUnavailable:
            raise
        except Exception:  # the other apps' expire all the same
            log.exception("claims of app %s whose time is over could not expire", app_id)
    return expired
