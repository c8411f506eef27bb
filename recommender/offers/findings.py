"""What an app's history supports for offers, in sentences: what `huaxiang doctor` says beside its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import ibis
from ibis.backends.duckdb import Backend

from portraits.attribution import Attribution
from portraits.build import past_of
from portraits.doctor import Finding
from portraits.engine import connect
from portraits.people import Persons
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot
from recommender.experiment import decisions_of
from recommender.offers.assigned import Assigned
from recommender.offers.eligible import plannable
from recommender.offers.followed import Followed

ENOUGH_TRIALS = 1_000
"""Trials of an offer, and as many of none, from which on a lift of a few points shows: where 5% buy, the difference of
two such groups is known to within 2 points."""
FEWEST_TRIALS = 30
"""Below, nothing but an average is learnt (`recommender.effects.rows.FEW`)."""
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted. planned: offers that hold at the end of the history; trials: visitors' first answers (or sends,
    or exposures) of a day; control: of them, of visitors who never get an offer; none: in which nothing was given;
    known: by a chance that is known; by_offer: in which the offer was given, the most first; exposures, redemptions:
    events; unseen: redemptions of who had not been shown the offer."""

    planned: int
    trials: int
    control: int
    none: int
    known: int
    by_offer: Mapping[str, int]
    exposures: int
    redemptions: int
    unseen: int


def offer_findings(snapshot: Snapshot, settings: AppSettings) -> list[Finding]:
    """Findings on offers; none for an app without offers in its catalogue, its events or its answers."""
    bounds = snapshot.bounds()
    if bounds is None:
        return []
    con = connect()
    try:
        counted = _counted(snapshot, settings, bounds[1] + timedelta(microseconds=1), con)
    finally:
        con.disconnect()
    if not (counted.planned or counted.trials or counted.redemptions or counted.exposures):
        return []
    return [*_trials(counted), *_holdout(counted, settings), *_exposures(counted), *_redemptions(counted)]


def _counted(snapshot: Snapshot, settings: AppSettings, until: datetime, con: Backend) -> Counted:
    past = past_of(snapshot, settings, until, con)
    decisions = decisions_of(snapshot, past, Persons(snapshot, con, until), con)
    units = Assigned(past, decisions, settings.offer_control_share).units.cache()
    given = units.filter(units.action.notnull()).group_by("action").aggregate(n=lambda rows: rows.count())
    given = given.order_by(ibis.desc("n"), "action").to_pyarrow()
    sums = units.aggregate(
        trials=units.count(),
        control=units.control.sum(),
        none=units.action.isnull().sum(),
        known=units.propensity.notnull().sum(),
    )
    used = Followed(past, Attribution(decisions, past.events, settings.attribution_hours), "revenue").redemptions
    redeemed = used.aggregate(redemptions=used.count(), unseen=used.unseen.sum())
    numbers = sums.to_pyarrow().to_pylist()[0] | redeemed.to_pyarrow().to_pylist()[0]
    exposed = past.events.filter(past.events.type == "offer_exposure")
    return Counted(
        planned=sum(plannable(row, until, until) for row in past.lake_offers.to_pyarrow().to_pylist()),
        by_offer=dict(zip(given["action"].to_pylist(), given["n"].to_pylist(), strict=True)),
        exposures=int(exposed.count().execute()),
        **{name: int(value or 0) for name, value in numbers.items()},
    )


def _trials(counted: Counted) -> Iterator[Finding]:
    if not counted.trials:
        told = "Nothing tells who was given an offer: effects are guessed by rules from portraits until /v1/offers has "
        yield Finding("offer trials", False, told + "answered, or past answers are imported as decisions.")
        return
    most = [f"{name} {count:,}" for name, count in list(counted.by_offer.items())[:SHOWN]]
    told = f"{counted.trials:,} trials (a visitor and day), {counted.none:,} of them of no offer; of {', '.join(most)}"
    told += f" and {len(counted.by_offer) - SHOWN} more" if len(counted.by_offer) > SHOWN else ""
    few = [name for name, count in counted.by_offer.items() if count < FEWEST_TRIALS]
    enough = any(count >= ENOUGH_TRIALS for count in counted.by_offer.values())
    if few:
        told += f"; {len(few)} with under {FEWEST_TRIALS}: of these an average, at most, is learnt"
    elif not enough:
        told += f"; about {ENOUGH_TRIALS:,} of an offer show a lift of a few points"
    yield Finding("offer trials", True if enough and not few else None, told + ".")
    share = counted.known / counted.trials
    if share < 1:
        told = f"{share:.0%} of trials tell how likely the offer was (propensity): of the others it is "
        yield Finding("offer propensities", None, told + "estimated, and effects are as good as the features.")


def _holdout(counted: Counted, settings: AppSettings) -> Iterator[Finding]:
    if counted.control:
        told = f"{counted.control:,} trials of visitors who never get an offer: what offers earn is known beside them."
        yield Finding("offer holdout", True if counted.control >= ENOUGH_TRIALS else None, told)
    elif counted.none:
        told = f"No holdout, but {counted.none:,} trials of no offer: effects are told beside these."
        yield Finding("offer holdout", None, told)
    elif counted.trials:
        told = "Everybody was given an offer: what would have been bought anyway is unknown."
        yield Finding("offer holdout", False, told)
    if not settings.offer_control_share:
        told = "offer_control_share is 0: nobody is held out from now on, so what offers earn cannot be told."
        yield Finding("offer holdout", False, told)


def _exposures(counted: Counted) -> Iterator[Finding]:
    if counted.exposures:
        yield Finding("offer exposures", True, f"{counted.exposures:,} events tell that an offer was seen.")
    elif counted.trials or counted.redemptions:
        told = "Nothing tells whether an offer was seen (offer_exposure): every answer counts as seen, and how often "
        yield Finding("offer exposures", None, told + "visitors see offers is not limited.")


def _redemptions(counted: Counted) -> Iterator[Finding]:
    if not counted.redemptions:
        yield Finding("redemptions", None, "No redemptions: what an offer costs is guessed from its rule.")
        return
    told = f"{counted.redemptions:,} redemptions"
    if counted.unseen:
        told += f"; {counted.unseen:,} by visitors who had not been shown the offer: a cost and no effect"
    yield Finding("redemptions", None if counted.unseen > counted.redemptions / 2 else True, told + ".")
