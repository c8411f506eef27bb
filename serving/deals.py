"""What may be given to a visitor now, and what is chosen of it: what `/v1/offers` and an offer on an item share.

Rules say what may be given (`recommender.offers.rulebook`), the books what is left of it (`serving.ledgers`), one read
what this visitor has claimed and seen; what remains is decided by worth (`recommender.offers.decide`).

Where nothing personal may be used, the offers that hold come in the order of their ends: no plan, no draw, and nothing
is learnt from it (arm null); limits and budgets hold all the same. The holdout holds for whoever consents, also for a
request that wants nothing personal, so that those who are compared with never had an offer. Without the store neither
budgets nor limits can be told, so that only offers without any are given. How often somebody sees offers is counted by
the exposures that the app sends; of who is held out, where the app sends any, by what would have been shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from math import isnan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from portraits.decision_ids import draw_of
from recommender.offers.decide import Choice, Placing, by_rule, decide
from recommender.offers.eligible import OfferFacts
from recommender.offers.plan_files import SEEN_DAYS
from recommender.offers.terms import Terms
from recommender.offers.wording import describe, yours
from recommender.types import Query, Reason
from serving.call import Call
from serving.ground import CONTROL, TREATED, Ground
from serving.ledgers import Ledger
from serving.offering import Offering
from serving.stores.books import Held
from serving.tenants import in_offer_control

NO_NUMBERS, NO_PRICES, NO_LEDGER = np.zeros(0, np.intp), np.zeros(0), Ledger(0.0)
SEEN_ENOUGH, NOT_WORTH_IT = "seen_enough", "not_worth_it"
DAY = timedelta(days=1)
MOST_COULD = 200
"""Offers whose ids a decision keeps beside the chosen ones: some kilobytes."""


class Deal(NamedTuple):
    """What may be given to a visitor now.

    numbers: offers that hold, of the rulebook, in the order of the rule; covered: the item at hand of those that are
    for one; mine: claims that the visitor can use, by offer_id. prices: of `numbers`. room: how many offers more the
    visitor may see now. arm: None where nothing personal is used. held_out: nothing is shown, whatever is chosen.
    lacks: why `numbers` are empty.
    """

    offering: Offering
    numbers: NDArray[np.intp]
    covered: Mapping[int, str]
    mine: Mapping[str, Held]
    row: int
    prices: NDArray[np.float64]
    room: int
    arm: str | None
    lacks: str
    now_local: datetime
    held_out: bool = False


async def deal_of(call: Call, ground: Ground, query: Query, *, mine: bool = True) -> Deal:
    """What may be given to whoever asks. `mine`: offers that the visitor has already are wanted, too; else nothing is
    read where nobody could be given any. Raises StoreUnavailable."""
    offering = ground.model.offering if ground.model is not None else Offering()
    now_local = query.now.astimezone(call.grant.zone)
    catalogue = ground.model.catalogue if ground.model is not None else None
    if ground.state is None:
        found = offering.rulebook.holding(query, OfferFacts(), now_local, catalogue=catalogue)
        numbers = found.offers[~offering.rulebook.limited[found.offers]]
        return Deal(offering, numbers, found.covered, {}, 0, NO_PRICES, len(numbers), None, "limits", now_local)
    ledger = await call.context.ledgers.of(call.app_id) if len(offering.rulebook) else NO_LEDGER
    anybody = OfferFacts(None, {}, ledger.spent, ledger.today, ledger.closed)
    held_out = ground.state.consent and in_offer_control(call.grant.tenant, ground.user_id)
    arm = (CONTROL if held_out else TREATED) if query.personalized else None
    if not len(offering.rulebook) or not (mine or offering.rulebook.holds_for_some(anybody, now_local)):
        lacks = offering.rulebook.lacking(anybody, now_local)
        return Deal(offering, NO_NUMBERS, {}, {}, 0, NO_PRICES, 0, arm, lacks, now_local, held_out)
    since_us = _since_us(offering, now_local)
    visitor = await call.context.reads.quick(call.context.store.offer_facts, call.app_id, ground.state.ids, since_us)
    tier = (ground.state.user or {}).get("member_tier") if ground.state.consent and query.personalized else None
    facts = OfferFacts(tier, visitor.claims, ledger.spent, ledger.today, ledger.closed)
    found = offering.rulebook.holding(query, facts, now_local, catalogue=catalogue)
    number = offering.rulebook.number
    owned = [number[one] for one in visitor.open if one in number]
    paced = ledger.paced(offering, now_local)
    numbers = found.offers[paced.admitted.take(found.offers)]
    numbers = numbers if not owned else numbers[~np.isin(numbers, owned)]
    row = offering.row_of(ground.state.ids) if query.personalized else 0
    if paced.any_late:  # what no price holds back waits
        late = paced.late[numbers]
        numbers = numbers[~late | offering.weighed(row)[numbers]] if query.personalized else numbers[~late]
    room, lacks = len(numbers), "budget" if len(found.offers) else offering.rulebook.lacking(facts, now_local)
    if query.personalized:
        seen = [at_us for at_us, _ in visitor.exposures]
        if held_out and offering.exposures_told:
            ghosts = call.context.store.offer_ghosts
            seen += await call.context.reads.quick(ghosts, call.app_id, ground.state.ids, since_us)
        room = _room(call, offering, seen, now_local, row)
    prices, had = paced.prices.take(numbers), visitor.open
    return Deal(offering, numbers, found.covered, had, row, prices, room, arm, lacks, now_local, held_out)


def choice_of(call: Call, deal: Deal, decision_id: str, n: int, placing: Placing | None = None) -> Choice:
    """What is chosen of the deal, at most `n`. `placing`: see `decide`."""
    rulebook, count = deal.offering.rulebook, len(deal.numbers)
    n = min(n, deal.room)
    if n <= 0 or not count or (deal.held_out and deal.arm is None):
        return by_rule(0, 0)
    alone = rulebook.alone[deal.numbers]
    if deal.arm is None:
        return by_rule(count, n, alone)
    columns, exploration = deal.offering.columns[deal.numbers], call.grant.settings.offer_exploration
    seed = draw_of(decision_id)
    plan, row, prices = deal.offering.plan, deal.row, deal.prices
    return decide(plan, row, columns, prices, seed, exploration=exploration, n=n, alone=alone, placing=placing)


def entries_of(deal: Deal, choice: Choice) -> list[dict[str, Any]]:
    """What the decision keeps: what is shown, or would have been, and the chance of choosing none, with what could have
    been chosen (no list of more than `MOST_COULD`: not told). Behind the first nothing was drawn: its source is what
    its worth comes from."""
    entries: list[dict[str, Any]] = []
    for position, place in enumerate(choice.order, 1):
        worth = float(choice.worth[place])
        known = not isnan(worth)
        entries.append(
            {
                "offer_id": deal.offering.rulebook.ids[deal.numbers[place]],
                "position": position,
                "source": choice.source if position == 1 else "learned" if known else "rule",
                "propensity": round(float(choice.propensity[place]), 6),
                "score": round(worth, 2) if known else None,
            }
        )
    if deal.arm is not None:
        none: dict[str, Any] = {"source": "none", "propensity": round(choice.none, 6)}
        could = [deal.offering.rulebook.ids[number] for number in sorted(deal.numbers.tolist())]
        entries.append(none | ({"could": could} if len(could) <= MOST_COULD else {}))
    return entries


def told_of(call: Call, ground: Ground, query: Query, deal: Deal, number: int) -> dict[str, Any]:
    """An offer as the answer tells it, and what to do about it: the call, to which a request_id belongs."""
    catalogue = ground.model.catalogue if ground.model is not None else None
    currency, covered = call.grant.settings.currency, deal.covered.get(number, "")
    one = deal.offering.rulebook.told(number, query, deal.now_local, currency, covered=covered, catalogue=catalogue)
    code, text, evidence = one.reason
    body = {"user_id": call.body["user_id"], "offer_id": one.offer_id, "decision_id": ground.decision_id}
    return {
        "offer_id": one.offer_id,
        "title": one.title,
        "kind": one.kind,
        "value": one.value,
        "minimum": one.minimum,
        "reason": {"code": code, "text": text, "evidence": evidence},
        "expires": None if one.expires is None else one.expires.isoformat(),
        "action": {"do": "claim", "path": "/v1/offers/claim", "body": body},
    }


def mine_of(call: Call, query: Query, deal: Deal, offer_id: str) -> dict[str, Any]:
    """An offer that the visitor has claimed, as it was promised then, whatever became of it since. The visitor's own
    token is told to show it: that it was used is the backend's to say."""
    held, rulebook = deal.mine[offer_id], deal.offering.rulebook
    terms = Terms.from_text(held.terms)
    now = rulebook.offers[rulebook.number[offer_id]] if offer_id in rulebook.number else {}
    promised = {
        "items": terms.items,
        "categories": terms.categories,
        "kind": terms.kind,
        "value": terms.value,
        "minimum": terms.minimum,
        "stores": terms.stores,
    }
    expires = None if held.until is None else datetime.fromtimestamp(held.until / 1e6, UTC)
    zone = call.grant.zone
    rule = describe(promised, call.grant.settings.currency, query.lang, zone)
    body = {"user_id": call.body["user_id"], "offer_id": offer_id, "claim_id": held.claim_id}
    action: dict[str, Any] = {"do": "redeem", "path": "/v1/offers/redeem", "body": body}
    return {
        "offer_id": offer_id,
        "title": now.get("title") or "",
        "kind": terms.kind,
        "value": terms.value,
        "minimum": terms.minimum,
        "reason": Reason("yours", yours(rule, expires, query.lang, zone), {})._asdict(),
        "expires": None if expires is None else expires.isoformat(),
        "action": {"do": "show", "claim_id": held.claim_id} if call.grant.user_id else action,
    }


def none_because(deal: Deal) -> str:
    """Why there is no offer, in a word of a closed list. It does not tell who is held out."""
    if not len(deal.numbers):
        return deal.lacks
    return NOT_WORTH_IT if deal.room > 0 else SEEN_ENOUGH


def _since_us(offering: Offering, now_local: datetime) -> int:
    """Since when exposures are counted from the store: what the plan does not know of the last days."""
    if offering.plan is not None and offering.version is not None:
        return offering.version.as_of_us
    return _first_us(now_local.date(), now_local.tzinfo)


@lru_cache(maxsize=1_000)
def _first_us(today: date, zone: tzinfo | None) -> int:
    """The first moment, by local time, of the days that count."""
    first = datetime.combine(today - (SEEN_DAYS - 1) * DAY, time(), zone)
    return int(first.timestamp() * 1_000_000)


@lru_cache(maxsize=1_000)
def _day_of(at_us: int, zone: tzinfo | None) -> date:
    return datetime.fromtimestamp(at_us / 1e6, UTC).astimezone(zone).date()


def _room(call: Call, offering: Offering, shown: Iterable[int], now_local: datetime, row: int) -> int:
    """How many offers more the visitor may see today. shown: when offers were (microseconds) that the plan does not
    know of."""
    settings, today = call.grant.settings, now_local.date()
    seen = [0] * SEEN_DAYS
    for at_us in shown:
        _count(seen, _days_ago(at_us, now_local))
    if offering.plan is not None and offering.version is not None:
        last = _day_of(offering.version.as_of_us, now_local.tzinfo)
        for before, count in enumerate(offering.plan.seen[row].tolist(), _between(last, today)):
            _count(seen, before, count)
    return min(settings.offers_per_day - seen[0], settings.offers_per_week - sum(seen))


def _count(seen: list[int], ago: int, count: int = 1) -> None:
    """Counts what was seen so many days ago, where it is one of the days that count."""
    if 0 <= ago < SEEN_DAYS:
        seen[ago] += count


def _days_ago(at_us: int, now_local: datetime) -> int:
    """Local days from a moment to now; what comes from a clock that is ahead is of today."""
    return max(_between(datetime.fromtimestamp(at_us / 1e6, now_local.tzinfo).date(), now_local.date()), 0)


def _between(one: date, other: date) -> int:
    return (other - one).days
