"""POST /v1/offers: which coupons a visitor gets now, or rightly none; those that are already the visitor's come first.

Whom the holdout holds (`serving.tenants.in_offer_control`) is decided about like anybody else, and what would have been
shown is written down and not shown (a ghost: Johnson, Lewis and Nubbemeyer, "Ghost ads", 2017). The answer is then
empty, in the words of any other that gives nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from portraits.errors import StoreUnavailable
from recommender.types import OF_OFFERS
from serving.call import Call
from serving.deals import choice_of, deal_of, entries_of, mine_of, none_because, told_of
from serving.ground import Given, ground_of, known_as, query_of, record
from serving.observed import lap


async def post_offers(call: Call) -> dict[str, Any]:
    """POST /v1/offers: the offers that are worth giving now; there may rightly be none."""
    ground = await ground_of(call, call.body["user_id"])
    consents = ground.state is not None and ground.state.consent
    query = query_of(call, known_as(ground), ground.decision_id, personalized=consents and call.body["personalized"])
    try:
        deal = await deal_of(call, ground, query)
    except StoreUnavailable:  # it went between two reads
        ground, query = ground._replace(state=None), replace(query, personalized=False)
        deal = await deal_of(call, ground, query)
    choice = choice_of(call, deal, ground.decision_id, max(query.n - len(deal.mine), 0))
    shown = () if deal.held_out else choice.order
    lap("rank")
    entries = entries_of(deal, choice)
    decision_id = record(call, query, ground, Given(OF_OFFERS, deal.arm, ground.state is None, entries))
    told = [mine_of(call, query, deal, offer_id) for offer_id in [*deal.mine][: query.n]]
    told += [told_of(call, ground, query, deal, int(deal.numbers[place])) for place in shown]
    answer = {
        "decision_id": decision_id,
        "user_id": call.person(ground.user_id),
        "degraded": ground.state is None,
        "offers": told,
    }
    return answer if told else answer | {"none_because": none_because(deal)}
