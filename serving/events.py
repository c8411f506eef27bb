"""Events from outside: checked one by one (`sent_events`), stored together, on disk before the answer."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection

from portraits.forgotten import REASON, refused_ids
from serving.call import Call
from serving.observed import lap
from serving.sent_events import ROW_TEXT_LIMIT, SOURCE, Batch, prepare
from serving.stores.claim_facts import TOTAL, Beyond, count_facts
from serving.stores.events import Outcome, RejectedRow, insert_events, insert_rejected
from serving.stores.forgotten import forgotten_among
from serving.stores.mentions import REFERRED, without_referrer
from serving.visitors import only_own

CONFLICT = "conflict: this event_id is known with other content"
MANY = 100
"""Events above which a batch is checked in a thread: other requests would wait some 10 ms for it, and more."""
log = logging.getLogger(__name__)
Keep = Callable[[Connection, str, Sequence[RejectedRow]], Sequence[RejectedRow]]


async def post_events(call: Call) -> dict[str, Any]:
    """POST /v1/events: stores what can be stored and says what became of each."""
    await call.confirm()
    lap("read")
    sent, visitor = call.body["events"], call.grant.user_id
    batch = await asyncio.to_thread(_checked, sent, visitor) if len(sent) > MANY else _checked(sent, visitor)
    lap("check")
    keep = partial(call.context.quarantine.fitting, limit=call.grant.settings.quarantine_limit)
    beyond: list[Beyond] = []
    write = partial(store_batch, app_id=call.app_id, batch=batch, keep=keep, beyond=beyond)
    outcomes, rejected = await call.context.writer.write(call.app_id, write, len(sent))
    lap("write")
    accepted, duplicates = outcomes.count("accepted"), outcomes.count("duplicate")
    _alarm(call, beyond)
    call.context.metrics.received(accepted, duplicates, [(_class(row.reason), row.column) for row in rejected])
    return {
        "accepted": accepted,
        "duplicates": duplicates,
        "rejected": [{"index": row.line, "field": row.column, "reason": row.reason} for row in rejected],
    }


def _alarm(call: Call, beyond: Sequence[Beyond]) -> None:
    """What was given away without asking, beyond what the merchant wanted to spend, is for somebody to look at."""
    for offer_id, what in beyond:
        call.context.metrics.offers_beyond[(what,)] += 1
        of = "the offer_budget of all offers, with" if what == TOTAL else f"the {what} of"
        log.warning("app %s: claims that a platform told of went beyond %s offer %s", call.app_id, of, offer_id)


def _checked(sent: Sequence[Any], visitor: str) -> Batch:
    batch = prepare(sent, datetime.now(UTC), visitor)
    return only_own(batch, visitor) if visitor else batch


def _all(_: Connection, __: str, rows: Sequence[RejectedRow]) -> Sequence[RejectedRow]:
    return rows


def store_batch(
    connection: Connection, app_id: str, batch: Batch, keep: Keep = _all, beyond: list[Beyond] | None = None
) -> tuple[list[Outcome], list[RejectedRow]]:
    """Stores a batch inside a transaction; what became of each row that was taken, and all that was refused, in
    request order. `keep`: which of the refused rows are stored; `beyond` gets what claims that were told of went
    beyond."""
    batch = _without_forgotten(connection, app_id, batch)
    outcomes = insert_events(connection, app_id, batch.rows)
    new = [row for row, outcome in zip(batch.rows, outcomes, strict=True) if outcome == "accepted"]
    counted = count_facts(connection, app_id, new)
    if beyond is not None:
        beyond += counted.beyond
    for row in counted.told_back:
        outcomes[next(place for place, one in enumerate(batch.rows) if one is row)] = "duplicate"
    conflicts = [
        RejectedRow(
            batch.at_us, SOURCE, place, "event_id", row.event_id, CONFLICT, row.payload[:ROW_TEXT_LIMIT], row.user_id
        )
        for place, row, outcome in zip(batch.places, batch.rows, outcomes, strict=True)
        if outcome == "conflict"
    ]
    rejected = sorted([*batch.rejected, *conflicts], key=lambda row: row.line)
    insert_rejected(connection, app_id, keep(connection, app_id, rejected))
    return outcomes, rejected


def _without_forgotten(connection: Connection, app_id: str, batch: Batch) -> Batch:
    """The batch with the events of forgotten visitors refused, and nothing kept that names one."""
    refused = {place: _refused_ids(row) for place, row in enumerate(batch.rejected)}
    brought = {place: _referrer(row.payload) for place, row in enumerate(batch.rows) if REFERRED in row.payload}
    named = {row.user_id for row in batch.rows}.union(*refused.values(), brought.values())
    gone = forgotten_among(connection, app_id, named)
    if not gone:
        return batch
    kept = Batch(batch.at_us, [], [], [])
    for place, row in zip(batch.places, batch.rows, strict=True):
        if row.user_id in gone:
            kept.rejected.append(RejectedRow(batch.at_us, SOURCE, place, "user_id", "", REASON, ""))
        else:
            kept.rows.append(row._replace(payload=without_referrer(row.payload, gone)))
            kept.places.append(place)
    for place, bad in enumerate(batch.rejected):
        kept.rejected.append(bad if gone.isdisjoint(refused[place]) else bad._replace(value="", row="", user_id=None))
    return kept


def _refused_ids(row: RejectedRow) -> set[str]:
    return refused_ids(row.column, row.value, row.row) | ({row.user_id} if row.user_id else set())


def _class(reason: str) -> str:
    return {CONFLICT: "conflict", REASON: "forgotten"}.get(reason, "invalid")


def _referrer(payload: str) -> str:
    return str(json.loads(payload).get("referrer_user_id") or "")
