"""What a visitor's token may do: only what is the visitor's own, and nothing that moves money or links people.

Whoever holds a phone can send what the phone can. So a token acts for one `user_id`, calls the routes that say so
(`Route.user`), and what it reports is what a page can see: what was paid, returned or redeemed, what was earned and
what points were given is told by the merchant's backend, with a server key. Nor can a phone rewrite what is long past:
of its events none is older than `LONGEST_AGO`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from portraits.checking import Rejection
from portraits.errors import NotAllowed
from serving.call import Call
from serving.forms import Form
from serving.sent_events import Batch, rejected_row
from serving.stores.events import EventRow
from serving.tokens import Token

BACKEND_TYPES = frozenset(
    {"purchase", "refund", "order_cancel", "offer_claim", "offer_redeem", "offer_return", "offer_expire"}
)
"""Facts of orders and budgets: one that is made up would empty a budget or move what is learnt from sales."""
BACKEND_COLUMNS = ("revenue", "points")
LONGEST_AGO = timedelta(days=7)
"""How late a phone may tell what happened: it may have been off the net for days."""


async def post_token(call: Call) -> dict[str, Any]:
    """POST /v1/token: a token for one visitor of the app, at most as long as the key that makes it lives."""
    await call.confirm()
    now, grant = time.time(), call.grant
    until = int(min(now + call.body["ttl"], grant.until))
    token = Token(call.app_id, grant.key_id, call.body["user_id"], until)
    text = call.context.tenants.tokens.make(token, now)
    return {"token": text, "expires": datetime.fromtimestamp(until, UTC).isoformat()}


def with_own_id(form: Form, sent: Mapping[str, Any], visitor: str) -> dict[str, Any]:
    """What a visitor sent, with the visitor's user_id where there is a place for one and none is named."""
    body = dict(sent)
    if form.has("user_id"):
        body = _named(body, visitor)
    if form.has("events") and isinstance(body.get("events"), list):
        body["events"] = [_named(one, visitor) if isinstance(one, Mapping) else one for one in body["events"]]
    return body


def need_own(read: Mapping[str, Any], visitor: str) -> None:
    """Raises NotAllowed when the request names another visitor."""
    if read.get("user_id", visitor) != visitor:
        raise NotAllowed("the user_id of this token")


def only_own(batch: Batch, visitor: str) -> Batch:
    """The batch without the events that the visitor may not send, which are refused one by one."""
    kept = Batch(batch.at_us, [], [], list(batch.rejected))
    for place, row in zip(batch.places, batch.rows, strict=True):
        refused = _refused(row, batch.at_us, visitor)
        if refused is None:
            kept.rows.append(row)
            kept.places.append(place)
        else:
            kept.rejected.append(rejected_row(place, refused, json.loads(row.payload), batch.at_us))
    return kept


def _named(record: Mapping[str, Any], visitor: str) -> dict[str, Any]:
    return {**record, "user_id": visitor} if record.get("user_id") in (None, "") else dict(record)


def _refused(row: EventRow, at_us: int, visitor: str) -> Rejection | None:
    if row.user_id != visitor:
        return Rejection("user_id", row.user_id, "not the user_id of this token")
    if row.type in BACKEND_TYPES:
        return Rejection("type", row.type, "only a server key may send this type")
    told = json.loads(row.payload)
    if row.ts_us < at_us - LONGEST_AGO // timedelta(microseconds=1):
        return Rejection("ts", told["ts"], f"more than {LONGEST_AGO.days} days ago: only a server key may send it")
    column = next((column for column in BACKEND_COLUMNS if told.get(column) is not None), None)
    if column is not None:
        return Rejection(column, str(told[column]), "only a server key may tell this")
    return None
