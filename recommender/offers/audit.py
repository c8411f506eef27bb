"""Who could have had an offer, by its stated rule, and who had it: what an auditor asks.

An offer is one row of a catalogue for everybody. What it gives, from which order on, for what, for whom, when and how
often is in that row and in no other place; the night and the day choose whom to show it to and never what it is. So the
price of an item does not depend on the person: the audit lists every change of the row with its moment, and holds what
redemptions cost against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import numpy as np
import numpy.typing as npt
from ibis.backends.duckdb import Backend

from portraits.errors import NothingThere
from portraits.history import OFFERS
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot
from recommender.offers.eligible import stated
from recommender.offers.plan_files import OfferPlan
from recommender.offers.wording import describe

NO_TIER = "no member"
_SENTENCE = "one row for everybody: nothing of it depends on the person but what the rule states"


@dataclass(frozen=True)
class Change:
    """A version of an offer's row: since when, its rule in words ("" where it states none), kind and value, and what it
    changed: field -> (before, after). gone: it was taken out of the catalogue."""

    since: datetime
    rule: str
    kind: str | None
    value: int | None
    changed: Mapping[str, tuple[Any, Any]]
    gone: bool


@dataclass(frozen=True)
class Audit:
    """rule: the present one in words. changes: from the first version on. known: visitors that the plan knows;
    eligible: of these, whom the rule lets have it; by_tier, by_segment: name -> (visitors, eligible); all 0 and empty
    without a plan. funnel: see `recommender.offers.evidence`; None where nothing came of it in the span. notes:
    sentences."""

    offer_id: str
    rule: str
    changes: Sequence[Change]
    known: int
    eligible: int
    by_tier: Mapping[str, tuple[int, int]]
    by_segment: Mapping[str, tuple[int, int]]
    funnel: Mapping[str, float] | None
    notes: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        changes = [
            {
                "since": one.since,
                "rule": one.rule,
                "changed": {name: list(pair) for name, pair in one.changed.items()},
                "gone": one.gone,
            }
            for one in self.changes
        ]
        groups = {
            name: {key: {"visitors": size, "eligible": some} for key, (size, some) in getattr(self, name).items()}
            for name in ("by_tier", "by_segment")
        }
        told: dict[str, Any] = {"offer_id": self.offer_id, "rule": self.rule, "changes": changes}
        told |= {"visitors": self.known, "eligible": self.eligible, **groups}
        return told | {"funnel": self.funnel, "notes": list(self.notes)}


def changes(snapshot: Snapshot, settings: AppSettings, offer_id: str, con: Backend) -> list[Change]:
    """Every version of the offer's row. Raises NothingThere for an offer that no catalogue ever had."""
    files = [str(path) for path in snapshot.files("offers")]
    found: list[dict[str, Any]] = []
    if files:
        rows = con.read_parquet(files)
        rows = rows.filter(rows.offer_id == ibis.literal(offer_id))
        found = rows.order_by("valid_from", "change").to_pyarrow().to_pylist()
    if not found:
        raise NothingThere("offer", offer_id, f"huaxiang import offers --app {settings.app_id} --from FILE")
    zone, told = ZoneInfo(settings.time_zone), []
    before: dict[str, Any] = {}
    for row in found:
        terms = {name: row[name] for name in OFFERS.names if name != OFFERS.key}
        rule = describe(row, settings.currency, "en", zone) if stated(row) else ""
        changed = {name: (before.get(name), value) for name, value in terms.items() if before.get(name) != value}
        told.append(
            Change(row["valid_from"], rule, row["kind"], row["value"], changed if before else {}, bool(row["deleted"]))
        )
        before = terms
    return told


def audit(
    offer_id: str,
    history: Sequence[Change],
    *,
    plan: OfferPlan | None = None,
    tiers: Mapping[str, str] | None = None,
    segments: Mapping[str, npt.NDArray[np.bool_]] | None = None,
    funnel: Mapping[str, float] | None = None,
) -> Audit:
    """The audit of one offer. plan: the published one; tiers: visitor -> membership tier; segments: name -> bool[U] in
    order of the plan's users."""
    known, some = 0, np.zeros(0, bool)
    notes = [f"{_SENTENCE}; {len(history)} versions of it are on record" if len(history) != 1 else _SENTENCE]
    if plan is not None and offer_id in plan.offers:
        known = len(plan.users)
        some = np.asarray(plan.eligible[:known, plan.offers.index(offer_id)])
    elif plan is not None:
        notes.append("tonight's plan does not hold it: nobody is given it by the plan")
    everyone = plan.users.ids(np.arange(known)) if plan is not None and known else []
    names = np.array([(tiers or {}).get(one) or NO_TIER for one in everyone], object)
    by_tier = {name: (int(np.sum(names == name)), int(some[names == name].sum())) for name in sorted(set(names))}
    by_segment = {
        name: (int(inside.sum()), int((inside & some).sum())) for name, inside in (segments or {}).items() if known
    }
    notes += _costs(history, funnel)
    return Audit(offer_id, history[-1].rule, history, known, int(some.sum()), by_tier, by_segment, funnel, notes)


def _costs(history: Sequence[Change], funnel: Mapping[str, float] | None) -> list[str]:
    """What redemptions cost, beside what a cash offer says that it gives."""
    if not funnel or not funnel.get("redeemed"):
        return []
    least, most = funnel["least"], funnel["most"]
    told = [f"a redemption cost {least:,.0f} to {most:,.0f}"]
    values = [one.value for one in history if one.kind == "cash" and one.value is not None]
    if values and not min(values) <= least <= most <= max(values):
        told.append(
            f"the rule gives {' or '.join(f'{one:,}' for one in sorted(set(values)))}: ask what took off another amount"
        )
    return told
