"""What a plan of offers would earn before it is spent: off-policy, from the chances by which the past gave offers.

The policy asked about is the day's: who would be given which offer first, exploration and doubt included
(`recommender.offers.export.first_chances`). Beside it stand giving nothing to anybody, and giving everybody the offer
that the plan values most for them, whatever the budget. Values are profit (margin before coupons, less what coupons
cost, within `offer_days`) for each answer, beside nothing given; so the holdout tells a part of it, too.

Part of what a policy would do may hardly ever have been tried (in fewer than `FEWEST_TRIED` answers); what came of the
rest does not stand for that part. Where it is more than `policy_value.NEVER_TRIED` of what the policy would do, every
estimate says that there is too little to tell and gives no number: IPS would count that part as nothing, SNIPS would
take it for as good as the rest, and DR's model would guess it.

The log is older than the plan: visitors are as the plan knows them now, what came of offers is as it was then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from math import isnan, nan
from typing import Any

import numpy as np
from ibis.backends.duckdb import Backend

from portraits.errors import NothingThere
from portraits.local import to_us
from portraits.settings import AppSettings
from portraits.snapshot import Snapshot
from recommender.effects.policy_value import NEVER_TRIED, TOO_FEW, Estimate, Floats, Log, dr, ips, predict, snips
from recommender.offers.export import first_chances
from recommender.offers.features import features_at
from recommender.offers.plan_files import OfferPlan
from recommender.offers.trials import Trials, trials

POLICIES = ("plan", "everybody", "nobody")
FEWEST_TRIED = 30
"""Answers with an offer below which it counts as never tried."""
MOST = 200_000
"""Trials looked at, the latest: the model of DR foretells each offer for each."""


@dataclass(frozen=True)
class Evaluation:
    """policy: of POLICIES. answers: trials whose chances are known. gains: by estimator, profit an answer beside
    nothing given. cost: what it would cost an answer (SNIPS). warnings: sentences."""

    policy: str
    answers: int
    gains: Mapping[str, Estimate]
    cost: Estimate
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """What is not known is null."""
        gains = {name: _told(one) for name, one in self.gains.items()}
        head = {"policy": self.policy, "answers": self.answers, "profit_an_answer": gains}
        return head | {"cost_an_answer": _told(self.cost), "warnings": list(self.warnings)}


def evaluate(
    snapshot: Snapshot, settings: AppSettings, plan: OfferPlan, span: tuple[datetime, datetime], con: Backend
) -> list[Evaluation]:
    """Each of POLICIES, from what was tried in the span (its end not in it). Raises NothingThere where no chance is
    known."""
    since, until = span
    found = trials(snapshot, settings, until, con, most=MOST, known=False)
    found = found.where((found.at_us >= to_us(since)) & (found.propensity > 0))
    if not len(found):
        raise NothingThere(
            "offers given by known chances", settings.app_id, "answers of /v1/offers log theirs; each night brings them"
        )
    X, names = features_at(snapshot, settings, until, con, found.user_id, found.at_us)
    return evaluations(plan, replace(found, X=X, names=names), settings)


def evaluations(plan: OfferPlan, found: Trials, settings: AppSettings) -> list[Evaluation]:
    """Each of POLICIES, from trials whose chances are known."""
    offers = sorted({*plan.offers, *found.offers})
    column = np.array([*(offers.index(one) for one in found.offers), -1])
    visitor = np.unique(np.array(found.user_id, object), return_inverse=True)[1]
    log = Log(column[found.action], found.propensity, found.margin - found.cost, visitor)
    cost = Log(log.action, log.propensity, found.cost, visitor)
    guess = predict(found.X, log, len(offers) + 1, settings.seed)
    nobody = np.zeros_like(guess)
    nobody[:, -1] = 1.0
    told = []
    for policy in POLICIES:
        target = _target(policy, plan, found, offers, settings.offer_exploration)
        gains = {
            "IPS": ips(log, target, nobody),
            "SNIPS": snips(log, target, nobody),
            "DR": dr(log, target, guess, nobody),
        }
        unknown = _untried(log, target)
        told.append(_told_of(policy, len(found), gains, snips(cost, target), unknown))
    return told


def _untried(log: Log, target: Floats) -> float:
    """Share of what a policy would do that the log tells too little of."""
    columns = log.action % target.shape[1]
    rare = np.bincount(columns, minlength=target.shape[1]) < FEWEST_TRIED
    return float(target[:, rare].sum() / len(target))


def _told_of(policy: str, answers: int, gains: Mapping[str, Estimate], cost: Estimate, unknown: float) -> Evaluation:
    warnings = gains["SNIPS"].warnings
    if unknown > NEVER_TRIED:
        line = f"{unknown:.0%} of what it would do was tried fewer than {FEWEST_TRIED} times: no estimate holds"
        warnings = (*warnings, f"{line}, IPS counts it as nothing, SNIPS as if it were like the rest, DR guesses it")
        gains, cost = {name: _too_few(one) for name, one in gains.items()}, _too_few(cost)
    return Evaluation(policy, answers, gains, cost, warnings)


def _too_few(one: Estimate) -> Estimate:
    return replace(one, value=nan, low=nan, high=nan, error=nan, says=TOO_FEW)


def _target(policy: str, plan: OfferPlan, found: Trials, offers: list[str], exploration: float) -> Floats:
    """[n, offers + 1]: chances that the policy gives each visitor each offer first; the last column is none."""
    rows = np.array([plan.row(one) for one in found.user_id], np.intp)
    chances = np.zeros((len(rows), len(offers) + 1))
    columns = [offers.index(one) for one in plan.offers]
    if policy == "plan" and columns:
        chances[:, columns] = first_chances(plan, rows, exploration)
    elif policy == "everybody" and columns:
        worth = np.where(plan.eligible[rows], plan.gain[rows] - plan.cost[rows], -np.inf)
        best = worth.argmax(axis=1)
        some = np.flatnonzero(np.isfinite(worth[np.arange(len(rows)), best]))
        chances[some, np.array(columns)[best[some]]] = 1.0
    chances[:, -1] = np.maximum(1.0 - chances[:, :-1].sum(axis=1), 0.0)
    return chances


def _told(one: Estimate) -> dict[str, Any]:
    told = {name: value for name, value in asdict(one).items() if name != "warnings"}
    return {name: None if isinstance(value, float) and isnan(value) else value for name, value in told.items()}
