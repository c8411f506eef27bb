"""The visitors of tonight's plan: how likely each comes and when, which offers each may have, how many each saw.

Rows are the visitors of `recommender.offers.features`, sorted by id; one more row, the last, stands for strangers.
Whoever refuses or was forgotten is not among them. Offers' rules are those of the day (`recommender.offers.eligible`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from portraits.local import DAY_US, day_number, iso_weekday, microseconds
from portraits.past import PASSIVE, Past
from portraits.portrait_set import TABLE_FILE
from recommender.bundles.vocabulary import Vocabulary
from recommender.offers.assigned import LIVE
from recommender.offers.eligible import for_tier, within_limit
from recommender.offers.plan_files import SEEN_DAYS

PERIOD_DAYS = 7
"""A plan looks a week ahead: pace is by hour of the week."""
RATE_DAYS = 30
"""Active days are counted over so many days."""
PACE_DAYS = 28
PRIOR_DAYS = 7.0
"""How many days of the whole app's rate a visitor's own is mixed with."""
HOURS = 168
EXPOSURE, KEY = "offer_exposure", '"offer_id":'
NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Audience:
    """U visitors and a stranger (the last row). weight: answers to expect in the next `PERIOD_DAYS`: the chance that
    the visitor comes; for the stranger how many new visitors come. newcomer: [U] who came first within `PACE_DAYS`.
    tier: [U+1] membership tiers, numbered; tiers: their names, None for no member."""

    users: Vocabulary
    weight: NDArray[np.float32]
    newcomer: NDArray[np.bool_]
    tier: NDArray[np.int32]
    tiers: tuple[str | None, ...]

    @classmethod
    def read(cls, users: Vocabulary, portraits: Path, past: Past) -> Audience:
        """Of these users, by the portraits in a folder and the past that they were made of."""
        active, first = _coming(users, portraits)
        newcomer = first >= past.now.us - PACE_DAYS * DAY_US
        strangers = np.count_nonzero(newcomer) * PERIOD_DAYS / PACE_DAYS
        weight = np.append(_chance_to_come(active, first, past.now.us), strangers)
        members = past.lake_users.filter(past.lake_users.member_tier.notnull()).select("user_id", "member_tier")
        told = members.to_pyarrow()
        tiers = (None, *sorted(set(told["member_tier"].to_pylist())))
        place = {name: code for code, name in enumerate(tiers)}
        tier = np.zeros(len(users) + 1, np.int32)
        row = users.indices(told["user_id"].to_pylist())
        tier[row[row >= 0]] = np.array([place[name] for name in told["member_tier"].to_pylist()], np.int32)[row >= 0]
        return cls(users, weight.astype(np.float32), newcomer, tier, tiers)

    def __len__(self) -> int:
        return len(self.users)

    def eligible(self, offers: Sequence[Mapping[str, Any]], claims: pa.Table) -> NDArray[np.bool_]:
        """bool [U+1, O]: whether the rules of these offers let each have them. claims: user_id, offer_id, claims."""
        by_tier = np.array([[for_tier(offer, tier) for offer in offers] for tier in self.tiers], bool)
        found = by_tier.reshape(len(self.tiers), len(offers))[self.tier]
        place = {offer["offer_id"]: column for column, offer in enumerate(offers)}
        user = self.users.indices(claims["user_id"].to_pylist())
        for row, offer_id, count in zip(
            user, claims["offer_id"].to_pylist(), claims["claims"].to_pylist(), strict=True
        ):
            column = place.get(offer_id)
            if row >= 0 and column is not None and not within_limit(offers[column], count):
                found[row, column] = False
        for column, offer in enumerate(offers):
            if not within_limit(offer, 0):
                found[:, column] = False
        return found


def claims_of(past: Past, offers: Sequence[Mapping[str, Any]]) -> pa.Table:
    """How often visitors claimed offers with a limit a person, and did not give them back: user_id, offer_id,
    claims."""
    limited = [offer["offer_id"] for offer in offers if offer.get("per_user_limit") is not None]
    events = past.lake_events
    if not limited:
        return pa.table({"user_id": pa.array([], pa.string()), "offer_id": pa.array([], pa.string()), "claims": []})
    events = _before(past).filter(events.type.isin(("offer_claim", "offer_return")), events.offer_id.isin(limited))
    back = (events.type == "offer_return").sum()
    rows: pa.Table = events.group_by("user_id", "offer_id").aggregate(claims=events.count() - 2 * back).to_pyarrow()
    return rows


def seen_of(past: Past, users: Vocabulary, decisions: ir.Table) -> NDArray[np.uint8]:
    """uint8 [U+1, SEEN_DAYS]: how many offers each visitor was shown on each local day; column 0 is the day of the
    plan's moment, as far as it went.

    For visitors of the holdout: how many they would have been shown, counting every offer of each answer in `decisions`
    (`recommender.experiment.decisions_of`), so that both arms come to their limit equally soon. All 0 for an app that
    does not tell what is seen.
    """
    seen = np.zeros((len(users) + 1, SEEN_DAYS), np.uint8)
    if not past.real_time or not exposures_told(past):
        return seen
    events = _before(past)
    events = events.filter(events.type == EXPOSURE, microseconds(events.ts) >= past.now.us - SEEN_DAYS * DAY_US)
    ago = past.now.day - day_number(past.zone.local_us(microseconds(events.ts)))
    rows = events.select("user_id", ago=ago, shown=ibis.literal(1, "int64")).union(_ghosts(past, decisions))
    rows = rows.group_by("user_id", "ago").aggregate(shown=rows.shown.sum()).to_pyarrow()
    row = users.indices(rows["user_id"].to_pylist())
    column, shown = (rows[name].to_numpy().astype(np.int64) for name in ("ago", "shown"))
    known = (row >= 0) & (column >= 0) & (column < SEEN_DAYS)
    seen[row[known], column[known]] = np.minimum(shown[known], np.iinfo(np.uint8).max)
    return seen


def _ghosts(past: Past, decisions: ir.Table) -> ir.Table:
    """user_id, ago (local days), shown: how many offers recent answers would have shown to visitors held out."""
    us = microseconds(decisions.ts)
    rows = decisions.filter(
        decisions.policy.isin(LIVE),
        decisions.arm == "control",
        decisions.candidates.contains(KEY),
        us >= past.now.us - SEEN_DAYS * DAY_US,
    )
    shown = (rows.candidates.length() - rows.candidates.replace(KEY, "").length()) // len(KEY)
    ago = past.now.day - day_number(past.zone.local_us(microseconds(rows.ts)))
    return rows.select("user_id", ago=ago, shown=shown.cast("int64"))


def exposures_told(past: Past) -> bool:
    """Whether any event tells that an offer was seen."""
    events = _before(past)
    return bool(events.filter(events.type == EXPOSURE).limit(1).count().execute())


def pace_of(past: Past) -> tuple[float, ...]:
    """168 shares, by local hour from Monday's first on: when in a week visitors come, by the last `PACE_DAYS` days.
    Each hour is given a visit beforehand, so that none is impossible; without times all are alike."""
    visits = np.ones(HOURS)
    if past.real_time:
        events = _before(past)
        us = microseconds(events.ts)
        own = events.filter(us >= past.now.days_ago(PACE_DAYS), events.type.notin(PASSIVE))
        local = past.zone.local_us(microseconds(own.ts))
        hours = own.select("user_id", hour=local // (DAY_US // 24)).distinct()
        day = hours.hour // 24
        slot = (iso_weekday(day) - 1) * 24 + hours.hour % 24
        counted = hours.group_by(slot=slot).aggregate(n=hours.count()).to_pyarrow()
        visits[counted["slot"].to_numpy()] += counted["n"].to_numpy()
    return tuple((visits / visits.sum()).tolist())


def _before(past: Past) -> ir.Table:
    events = past.lake_events
    return events.filter(events.ts < ibis.literal(past.as_of, "timestamp('UTC')"))


def _coming(users: Vocabulary, portraits: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """[U]: days of the last `RATE_DAYS` on which each came (nan where the history has no days), and the first moment
    (microseconds; the least number where none is known)."""
    rows = pq.read_table(portraits / TABLE_FILE, columns=["user_id", "active_days_30d", "first_seen"])
    row = users.indices(rows["user_id"].to_pylist())
    told = pc.fill_null(rows["active_days_30d"].cast(pa.float64()), np.nan).to_numpy()
    moments = rows["first_seen"].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    active, first = np.zeros(len(users)), np.full(len(users), NEVER)
    active[row[row >= 0]] = told[row >= 0]
    first[row[row >= 0]] = pc.fill_null(moments, NEVER).to_numpy()[row >= 0]
    return active, first


def _chance_to_come(active: NDArray[np.float64], first: NDArray[np.int64], now_us: int) -> NDArray[np.float64]:
    """Chance to come on one of the next `PERIOD_DAYS` days, by how many of the last ones the visitor came on; half for
    each where the history has no days."""
    if np.isnan(active).all() or not np.nansum(active):
        return np.full(len(active), 0.5)
    known = np.where(first == NEVER, RATE_DAYS, np.clip((now_us - np.maximum(first, 0)) / DAY_US, 1.0, RATE_DAYS))
    rate = np.nansum(active) / known.sum()
    own = np.minimum((np.nan_to_num(active) + PRIOR_DAYS * rate) / (known + PRIOR_DAYS), 1.0)
    return np.asarray(1.0 - (1.0 - own) ** PERIOD_DAYS)
