"""Answers: what a visitor is shown, which offers hold, what is like an item; each one recorded behind the answer.

One read of the store gives all that an answer needs. When the store cannot be read, the last model answers with
nothing personal and says `degraded`; when a bundle is broken or missing, the catalogue alone answers.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from portraits.errors import InvalidValue, StoreUnavailable
from recommender.answers.catalogue import Catalogue
from recommender.answers.offers import Eligible, OfferFacts, eligible
from recommender.answers.pipeline import popular_shelf, recommend, similar, together, trending
from recommender.bundles.bundle import Bundle
from recommender.types import Answer, Filters, Query, Ranked, State
from serving.call import Call
from serving.models import Model
from serving.stores.database import now_us
from serving.stores.events import DecisionRow
from serving.stores.store import OnlineState
from serving.tenants import in_control

TREATED, CONTROL = "treated", "control"
NOBODY = "-"
"""Who an answer was for when the request names no visitor."""


class Given(NamedTuple):
    """What was answered, as the decisions keep it. arm: None where both arms are answered alike."""

    policy: str
    arm: str | None
    degraded: bool
    shown: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Ground:
    """What an answer stands on. `state` None: the store is away, so nothing is known of any visitor.

    `user_id`: of the person who asks, whichever of the linked ids the request names.
    """

    model: Model | None
    state: OnlineState | None
    user_id: str


async def post_recommend(call: Call) -> dict[str, Any]:
    """POST /v1/recommend: the best items for a visitor, with reasons."""
    body = call.body
    ground = await _ground(call, body["user_id"])
    consents = ground.state is not None and ground.state.consent
    query = _query(call, _known_as(ground), personalized=consents and body["personalized"])
    # Where nothing personal may be used both arms are answered alike, and the answer belongs to neither.
    control = query.personalized and in_control(call.grant.tenant, ground.user_id)
    arm = None if not query.personalized else CONTROL if control else TREATED
    if ground.model is None:
        answer = Answer((), degraded=True, policy="fallback")
    elif control:
        answer = popular_shelf(ground.model.bundle, ground.model.catalogue, query, ground.model.promotions)
    else:
        model, recent = ground.model, ground.state.recent if ground.state is not None else ()
        answer = recommend(model.bundle, model.catalogue, query, State(recent), model.promotions)
    return _respond(call, ground, query, answer, arm) | {"user_id": ground.user_id}


async def post_similar(call: Call) -> dict[str, Any]:
    """POST /v1/similar: items like the one named; nothing personal is used."""
    return await _impersonal(call, similar)


async def post_together(call: Call) -> dict[str, Any]:
    """POST /v1/together: items bought in one order with those named; nothing personal is used."""
    if call.body["item_id"] is None and not call.body["items"]:
        raise InvalidValue("item_id", None, "an item, or items in `items`")
    call.body["context"] = {"cart": call.body.pop("items")}
    return await _impersonal(call, together)


async def post_trending(call: Call) -> dict[str, Any]:
    """POST /v1/trending: items that rise most now; nothing personal is used."""
    return await _impersonal(call, trending)


async def _impersonal(call: Call, door: Callable[[Bundle | None, Catalogue, Query], Answer]) -> dict[str, Any]:
    ground = await _ground(call, "", call.body.get("user_id") or "")
    query = _query(call, ground.user_id, personalized=False)
    if ground.model is None:
        answer = Answer((), degraded=True, policy="fallback")
    else:
        answer = door(ground.model.bundle, ground.model.catalogue, query)
    return _respond(call, ground, query, answer, None)


async def post_offers(call: Call) -> dict[str, Any]:
    """POST /v1/offers: the offers whose own conditions hold now; there may rightly be none."""
    ground = await _ground(call, call.body["user_id"])
    query = _query(call, ground.user_id, personalized=False)
    user = ground.state.user if ground.state is not None else None
    offers = ground.model.offers if ground.model is not None else []
    catalogue = ground.model.catalogue if ground.model is not None else None
    facts = OfferFacts(tier=(user or {}).get("member_tier"))
    local = query.now.astimezone(call.grant.zone)
    found = eligible(offers, query, facts, local, call.grant.settings.currency, catalogue=catalogue)
    shown = [{"offer_id": one.offer_id, "position": place} for place, one in enumerate(found, 1)]
    decision_id = _record(call, query, ground, Given("eligible", None, ground.state is None, shown))
    return {
        "decision_id": decision_id,
        "user_id": ground.user_id,
        "degraded": ground.state is None,
        "offers": [_offer(one) for one in found],
    }


async def _ground(call: Call, user_id: str, shown_to: str = "") -> Ground:
    """`user_id`: whose events and consent are read; `shown_to`: who is only recorded."""
    try:
        state = call.state(user_id)
        return Ground(await call.context.models.model(call.app_id, state), state, state.user_id or shown_to)
    except StoreUnavailable:
        return Ground(call.context.models.last(call.app_id), None, user_id or shown_to)


def _known_as(ground: Ground) -> str:
    return ground.user_id if ground.model is None or ground.state is None else ground.model.known_as(ground.state)


def _query(call: Call, user_id: str, *, personalized: bool) -> Query:
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
        filters=Filters(**filters),
        exclude=body.get("exclude") or (),
        lang=body["lang"],
        personalized=personalized,
        allow_seen=body.get("allow_seen"),
        diversity=settings.diversity if diversity is None else diversity,
        exploration=settings.exploration_share,
        draw=secrets.randbits(64),
    )


def _respond(call: Call, ground: Ground, query: Query, answer: Answer, arm: str | None) -> dict[str, Any]:
    degraded = ground.state is None or answer.degraded
    items = [_item(item) for item in answer.items]
    shown = [
        {
            "item_id": item.item_id,
            "position": place,
            "source": item.source,
            "propensity": round(item.propensity, 6),
            "score": round(item.score, 6),
        }
        for place, item in enumerate(answer.items, 1)
    ]
    response = {
        "decision_id": _record(call, query, ground, Given(answer.policy, arm, degraded, shown)),
        "version": ground.model.name if ground.model is not None else None,
        "degraded": degraded,
        "items": items,
    }
    return response | ({"removed": dict(answer.removed)} if answer.removed else {})


def _record(call: Call, query: Query, ground: Ground, given: Given) -> str:
    """Has the answer written down soon, as a row of the contract's decisions; its id."""
    decision_id, user_id = secrets.token_hex(12), ground.user_id or NOBODY
    row = {
        "decision_id": decision_id,
        "user_id": user_id,
        "ts": query.now.isoformat(),
        "placement": query.placement,
        "version": ground.model.name if ground.model is not None else None,
        "policy": given.policy,
        "arm": given.arm,
        "degraded": given.degraded,
        "candidates": json.dumps(given.shown, ensure_ascii=False, separators=(",", ":")),
    }
    payload = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
    call.context.writer.behind(call.app_id, DecisionRow(decision_id, user_id, now_us(), payload))
    return decision_id


def _item(item: Ranked) -> dict[str, Any]:
    score = round(item.score, 6)
    return {"item_id": item.item_id, "score": score, "source": item.source, "reason": item.reason._asdict()}


def _offer(one: Eligible) -> dict[str, Any]:
    expires = None if one.expires is None else one.expires.isoformat()
    return {
        "offer_id": one.offer_id,
        "title": one.title,
        "kind": one.kind,
        "value": one.value,
        "minimum": one.minimum,
        "reason": one.reason._asdict(),
        "expires": expires,
    }
