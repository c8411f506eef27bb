"""What a report of offers is made of: trials of a span, what visitors did from their first answer on, the funnel.

The same history is read in three ways:

- by trial (`recommender.offers.trials`): what follows within `offer_days`; for single offers
- by visitor: all that follows the first answer about offers until the end of the span; for all offers together and for
  segments
- by visitor and night: what follows the first answer of that night's plan within `offer_days`

The last two take any answer, also one that could only be none. Such answers go to visitors who have used up an offer or
seen enough, and nobody who is held out has used up anything: leaving them out would compare unlike visitors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any, NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from ibis.backends.duckdb import Backend

from portraits.attribution import Attribution
from portraits.build import past_of
from portraits.errors import NothingThere
from portraits.history import NOBODY
from portraits.local import DAY_US, microseconds, to_us
from portraits.people import Persons
from portraits.segments.nights import USER, Night, column
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot
from recommender.experiment import ARMS, decisions_of
from recommender.offers.assigned import LIVE
from recommender.offers.followed import SUMS, Followed
from recommender.offers.incremental import Floats, Ints, Values
from recommender.offers.trials import Bools, Trials, trials

BEFORE_DAYS = 90
"""What visitors earned in so many days before their first offer is looked at to make comparisons steadier."""
FUNNEL: Mapping[str, str] = {
    "claimed": "offer_claim",
    "redeemed": "offer_redeem",
    "expired": "offer_expire",
    "returned": "offer_return",
}
"""What is counted of each offer -> the type of event that tells it."""


class Nightly(NamedTuple):
    """Of M first answers of a visitor by one night's plan: its version, whether the visitor was held out, and what came
    of it within `offer_days`."""

    version: npt.NDArray[np.object_]
    held: Bools
    values: Values


@dataclass(frozen=True)
class Evidence:
    """N trials of a span, V visitors.

    visitor: int[N], the number of the visitor whose trial it is. live: bool[N], whether it is an answer of this system
    with an arm. firsts: places among N of live trials that are the visitor's first ever of the chosen offer and can be
    compared by arm (`Trials.even`). totals: what each visitor did from the first answer of the span on. held: bool[V],
    whether that answer had the arm control, in order of `totals.visitor`. nights: first answers of each visitor by
    night. segments: name -> places among V. redeemed: redemptions in the span; unseen: those by visitors who had not
    been shown the offer. funnel: offer -> name (see `FUNNEL`) -> count.
    """

    since: datetime
    until: datetime
    trials: Trials
    visitor: Ints
    live: Bools
    firsts: Ints
    held: Bools
    totals: Values
    nights: Nightly
    segments: Mapping[str, Ints]
    redeemed: int
    unseen: int
    funnel: Mapping[str, Mapping[str, float]]

    @property
    def values(self) -> Values:
        """What came of the trials within their windows."""
        told = self.trials
        return Values(self.visitor, told.bought, told.revenue, told.margin, told.cost)


def evidence(
    snapshot: Snapshot,
    settings: AppSettings,
    since: datetime,
    until: datetime,
    con: Backend,
    *,
    nights: Sequence[Night] = (),
) -> Evidence:
    """From `since` to before `until`, of what the lake holds. Raises NothingThere when nothing was tried then."""
    every = trials(snapshot, settings, until, con, known=False)
    inside = every.at_us >= to_us(since)
    if not inside.any():
        span = f"from {since:%Y-%m-%d} to {until:%Y-%m-%d}"
        raise NothingThere(
            "trials of offers in the history of", settings.app_id, f"none {span}; each night brings more"
        )
    past = past_of(snapshot, settings, until, con)
    people = Persons(snapshot, con, until)
    decisions = decisions_of(snapshot, past, people, con)
    followed = Followed(past, Attribution(decisions, past.events, settings.attribution_hours), settings.objective)
    code = np.unique(np.array(every.user_id, object), return_inverse=True)[1]
    told = every.where(inside)
    answers = _answers(decisions, every, to_us(since))
    who = np.unique(answers["user_id"].to_numpy(zero_copy_only=False), return_inverse=True)[1]
    held = answers["held"].to_numpy(zero_copy_only=False).astype(bool)
    first = np.unique(who, return_index=True)[1]
    units = answers.take(pa.array(first)).set_column(0, "n", pa.array(range(len(first)), pa.int64()))
    table, by_night = (con.create_table(ibis.util.gen_name("units"), one, temp=True) for one in (units, answers))
    used = followed.redemptions.filter(followed.redemptions.ts_us >= to_us(since)).cache()
    totals = used.aggregate(n=used.count(), unseen=used.unseen.sum().fill_null(0)).to_pyarrow().to_pylist()[0]
    return Evidence(
        since=since,
        until=until,
        trials=told,
        visitor=code[inside],
        live=told.live,
        firsts=np.searchsorted(np.flatnonzero(inside), _firsts(every, code, inside)),
        held=held[first],
        totals=_values(followed, table, who[first], to_us(until) - to_us(since), before=True),
        nights=Nightly(
            answers["version"].to_numpy(zero_copy_only=False),
            held,
            _values(followed, by_night, who, round(settings.offer_days * DAY_US)),
        ),
        segments=_segments(units, nights, people, con),
        redeemed=int(totals["n"]),
        unseen=int(totals["unseen"]),
        funnel=_funnel(told, past.events.filter(past.events.ts_us >= to_us(since)), used),
    )


def _firsts(every: Trials, visitor: Ints, inside: Bools) -> Ints:
    """Of all trials (in order of time) those inside that are the first of their visitor and offer and tell by arm."""
    rows = np.flatnonzero(every.live & (every.intended >= 0))
    pair = visitor[rows].astype(np.int64) * len(every.offers) + every.intended[rows]
    rows = np.sort(rows[np.unique(pair, return_index=True)[1]])
    return np.asarray(rows[(every.even & inside)[rows]])


def _answers(decisions: ir.Table, every: Trials, since_us: int) -> pa.Table:
    """Each visitor's first answer about offers from then on by each version, in order of visitors and time: n, user_id,
    at_us, held, version ("" where none is told), and ever_us, of the first answer or trial ever."""
    rows = decisions.filter(decisions.policy.isin(LIVE) & decisions.arm.isin(ARMS) & (decisions.user_id != NOBODY))
    rows = rows.select(
        "user_id", at_us=microseconds(rows.ts), held=rows.arm == "control", version=rows.version.fill_null("")
    )
    ever = rows.group_by("user_id").aggregate(ever_us=rows.at_us.min())
    rows = rows.filter(rows.at_us >= since_us)
    rows = rows.group_by("user_id", "version").aggregate(held=rows.held.argmin(rows.at_us), at_us=rows.at_us.min())
    rows = rows.inner_join(ever, "user_id").order_by("user_id", "at_us", "version")
    found = rows.select("user_id", "at_us", "held", "version", "ever_us").to_pyarrow().combine_chunks()
    earliest: dict[str, int] = {}
    for user, at_us in zip(every.user_id, every.at_us.tolist(), strict=True):
        earliest.setdefault(user, at_us)
    users, ever_us = found["user_id"].to_pylist(), found["ever_us"].to_pylist()
    first = [min(at_us, earliest.get(user, at_us)) for user, at_us in zip(users, ever_us, strict=True)]
    nothing = pa.nulls(len(found), pa.string())
    return pa.table(
        {
            "n": pa.array(range(len(found)), pa.int64()),
            **{name: found[name] for name in ("user_id", "at_us", "held", "version")},
            "ever_us": pa.array(first, pa.int64()),
            "decision_id": nothing,
            "intended": nothing,
        }
    )


def _values(followed: Followed, units: ir.Table, visitor: Ints, span_us: int, *, before: bool = False) -> Values:
    """What visitors did within so long from the units (numbered as `visitor`) on. before: and earned before their first
    answer ever."""
    size = len(visitor)
    sums = followed.sums(units, span_us).to_pyarrow()
    columns = {name: _spread(sums, name, size) for name in SUMS}
    earned: Floats | None = None
    if before:
        lines = followed.lines.inner_join(units, "user_id")
        early = lines.filter((lines.ts_us < lines.ever_us) & (lines.ts_us >= lines.ever_us - BEFORE_DAYS * DAY_US))
        earned = _spread(early.group_by("n").aggregate(before=early.margin.sum()).to_pyarrow(), "before", size)
    bought = (columns["lines"] > 0).astype(np.float64)
    return Values(visitor, bought, columns["revenue"], columns["margin"], columns["cost"], earned)


def _spread(rows: pa.Table, name: str, size: int) -> Floats:
    """A column by n, 0 for those of whom there is no row."""
    found = np.zeros(size)
    found[rows["n"].to_numpy()] = rows[name].cast(pa.float64()).to_numpy()
    return found


def _funnel(told: Trials, events: ir.Table, used: ir.Table) -> dict[str, dict[str, float]]:
    """By offer: decided (visitors and days), held back, shown (of those decided), what became of claims, and of the
    redemptions that hold what they cost (in all, the least and the most of one) and how many were of visitors who had
    not been shown the offer."""
    kinds = events.filter(events.type.isin(list(FUNNEL.values())) & events.offer_id.notnull())
    counts = {name: kinds.count(where=kinds.type == kind) for name, kind in FUNNEL.items()}
    of_events = {
        row.pop("offer_id"): row for row in kinds.group_by("offer_id").aggregate(counts).to_pyarrow().to_pylist()
    }
    costs = used.group_by("offer_id").aggregate(
        paid=used.count(), unseen=used.unseen.sum(), cost=used.cost.sum(), least=used.cost.min(), most=used.cost.max()
    )
    of_costs = {row.pop("offer_id"): row for row in costs.to_pyarrow().to_pylist()}
    found: dict[str, dict[str, float]] = {}
    for place, offer in enumerate(told.offers):
        given, meant = told.action == place, told.intended == place
        found[offer] = {
            "decided": int(given.sum()),
            "held back": int((meant & told.control).sum()),
            "shown": int((given & told.exposed).sum()),
            **dict.fromkeys(FUNNEL, 0),
        }
    for offer in sorted(found.keys() | of_events.keys() | of_costs.keys()):
        own = found.setdefault(offer, {"decided": 0, "held back": 0, "shown": 0, **dict.fromkeys(FUNNEL, 0)})
        own |= of_events.get(offer, {})
        own |= {"redeemed unseen": 0.0, "cost": 0.0, "least": 0.0, "most": 0.0}
        spent = of_costs.get(offer)
        if spent:
            own["redeemed"] = max(own["redeemed"], spent["paid"])
            own |= {"redeemed unseen": spent["unseen"]} | {name: spent[name] for name in ("cost", "least", "most")}
    return found


def _segments(units: pa.Table, nights: Sequence[Night], people: Persons, con: Backend) -> dict[str, Ints]:
    """Places of the members of each segment, each visitor as in the last night before the first trial of the span."""
    found: dict[str, list[Ints]] = {}
    for night, who in _by_night(units, nights):
        table = con.create_table(ibis.util.gen_name("who"), who.select(["n", "user_id"]), temp=True)
        kept = con.read_parquet(night.path).select(USER, *(column(name) for name in night.definitions))
        rows = people.merged(kept, USER).inner_join(table, USER)
        wide = {name: rows[column(name)].bit_or().cast("int64") for name in night.definitions}
        members = rows.group_by("n").aggregate(wide).to_pyarrow()
        for name in night.definitions:
            inside = pc.equal(pc.bit_wise_and(members[name], 1), 1)
            found.setdefault(name, []).append(members["n"].filter(inside).to_numpy())
    joined = {name: np.sort(np.concatenate(parts)).astype(np.int64) for name, parts in found.items()}
    return {name: places for name, places in sorted(joined.items()) if len(places)}


def _by_night(units: pa.Table, nights: Sequence[Night]) -> Iterator[tuple[Night, pa.Table]]:
    ordered: list[Any] = sorted(nights, key=lambda night: night.as_of)
    at_us = units["at_us"].to_numpy()
    for night, following in zip_longest(ordered, ordered[1:]):
        inside = at_us >= to_us(night.as_of)
        if following is not None:
            inside &= at_us < to_us(following.as_of)
        if night.definitions and inside.any():
            yield night, units.filter(pa.array(inside))
