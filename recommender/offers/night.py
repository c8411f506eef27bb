"""The night's plan of the offers: trials, estimates, who gets which under the budgets, files beside the portraits.

A plan looks `PERIOD_DAYS` ahead. What an offer may cost in that time is its share of what is left, by the days until it
ends (`OPEN_DAYS` where it has no end): all of it if it ends before, never more, and no more than its daily budget
allows. The plan is of offers whose rule can be stated and that hold at some moment of the period; an app without any
has no plan, and pays nothing for this.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from ibis.backends.duckdb import Backend

from portraits.build import past_of
from portraits.people import Persons
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot
from recommender.bundles.vocabulary import Vocabulary
from recommender.experiment import decisions_of
from recommender.offers.allocate import Allocation, Budgets, allocate
from recommender.offers.audience import PERIOD_DAYS, Audience, claims_of, exposures_told, pace_of, seen_of
from recommender.offers.eligible import plannable
from recommender.offers.estimate import Estimates, Known, estimate
from recommender.offers.features import features_now
from recommender.offers.plan_files import EXPOSURES_TOLD, FOLDER, write_plan
from recommender.offers.running import running, shares, while_running
from recommender.offers.shelf import money_per_score
from recommender.offers.trials import trials

OPEN_DAYS = 28.0
"""Days over which the budget of an offer without an end is spent."""

Offer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Left:
    """What the books say, money in minor units. spent: offer_id -> what it cost so far, reserved claims included.
    closed: offers that nobody may claim any more. total: what all offers together may cost in the next `PERIOD_DAYS`,
    None for no limit."""

    spent: Mapping[str, int] = field(default_factory=dict)
    closed: Collection[str] = ()
    total: float | None = None

    def budgets(self, offers: Sequence[Offer], as_of: datetime) -> Budgets:
        """Of these offers for the next `PERIOD_DAYS`."""
        each = [
            0.0 if one["offer_id"] in self.closed else budget(one, self.spent.get(one["offer_id"], 0), as_of)
            for one in offers
        ]
        return Budgets(each, self.total)


NO_BOOKS = Left()


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan was written to `folder`. account: what it stands on and what it expects, for JSON."""

    folder: Path
    account: Mapping[str, Any]


def plan_offers(
    snapshot: Snapshot,
    settings: AppSettings,
    portraits: Path,
    as_of: datetime,
    con: Backend,
    *,
    left: Left = NO_BOOKS,
    tried_too: bool = False,
) -> Planned | None:
    """Writes tonight's plan to `<portraits>/offers`; None, and no folder, where there is no offer to plan.

    portraits: the folder of the portraits as of `as_of`. tried_too: where the catalogue has no offers at all, those
    that were tried are planned, by what trials tell alone (as items of events are recommended where there is no
    catalogue of items).
    """
    if not tried_too and "offers" not in snapshot.versions:
        return None
    past = past_of(snapshot, settings, as_of, con)
    catalogue = past.lake_offers.order_by("offer_id").to_pyarrow().to_pylist()
    offers = [one for one in catalogue if plannable(one, as_of, as_of + timedelta(days=PERIOD_DAYS))]
    if not offers and (catalogue or not tried_too):
        return None
    tried = trials(snapshot, settings, as_of, con).to_learn
    offers = offers or [{"offer_id": name, "kind": None} for name in tried.offers]
    if not offers:
        return None
    known = Known(*features_now(portraits, snapshot, con))
    audience = Audience.read(Vocabulary.build(known.ids), portraits, past)
    ids = [str(one["offer_id"]) for one in offers]
    estimates = estimate(tried, known, ids, catalogue, settings, newcomer=audience.newcomer)
    del tried, known  # half a gigabyte each, of a million trials and visitors
    eligible = audience.eligible(offers, claims_of(past, offers))
    for table in (estimates.gain, estimates.cost, estimates.lift):
        table[~eligible] = 0.0
    weight = audience.weight.astype(np.float64)
    budgets = left.budgets(offers, as_of)
    runs = shares(offers, as_of, PERIOD_DAYS)
    gain, cost = while_running((estimates.gain, estimates.cost), weight, runs)
    allocation = allocate(gain, cost, eligible, weight, budgets, settings.seed, crowd=True)
    arrays = {
        "users": audience.users.array,
        "gain": estimates.gain,
        "cost": estimates.cost,
        "lift": estimates.lift,
        "eligible": eligible,
        "chosen": allocation.chosen,
        "weight": audience.weight,
        "group": estimates.group,
        "shift": estimates.shift,
        "seen": seen_of(past, audience.users, decisions_of(snapshot, past, Persons(snapshot, con, as_of), con)),
    }
    account = _account(estimates, allocation, ids, as_of)
    manifest = {
        "offers": ids,
        "prices": allocation.by_offer(ids),
        "pace": list(pace_of(past)),
        EXPOSURES_TOLD: exposures_told(past),
        "as_of": as_of.isoformat(),
        "period_days": PERIOD_DAYS,
        "money_per_score": money_per_score(snapshot, past, con),
        "account": account,
    }
    write_plan(portraits / FOLDER, arrays, manifest)
    return Planned(portraits / FOLDER, account)


def budget(offer: Offer, spent: int, as_of: datetime, days: float = PERIOD_DAYS) -> float | None:
    """What an offer may cost in the next `days`, minor units; None for no limit."""
    runs = running(offer, as_of, days)
    limits = []
    if offer.get("budget") is not None:
        left = OPEN_DAYS if offer.get("ends") is None else running(offer, as_of)
        limits.append(max(offer["budget"] - spent, 0) * (min(runs / left, 1.0) if left else 0.0))
    if offer.get("daily_budget") is not None:
        limits.append(offer["daily_budget"] * runs)
    return min(limits, default=None)


def _account(estimates: Estimates, allocation: Allocation, ids: Sequence[str], as_of: datetime) -> dict[str, Any]:
    given = np.bincount(allocation.chosen[:-1][allocation.chosen[:-1] >= 0], minlength=len(ids))
    return {
        "as_of": as_of.isoformat(),
        "visitors": len(allocation.chosen) - 1,
        "given": dict(zip(ids, given.tolist(), strict=True)),
        "profit": allocation.value,
        "bound": allocation.bound,
        "gap": allocation.gap,
        "spend": dict(zip(ids, allocation.spent.tolist(), strict=True)),
        "estimates": estimates.account,
    }
