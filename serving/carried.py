"""An offer on an item of a shelf: products and offer are chosen together, in one answer.

The rules, limits, holdout and wording are those of `/v1/offers` (`serving.deals`); where an offer stands, and which one
is best there, says `recommender.offers.slate`. An app without offers pays nothing for it, not even a read.

The choice is a row of the decisions of its own, with the shelf's placement and the policy and arm of offers, as if
`/v1/offers` had been asked: the shelf's row has the arm of the items, which was drawn apart, and who counts what was
shown, clicked or given need not know that two answers came in one. The offer names the decision that gave it; `on_item`
of its entry is the item. Where no offer could be had, nothing was tried, and there is no row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from portraits.decision_ids import signed
from portraits.errors import StoreUnavailable
from recommender.answers.shelf import RULE
from recommender.offers.slate import lay, places
from recommender.types import OF_OFFERS, Query, Ranked
from serving.call import Call
from serving.deals import Deal, choice_of, deal_of, entries_of, told_of
from serving.ground import Given, Ground, record
from serving.observed import lap

RATE = "money_per_score"
"""Of the plan's manifest: minor units that a score of 1 at the first position is worth, where the night measured it."""
KEPT = (RULE, "explore")
"""Sources of items that keep their place."""


class Carried(NamedTuple):
    """`items` in their order, and the position (from 0) that carries `offer`."""

    items: tuple[Ranked, ...]
    position: int = -1
    offer: dict[str, Any] | None = None


async def carried(call: Call, ground: Ground, query: Query, items: tuple[Ranked, ...]) -> Carried:
    """The shelf with the offer that is worth most on it, if any is."""
    if ground.state is None or ground.model is None or not len(ground.model.offering.rulebook) or not items:
        return Carried(items)
    store_id = query.store_id or query.filters.store_id
    anywhere = query
    if query.item_id is not None or query.cart or store_id != query.store_id:
        anywhere = replace(query, item_id=None, cart=(), store_id=store_id)  # what it is for is on the shelf
    try:
        deal = await deal_of(call, ground, anywhere, mine=False)
    except StoreUnavailable:
        return Carried(items)
    covers = _covers(deal, ground, items)
    if deal.offering.rulebook.any_scoped:
        some = covers.any(axis=1)
        deal, covers = deal._replace(numbers=deal.numbers[some], prices=deal.prices[some]), covers[some]
    if not len(deal.numbers) or deal.room <= 0:
        return Carried(items)
    rate = None if deal.offering.plan is None or deal.arm is None else deal.offering.plan.manifest.get(RATE)
    fixed = np.array([one.source in KEPT for one in items])
    found = places(covers, np.array([one.score for one in items]), fixed, rate)
    own = Ground(ground.model, ground.state, ground.user_id, signed(call.grant.tenant.salt))
    choice = choice_of(call, deal, own.decision_id, 1, found.placing)
    entries, order, position = entries_of(deal, choice), [*range(len(items))], -1
    if choice.order:
        order, position = lay(found, fixed, choice.order[0], choice.drawn)
        entries[0]["on_item"] = items[order[position]].item_id
    lap("rank")
    record(call, query, own, Given(OF_OFFERS, deal.arm, degraded=False, shown=entries))
    if not choice.order or deal.held_out:
        return Carried(items)
    told = told_of(call, own, query, deal, int(deal.numbers[choice.order[0]]))
    return Carried(tuple(items[place] for place in order), position, told | {"decision_id": own.decision_id})


def _covers(deal: Deal, ground: Ground, items: tuple[Ranked, ...]) -> NDArray[np.bool_]:
    """[offers, items]: which items each offer of the deal is for."""
    rulebook = deal.offering.rulebook
    scoped = rulebook.scoped
    if not rulebook.any_scoped or not scoped[deal.numbers].any():
        return np.ones((len(deal.numbers), len(items)), bool)
    covers = np.repeat(~scoped[:, None], len(items), axis=1)
    catalogue = ground.model.catalogue if ground.model is not None else None
    for place, one in enumerate(items):
        found = rulebook.covering([one.item_id], catalogue)
        if found:
            covers[list(found), place] = True
    return covers[deal.numbers]
