"""Answers: what a visitor is shown, which offers hold, what is like an item; each one recorded behind the answer.

One read of the store gives all that an answer needs. When the store cannot be read, the last model answers with
nothing personal and says `degraded`; when a bundle is broken or missing, the catalogue alone answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from portraits.decision_ids import draw_of, signed
from portraits.errors import InvalidValue, StoreUnavailable
from portraits.history import NOBODY
from recommender.answers.catalogue import Catalogue
from recommender.answers.pipeline import popular_shelf, recommend, similar, together, trending
from recommender.bundles.bundle import Bundle
from recommender.offers.eligible import Eligible, OfferFacts, eligible
from recommender.types import Answer, Filters, Query, State
from serving.call import Call
from serving.codec import encode
from serving.models import Model
from serving.observed import lap
from serving.stores.database import now_us
from serving.stores.events import DecisionRow
from serving.stores.store import OnlineState
from serving.tenants import in_control

TREATED, CONTROL = "treated", "control"


class Given(NamedTuple):
    """What was answered, as the decisions keep it. arm: None where both arms are answered alike."""

    policy: str
    arm: str | None
    degraded: bool
    shown: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Ground:
    """What an answer stands on. `state` None: the store is away, so nothing is known of any visitor.

    `user_id`: of the person who asks, whichever of the linked ids the request names. `decision_id`: of the answer.
    """

    model: Model | None
    state: OnlineState | None
    user_id: str
    decision_id: str


async def post_recommend(call: Call) -> dict[str, Any]:
    """POST /v1/recommend: the best items for a visitor, with reasons."""
    body = call.body
    ground = await _ground(call, body["user_id"])
    consents = ground.state is not None and ground.state.consent
    query = _query(call, _known_as(ground), ground.decision_id, personalized=consents and body["personalized"])
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
    return _respond(call, ground, query, answer, arm) | {"user_id": call.person(ground.user_id)}


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
    query = _query(call, ground.user_id, ground.decision_id, personalized=False)
    if ground.model is None:
        answer = Answer((), degraded=True, policy="fallback")
    else:
        answer = door(ground.model.bundle, ground.model.catalogue, query)
    return _respond(call, ground, query, answer, None)


async def post_offers(call: Call) -> dict[str, Any]:
    """POST /v1/offers: the offers whose own conditions hold now; there may rightly be none."""
    ground = await _ground(call, call.body["user_id"])
    query = _query(call, ground.user_id, ground.decision_id, personalized=False)
    user = ground.state.user if ground.state is not None and ground.state.consent else None
    offers = ground.model.offers if ground.model is not None else []
    catalogue = ground.model.catalogue if ground.model is not None else None
    facts = OfferFacts(tier=(user or {}).get("member_tier"))
    local = query.now.astimezone(call.grant.zone)
    found = eligible(offers, query, facts, local, call.grant.settings.currency, catalogue=catalogue)
    lap("rank")
    shown = [{"offer_id": one.offer_id, "position": place} for place, one in enumerate(found, 1)]
    decision_id = _record(call, query, ground, Given("eligible", None, ground.state is None, shown))
    return {
        "decision_id": decision_id,
        "user_id": call.person(ground.user_id),
        "degraded": ground.state is None,
        "offers": [_offer(one) for one in found],
    }


async def _ground(call: Call, user_id: str, shown_to: str = "") -> Ground:
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


def _known_as(ground: Ground) -> str:
    return ground.user_id if ground.model is None or ground.state is None else ground.model.known_as(ground.state)


def _query(call: Call, user_id: str, decision_id: str, *, personalized: bool) -> Query:
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
        draw=draw_of(decision_id),
    )


def _respond(call: Call, ground: Ground, query: Query, answer: Answer, arm: str | None) -> dict[str, Any]:
    lap("rank")
    degraded = ground.state is None or answer.degraded
    items, shown = [], []
    for place, (item_id, score, source, (code, text, evidence), propensity) in enumerate(answer.items, 1):
        score = round(score, 6)  # noqa: PLW2901 - what is told is what is kept
        reason = {"code": code, "text": text, "evidence": evidence}
        items.append({"item_id": item_id, "score": score, "source": source, "reason": reason})
        propensity = round(propensity, 6)  # noqa: PLW2901
        shown.append(
            {"item_id": item_id, "position": place, "source": source, "propensity": propensity, "score": score}
        )
    response = {
        "decision_id": _record(call, query, ground, Given(answer.policy, arm, degraded, shown)),
        "version": ground.model.name if ground.model is not None else None,
        "degraded": degraded,
        "items": items,
    }
    return response | ({"removed": dict(answer.removed)} if answer.removed else {})


def _record(call: Call, query: Query, ground: Ground, given: Given) -> str:
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
