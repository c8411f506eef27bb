"""What an answer stands on, and the row that is kept of it: the same for items and for offers.

One read of the store gives all that an answer needs. When the store cannot be read, the last model answers with
nothing personal and says `degraded`; when a bundle is broken or missing, the catalogue alone answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, NamedTuple

from portraits.decision_ids import draw_of, signed
from portraits.errors import StoreUnavailable
from portraits.history import NOBODY
from recommender.types import ANYTHING, Filters, Query
from serving.call import Call
from serving.codec import encode
from serving.models import Model
from serving.observed import lap
from serving.stores.database import now_us
from serving.stores.events import DecisionRow
from serving.stores.store import OnlineState

TREATED, CONTROL = "treated", "control"
_NO_CONDITION = asdict(ANYTHING)


class Given(NamedTuple):
    """What was answered, as the decisions keep it. arm: None where both arms are answered alike."""

    policy: str
    arm: str | None
    degraded: bool
    shown: Sequence[Any]


class Ground(NamedTuple):
    """What an answer stands on. `state` None: the store is away, so nothing is known of any visitor.

    `user_id`: of the person who asks, whichever of the linked ids the request names. `decision_id`: of the answer.
    """

    model: Model | None
    state: OnlineState | None
    user_id: str
    decision_id: str


async def ground_of(call: Call, user_id: str, shown_to: str = "") -> Ground:
    """`user_id`: whose events and consent are read; `shown_to`: who is only recorded."""
    try:
        state = await call.state(user_id)
        lap("read")
        model = await call.context.models.model(call.app_id, state)
        lap("model")
        return Ground(model, state, state.user_id or shown_to, signed(call.grant.tenant.salt))
    except StoreUnavailable:
        lap("read")
        last = await call.context.models.last(call.app_id)
        lap("model")
        return Ground(last, None, user_id or shown_to, signed(call.grant.tenant.salt))


def known_as(ground: Ground) -> str:
    return ground.user_id if ground.model is None or ground.state is None else ground.model.known_as(ground.state)


def query_of(call: Call, user_id: str, decision_id: str, *, personalized: bool) -> Query:
    """The request; where it does not name the visitor's hour, it is now by the app's clock."""
    body, settings, now = call.body, call.grant.settings, datetime.now(UTC)
    context, filters = body.get("context") or {}, body.get("filters") or {}
    hour, diversity = context.get("hour"), body.get("diversity", 0.0)  # of a call without the field: none
    return Query(
        user_id=user_id,
        n=body["n"],
        now=now,
        placement=body.get("placement"),
        platform=body.get("platform"),
        scene=body.get("scene"),
        item_id=body.get("item_id"),
        store_id=body.get("store_id"),
        content_id=body.get("content_id"),
        cart=context.get("cart") or (),
        hour=now.astimezone(call.grant.zone).hour if hour is None else hour,
        filters=ANYTHING if filters == _NO_CONDITION else Filters(**filters),
        exclude=body.get("exclude") or (),
        lang=body["lang"],
        personalized=personalized,
        allow_seen=body.get("allow_seen"),
        diversity=settings.diversity if diversity is None else diversity,
        exploration=settings.exploration_share,
        draw=draw_of(decision_id),
    )


def record(call: Call, query: Query, ground: Ground, given: Given) -> str:
    """Has the answer written down soon, as a row of the contract's decisions; its id."""
    decision_id, user_id = ground.decision_id, ground.user_id or NOBODY
    row = {
        "decision_id": decision_id,
        "user_id": user_id,
        "ts": query.now.isoformat(),
        "placement": query.placement,
        "version": ground.model.name if ground.model is not None else None,
        "policy": given.policy,
        "arm": given.arm,
        "degraded": given.degraded,
        "candidates": encode(given.shown).decode(),
    }
    payload = encode(row).decode()
    call.context.writer.behind(call.app_id, DecisionRow(decision_id, user_id, now_us(), payload))
    if given.degraded:
        call.context.metrics.degraded[(_why(ground),)] += 1
    lap("record")
    return decision_id


def _why(ground: Ground) -> str:
    """Why an answer is degraded, in a word of a closed list."""
    if ground.state is None:
        return "store"
    if ground.model is None or ground.model.version is None:
        return "no_model"
    return "broken_model" if ground.model.problem is not None else "other"
