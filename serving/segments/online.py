"""One visitor's answer to rules, now: the night's portrait and behaviour, and every event that was accepted since.

The rules are the night's own (`portraits.rules.match`), so night and day can only differ in what happened meanwhile.
Hundreds of them take half a second: they are asked on a thread, and other requests go on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from functools import partial

from portraits.behaviour import acts_by_now, acts_of
from portraits.history import CATEGORY_SEPARATOR
from portraits.portrait_set import PortraitSet
from portraits.rules import ItemFacts, Moment, Person, Rule, match
from portraits.rules.traffic import Happened, without_test_traffic
from portraits.rules.values import LEVELS
from recommender.answers.catalogue import Catalogue
from serving.call import Call
from serving.portrait import portrait_of
from serving.stores.database import now_us
from serving.stores.store import OnlineState


async def answers(call: Call, state: OnlineState, rules: Mapping[str, Rule]) -> dict[str, bool]:
    """Which of the rules hold for the visitor of the state. Who refused is in no segment. Raises StoreUnavailable."""
    if not state.consent:
        return dict.fromkeys(rules, False)
    model = await call.context.models.model(call.app_id, state)
    people = await call.context.published.people(call.app_id, state.active.portraits)
    person = await call.context.published.read(partial(_person, call, state, people))
    facts = _facts(model.catalogue, {act.item_id for act in person.acts if act.item_id is not None})
    moment = Moment(now_us() + 1, call.grant.zone, facts.get)
    return await asyncio.to_thread(lambda: {name: match(rule, person, moment) for name, rule in rules.items()})


def _facts(catalogue: Catalogue, item_ids: Iterable[str]) -> dict[str, ItemFacts]:
    """What rules ask of these items; read here, as the catalogue changes on the event loop."""
    known = ((item_id, catalogue.named_traits(item_id)) for item_id in item_ids)
    return {
        item_id: ItemFacts(CATEGORY_SEPARATOR.join(traits[0][:LEVELS]), traits[1], traits[2])
        for item_id, traits in known
        if traits is not None
    }


def _person(call: Call, state: OnlineState, people: PortraitSet | None) -> Person:
    """The visitor, under all linked ids, with everything that is known at this moment."""
    store, version = call.context.store, state.active.portraits
    if people is None or version is None:
        return Person(None, without_test_traffic(_since(store.events_of(call.app_id, state.ids))))
    since = _since(store.events_of(call.app_id, state.ids, version.events_seq, version.as_of_us))
    acts = acts_by_now(people, state.user_id, since)
    others = [one for one in state.ids if one != state.user_id]
    acts += [act for one in others for act in acts_of(people, one)]
    portrait = portrait_of(store, call.app_id, people, state.ids)
    return Person(portrait, sorted(acts, key=lambda act: act.us) if others else acts)


def _since(events: list[tuple[int, str]]) -> list[Happened]:
    return [Happened.of(us, json.loads(payload)) for us, payload in events]
