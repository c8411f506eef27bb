"""Answers: what a visitor is shown, what is like an item; each one recorded behind the answer (`serving.ground`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from portraits.errors import InvalidValue
from recommender.answers.catalogue import Catalogue
from recommender.answers.pipeline import popular_shelf, recommend, similar, together, trending
from recommender.bundles.bundle import Bundle
from recommender.types import Answer, Evidence, Query, State
from serving.call import Call
from serving.carried import Carried, carried
from serving.ground import CONTROL, TREATED, Given, Ground, ground_of, known_as, query_of, record
from serving.observed import lap
from serving.tenants import in_control


class Why(msgspec.Struct, gc=False):
    """Why an item is there, as the answer says it (`recommender.types.Reason`)."""

    code: str
    text: str
    evidence: Evidence


class Item(msgspec.Struct, gc=False, omit_defaults=True):
    """An item as the answer tells it: a struct is made and written in half the time of a dictionary, and an answer
    holds twenty."""

    item_id: str
    score: float
    source: str
    reason: Why
    offer: dict[str, Any] | None = None


class Shown(msgspec.Struct, gc=False):
    """An item as the decision keeps it."""

    item_id: str
    position: int
    source: str
    propensity: float
    score: float


async def post_recommend(call: Call) -> dict[str, Any]:
    """POST /v1/recommend: the best items for a visitor, with reasons."""
    body = call.body
    ground = await ground_of(call, body["user_id"])
    consents = ground.state is not None and ground.state.consent
    query = query_of(call, known_as(ground), ground.decision_id, personalized=consents and body["personalized"])
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
    shelf = await carried(call, ground, query, answer.items) if body["offers"] else Carried(answer.items)
    return _respond(call, ground, query, answer, arm=arm, shelf=shelf) | {"user_id": call.person(ground.user_id)}


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
    ground = await ground_of(call, "", call.body.get("user_id") or "")
    query = query_of(call, ground.user_id, ground.decision_id, personalized=False)
    if ground.model is None:
        answer = Answer((), degraded=True, policy="fallback")
    else:
        answer = door(ground.model.bundle, ground.model.catalogue, query)
    return _respond(call, ground, query, answer, arm=None, shelf=Carried(answer.items))


def _respond(
    call: Call, ground: Ground, query: Query, answer: Answer, *, arm: str | None, shelf: Carried
) -> dict[str, Any]:
    lap("rank")
    degraded = ground.state is None or answer.degraded
    items: list[Item] = []
    shown: list[Shown] = []
    for place, (item_id, score, source, (code, text, evidence), propensity) in enumerate(shelf.items, 1):
        told = round(score, 6)  # what is told is what is kept
        items.append(Item(item_id, told, source, Why(code, text, evidence)))
        chance = propensity if propensity == 1.0 else round(propensity, 6)
        shown.append(Shown(item_id, place, source, chance, told))
    if shelf.offer is not None:
        items[shelf.position].offer = shelf.offer
    response = {
        "decision_id": record(call, query, ground, Given(answer.policy, arm, degraded, shown)),
        "version": ground.model.name if ground.model is not None else None,
        "degraded": degraded,
        "items": items,
    }
    return response | ({"removed": dict(answer.removed)} if answer.removed else {})
