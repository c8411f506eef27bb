"""What was tried with offers, and what came of it: one row a visitor and local day, as arrays for learners of effects.

A trial is a visitor's first assignment of a local day (`recommender.offers.assigned`: decisions, sends, exposures) with
the outcome of the `offer_days` from then on (`recommender.offers.followed`) and what was known of the visitor before
(`recommender.offers.features`). Intention to treat: what counts is what was decided, not whether the visitor looked, so
that a coupon that is redeemed unseen is a cost and no effect: as many would have bought without it. Windows of one
visitor may overlap. All before `as_of`; nobody who refused or was forgotten.

A customer file without time (one row a customer: what is known, what was sent, what came of it) is imported with
constant times that are in order: decisions, then, within offer_days, purchases. Catalogue rows are true from ever.

Offers are those that were given, whether or not a catalogue (still) has them.

Trials are read by DuckDB, in this process, whatever engine the app's night runs on (HUAXIANG_ENGINE): candidates are
JSON, which `recommender.offers.assigned` opens by DuckDB's own function. Another engine is refused.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from ibis.backends import BaseBackend

from portraits.attribution import Attribution
from portraits.build import past_of
from portraits.engine import EMBEDDED, is_embedded
from portraits.errors import InvalidValue
from portraits.local import DAY_US, to_us
from portraits.people import Persons
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot
from recommender.effects.pooling import pooled
from recommender.experiment import decisions_of
from recommender.offers.assigned import LIVE, Assigned
from recommender.offers.declared import Float32
from recommender.offers.features import Int64, features_at
from recommender.offers.followed import SUMS, Followed

Floats = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

MOST = 1_000_000
"""Trials at most, the latest: half a gigabyte of what is known of them."""
FEWEST_HELD, DOUBT = 30, 4.0
"""A share of visitors in control that is so many standard errors from the setting's, seen of so many visitors, says
that the setting was another one."""
SEASON_DAYS, SEASON = 7.0, 0.1
"""Spans of a season, and how far apart they may well be, in standard deviations of the outcome."""
SOURCES = ("decisions", "sends", "exposures")


@dataclass(frozen=True)
class Trials:
    """N trials in order of time, then visitor.

    offers: their ids, sorted. user_id: of the persons. at_us: UTC microseconds. action: the offer given, a place in
    `offers`, -1 for none. propensity: the chance of that action, nan where it is not known. intended: the first offer
    chosen, also where it was not shown (control); -1 none. control: held out. exposed: the intended offer was seen
    within the window (of offers that no exposure is told of: was given). bought: 0 or 1. margin, revenue, cost,
    own_cost: money within the window; margin is before the cost of coupons; cost is of all redemptions, own_cost of the
    intended offer's. redeemed: redemptions; unseen: those of offers that the visitor had not been shown. complete:
    the window ended before as_of. source: a place in SOURCES. decision_id: of the answer, empty where there was none.
    live: an answer of this system with an arm. even: the arms can be compared (see `recommender.offers.assigned`). Both
    empty: of all. could: bool [N, O], the offers that could have been given, all where that is not told; empty: it is
    told of none. X, names: see `recommender.offers.features`. account: counts, for a report.
    """

    offers: tuple[str, ...]
    user_id: list[str]
    at_us: Int64
    action: Int32
    propensity: Floats
    intended: Int32
    control: Bools
    exposed: Bools
    bought: Floats
    margin: Floats
    revenue: Floats
    cost: Floats
    X: Float32
    names: tuple[str, ...]
    complete: Bools
    own_cost: Floats = field(default_factory=lambda: np.empty(0))
    redeemed: Floats = field(default_factory=lambda: np.empty(0))
    unseen: Floats = field(default_factory=lambda: np.empty(0))
    source: npt.NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    decision_id: list[str] = field(default_factory=list)
    live: Bools = field(default_factory=lambda: np.empty(0, bool))
    even: Bools = field(default_factory=lambda: np.empty(0, bool))
    could: Bools = field(default_factory=lambda: np.empty((0, 0), bool))
    account: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.at_us)

    def where(self, rows: Bools | Int64) -> Trials:
        """Some of the trials."""
        chosen = np.flatnonzero(rows) if rows.dtype == bool else rows
        if rows.dtype == bool and len(chosen) == len(self):
            return self
        own: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                own[name] = value[chosen] if len(value) else value
            elif isinstance(value, list):
                own[name] = [value[row] for row in chosen] if value else value
        return Trials(**{**vars(self), **own})

    @property
    def to_learn(self) -> Trials:
        """Those that effects are learnt from: of the held out only while a limit a person cannot have told the arms
        apart, since later they stand beside those of the treated who did not use their offers."""
        return self.where(self.even | ~self.control) if len(self.even) else self

    def could_have(self, offers: Sequence[str]) -> Bools | None:
        """bool [N, len(offers)]: whether each of these could have been given, True where that is not told; None where
        it is told of no trial."""
        if not len(self.could):
            return None
        place = {offer: column for column, offer in enumerate(self.offers)}
        found = np.ones((len(self), len(offers)), bool)
        for column, offer in enumerate(offers):
            if offer in place:
                found[:, column] = self.could[:, place[offer]]
        return found

    def settled(self, outcome: Floats, days: float = SEASON_DAYS) -> Floats:
        """`outcome` [N] less what the season adds to it: offers run at different times, and what is bought without any
        changes from one time to the next, which an offer of one time must not be given credit for.

        The season is what trials of none brought (weighted by 1 / propensity where it is known) within each span of
        `days`, less their mean, drawn to 0 as far as spans differ no more than their trials let them
        (`recommender.effects.pooling`).
        """
        none = self.action < 0
        if not none.any():
            return outcome
        span = ((self.at_us - self.at_us.min()) // round(days * DAY_US)).astype(np.int64)
        weight = np.where(none, 1 / np.where(np.isnan(self.propensity), 1.0, self.propensity), 0.0)
        mean = float(np.average(outcome, weights=weight))
        spread = float(np.sqrt(np.average((outcome - mean) ** 2, weights=weight)))
        if spread == 0.0:
            return outcome
        sums, total, squares = (np.bincount(span, one) for one in (weight * (outcome - mean), weight, weight**2))
        seen = total > 0
        whole = np.where(seen, total, 1.0)
        error = np.where(seen, spread * np.sqrt(squares) / whole, np.inf)
        return np.asarray(outcome - pooled(sums / whole, error, SEASON * spread).mean[span])


def trials(
    snapshot: Snapshot,
    settings: AppSettings,
    as_of: datetime,
    con: BaseBackend,
    *,
    most: int = MOST,
    known: bool = True,
) -> Trials:
    """What was tried before `as_of`, of more than `most` the latest. known: False leaves X without columns, which is
    what costs most. Raises InvalidValue for a `con` that is no DuckDB (see the module)."""
    if not is_embedded(con):
        raise InvalidValue("engine of trials", con.name, f"{EMBEDDED} (portraits.engine.connect)")
    past = past_of(snapshot, settings, as_of, con)
    people = Persons(snapshot, con, as_of)
    decisions = decisions_of(snapshot, past, people, con)
    share = _held(decisions, settings.offer_control_share)
    units = Assigned(past, decisions, share).units
    latest = units.order_by([units.at_us.desc(), units.user_id]).limit(most)
    number = ibis.row_number().over(order_by=[latest.at_us, latest.user_id])
    latest = latest.mutate(n=number).cache()
    lists = latest.filter(latest.could.notnull()).select("could").distinct()
    lists = lists.mutate(which=ibis.row_number().over(order_by=lists.could)).cache()
    found = Attribution(decisions, past.events, settings.attribution_hours)
    followed = Followed(past, found, settings.objective)
    days_us = round(settings.offer_days * DAY_US)
    sums = followed.sums(latest, days_us)
    told = latest.left_join(sums, "n").drop("n_right").fill_null(dict.fromkeys((*SUMS, "exposed"), 0.0))
    told = told.left_join(lists, "could").drop("could", "could_right")
    rows = told.order_by("n").to_pyarrow().combine_chunks()
    seen = set(followed.told.offer_id.to_pyarrow().to_pylist())
    user_id = _column(rows, "user_id")
    at_us = rows["at_us"].to_numpy().astype(np.int64)
    table: tuple[Float32, tuple[str, ...]] = (np.empty((len(rows), 0), np.float32), ())
    if known:
        table = features_at(snapshot, settings, as_of, con, user_ids=user_id, at_us=at_us)
    tried = _as_trials(rows, seen, table, at_us + days_us <= to_us(as_of))
    texts = lists.order_by("which").could.to_pyarrow().to_pylist()
    return tried if not texts else replace(tried, could=_could(tried, texts, rows["which"]))


def _could(found: Trials, texts: Sequence[str], which: pa.ChunkedArray) -> Bools:
    """bool [N, O] by JSON lists of ids and which of them each trial has; what is no list tells nothing. What was
    chosen could be."""
    place = {offer: column for column, offer in enumerate(found.offers)}
    lists = np.zeros((len(texts) + 1, len(place)), bool)
    lists[-1] = True
    for row, text in enumerate(texts):
        ids = json.loads(text) if text.startswith("[") else None
        columns = [place[one] for one in ids or () if isinstance(one, str) and one in place]
        lists[row, slice(None) if ids is None else columns] = True
    could: Bools = lists[pc.fill_null(which, len(texts)).to_numpy().astype(np.int64)]
    for chosen in (found.action, found.intended):
        rows = np.flatnonzero(chosen >= 0)
        could[rows, chosen[rows]] = True
    return could


def _as_trials(rows: pa.Table, seen: set[str], known: tuple[Float32, tuple[str, ...]], complete: Bools) -> Trials:
    intended, action = _column(rows, "intended"), _column(rows, "action")
    offers = sorted(set(pc.drop_null(intended).unique().to_pylist()) | set(pc.drop_null(action).unique().to_pylist()))
    codes = pa.array(offers, pa.string())
    intended, action = (
        pc.fill_null(pc.index_in(one, codes), -1).to_numpy(zero_copy_only=False).astype(np.int32)
        for one in (intended, action)
    )
    money = {name: rows[name].to_numpy().astype(np.float64) for name in SUMS}
    source = pc.index_in(_column(rows, "source"), pa.array(SOURCES)).to_numpy(zero_copy_only=False).astype(np.uint8)
    control = rows["control"].to_numpy(zero_copy_only=False).astype(bool)
    is_told = np.append([offer in seen for offer in offers], False).astype(bool)
    exposed = (rows["exposed"].to_numpy() > 0) | (~is_told[action] & (action >= 0))
    found = Trials(
        offers=tuple(offers),
        user_id=_column(rows, "user_id").to_pylist(),
        at_us=rows["at_us"].to_numpy().astype(np.int64),
        action=action,
        propensity=pc.fill_null(rows["propensity"], np.nan).to_numpy().astype(np.float64),
        intended=intended,
        control=control,
        exposed=exposed,
        bought=(money["lines"] > 0).astype(np.float64),
        margin=money["margin"],
        revenue=money["revenue"],
        cost=money["cost"],
        own_cost=money["own_cost"],
        redeemed=money["redeemed"],
        unseen=money["unseen"],
        X=known[0],
        names=known[1],
        complete=complete,
        source=source,
        decision_id=pc.fill_null(_column(rows, "decision_id"), "").to_pylist(),
        live=rows["live"].to_numpy(zero_copy_only=False).astype(bool),
        even=rows["even"].to_numpy(zero_copy_only=False).astype(bool),
    )
    return Trials(**{**vars(found), "account": _account(found)})


def _account(found: Trials) -> dict[str, Any]:
    """Counts of a report."""
    by_source = Counter(found.source.tolist())
    return {
        **{name: by_source[place] for place, name in enumerate(SOURCES)},
        "given": int(np.sum(found.action >= 0)),
        "control": int(found.control.sum()),
        "control shown all the same": int(np.sum(found.control & found.exposed)),
        "without a chance": int(np.isnan(found.propensity).sum()),
        "not complete": int(np.sum(~found.complete)),
        "redeemed": int(found.redeemed.sum()),
        "redeemed unseen": int(found.unseen.sum()),
    }


def _held(decisions: ir.Table, setting: float) -> float:
    """The share of visitors who were held out: the setting, or what was seen where the two cannot both be true."""
    live = decisions.filter(decisions.policy.isin(LIVE) & decisions.arm.notnull())
    by_visitor = live.group_by("user_id").aggregate(held=(live.arm == "control").any())
    sums = by_visitor.aggregate(total=by_visitor.count(), held=by_visitor.held.sum()).to_pyarrow().to_pylist()[0]
    total, held = int(sums["total"]), int(sums["held"] or 0)
    if total < FEWEST_HELD:
        return setting
    error = np.sqrt(max(setting * (1 - setting), 0.25 / total) / total)
    return setting if abs(held / total - setting) <= DOUBT * error else held / total


def _column(rows: pa.Table, name: str) -> pa.Array:
    column = rows[name].combine_chunks()
    return column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)
