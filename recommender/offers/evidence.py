"""What a report of offers is made of: trials of a span, what each visitor did from the first of them on, the funnel.

Two readings of the same history. By trial (`recommender.offers.trials`): what follows within `offer_days`, for an offer
or a night. By visitor: all that follows until the end of the span, for all offers together and for segments; a visitor
counts once there, so that windows which overlap count nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any

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
from portraits.lake import Snapshot
from portraits.local import DAY_US, microseconds, to_us
from portraits.people import Persons
from portraits.segments.nights import USER, Night, column
from portraits.settings import AppSettings
from recommender.experiment import ARMS, decisions_of
from recommender.offers.assigned import LIVE
from recommender.offers.followed import SUMS, Followed
from recommender.offers.incremental import Floats, Ints, Values
from recommender.offers.trials import Trials, trials

BEFORE_DAYS = 90
"""What visitors earned in so many days before their first offer is looked at to make comparisons steadier."""
FUNNEL: Mapping[str, str] = {
    "claimed": "offer_claim",
    "redeemed": "offer_redeem",
    "expired": "offer_expire",
    "returned": "offer_return",
}
"""What is counted of each offer -> the type of event that tells it."""


@dataclass(frozen=True)
class Evidence:
    """N trials of a span, V visitors.

    visitor: int[N], whose trial it is, a number. live: bool[N], an answer of this system with an arm. version: [N], of
    the night that answered; "" where none is told. first: int[V], each visitor's first live trial, in order of
    `totals.visitor`. totals: what the visitor did from then on. segments: name -> places among V. redeemed, unseen: of
    all redemptions in the span, how many, and by visitors who had not been shown the offer. funnel: offer -> name ->
    count.
    """

    since: datetime
    until: datetime
    trials: Trials
    visitor: Ints
    live: npt.NDArray[np.bool_]
    version: npt.NDArray[np.object_]
    first: Ints
    totals: Values
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
    names, code = np.unique(np.array(every.user_id, object), return_inverse=True)
    told = every.where(inside)
    visitor = code[inside]
    version = _versions(told, decisions, con)
    live = np.array([one is not None for one in version], bool)
    first = _first(visitor, told.at_us, live)
    units = pa.table(
        {
            "n": pa.array(range(len(first)), pa.int64()),
            "user_id": pa.array(names[visitor[first]].tolist(), pa.string()),
            "at_us": told.at_us[first],
            "ever_us": every.at_us[_first(code, every.at_us, np.ones(len(every), bool))][visitor[first]],
            "decision_id": pa.nulls(len(first), pa.string()),
            "intended": pa.nulls(len(first), pa.string()),
        }
    )
    table = con.create_table(ibis.util.gen_name("units"), units, temp=True)
    used = followed.redemptions.filter(followed.redemptions.ts_us >= to_us(since)).cache()
    totals = used.aggregate(n=used.count(), unseen=used.unseen.sum().fill_null(0)).to_pyarrow().to_pylist()[0]
    return Evidence(
        since=since,
        until=until,
        trials=told,
        visitor=visitor,
        live=live,
        version=np.array([one or "" for one in version], object),
        first=first,
        totals=_totals(followed, table, visitor[first], to_us(until) - to_us(since)),
        segments=_segments(units, nights, people, con),
        redeemed=int(totals["n"]),
        unseen=int(totals["unseen"]),
        funnel=_funnel(told, past.events.filter(past.events.ts_us >= to_us(since)), used),
    )


def _first(visitor: Ints, at_us: Ints, which: npt.NDArray[np.bool_]) -> Ints:
    """The first of these rows of each visitor, in order of visitors."""
    rows = np.flatnonzero(which)
    order = rows[np.lexsort((at_us[rows], visitor[rows]))]
    return order[np.unique(visitor[order], return_index=True)[1]]


def _versions(told: Trials, decisions: ir.Table, con: Backend) -> list[str | None]:
    """Of each trial that is a live answer with an arm, the version that gave it ("" where it tells none)."""
    rows = decisions.filter(decisions.policy.isin(LIVE) & decisions.arm.isin(ARMS))
    rows = rows.select("user_id", at_us=microseconds(rows.ts), version=rows.version.fill_null(""))
    rows = rows.group_by("user_id", "at_us").aggregate(version=rows.version.min())
    asked = pa.table(
        {
            "n": pa.array(range(len(told)), pa.int64()),
            "user_id": pa.array(told.user_id, pa.string()),
            "at_us": told.at_us,
        }
    )
    table = con.create_table(ibis.util.gen_name("asked"), asked, temp=True)
    found = table.left_join(rows, ["user_id", "at_us"]).order_by("n").select("version").to_pyarrow()
    versions: list[str | None] = found["version"].to_pylist()
    by_decision = told.source == 0 if len(told.source) else np.zeros(len(told), bool)
    return [one if own else None for one, own in zip(versions, by_decision.tolist(), strict=True)]


def _totals(followed: Followed, units: ir.Table, visitor: Ints, span_us: int) -> Values:
    """What the visitors did from their first trial on, and earned before their first ever."""
    size = len(visitor)
    sums = followed.sums(units, span_us).to_pyarrow()
    columns = {name: _spread(sums, name, size) for name in SUMS}
    lines = followed.lines.inner_join(units, "user_id")
    early = lines.filter((lines.ts_us < lines.ever_us) & (lines.ts_us >= lines.ever_us - BEFORE_DAYS * DAY_US))
    before = _spread(early.group_by("n").aggregate(before=early.margin.sum()).to_pyarrow(), "before", size)
    bought = (columns["lines"] > 0).astype(np.float64)
    return Values(visitor, bought, columns["revenue"], columns["margin"], columns["cost"], before)


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
