"""What the places of a shelf earn: the money that a score of 1 at the first position stands for.

Offers are worth money and items have scores; to choose both in one slate (`recommender.offers.slate`) the two need one
unit. Of the answers of the last `DAYS` days: what their items led to (`portraits.attribution`: purchases that name the
answer, or follow a click on it), over the sum of examined(position) x score of all that stood in them. It errs to the
items' side, as some of what they led to would have been bought anyway: an offer moves an item a little too seldom.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import ibis
from ibis.backends.duckdb import Backend

from portraits.past import Past
from portraits.people import Persons
from portraits.snapshot import Snapshot
from recommender.experiment import Experiment, decisions_of

DAYS = 28
FEWEST = 50
"""Purchases that answers led to, below which nothing is said."""


def money_per_score(snapshot: Snapshot, past: Past, con: Backend) -> float | None:
    """Minor units: margin, or what was paid where the app's objective is revenue. None where too few purchases follow
    from answers, or nothing was answered."""
    if "decisions" not in snapshot.versions:
        return None
    objective = "revenue" if past.settings.objective == "revenue" else "margin"
    since = past.as_of - timedelta(days=DAYS)
    decisions = decisions_of(snapshot, past, Persons(snapshot, con, past.as_of), con)
    decisions = decisions.filter(decisions.ts >= ibis.literal(since, "timestamp('UTC')"))
    shelves = Experiment(replace(past, settings=replace(past.settings, objective=objective)), decisions, since)
    if not shelves.total:
        return None
    entries = shelves.entries.filter((shelves.entries.position >= 1) & (shelves.entries.score > 0))
    stood = (entries.score / (entries.position + 1).log2()).sum().execute() or 0.0
    facts = shelves.facts
    bought, led = (facts[name].sum().execute() or 0 for name in ("purchases", "led"))
    return float(led / stood) if bought >= FEWEST and stood > 0 and led > 0 else None
