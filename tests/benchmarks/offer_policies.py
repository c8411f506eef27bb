"""Ways to decide who gets which coupon, each from the same trials and the same portraits, for `bench_offers.py`.

Those that rank visitors spend what an offer cost on average in
the trials until the budget is gone; those that plan do so by `recommender.offers.allocate`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portraits.settings import AppSettings
from recommender.effects.learners import LEARNERS
from recommender.effects.means import fit_mean
from recommender.offers.allocate import Budgets, allocate
from recommender.offers.estimate import Known, estimate
from recommender.offers.trials import Trials

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """One shop tonight. U visitors, O offers that hold; weight: chance to come tomorrow, as the portraits tell it;
    gain, cost, come: the truth, for the oracle and the judge alone."""

    seed: int
    settings: AppSettings
    known: Known
    trials: Trials
    offers: list[str]
    catalogue: list[dict[str, Any]]
    eligible: Array
    weight: Array
    gain: Array
    cost: Array
    come: Array

    @property
    def action(self) -> Array:
        """Of each trial, as a place in `offers`; -1 none, -2 an offer that does not hold any more."""
        place = {name: column for column, name in enumerate(self.offers)}
        return np.array([*(place.get(name, -2) for name in self.trials.offers), -1])[self.trials.action]

    def column(self, name: str) -> Array:
        """A column of the portraits; 0 where it is not known."""
        values: Array = np.nan_to_num(self.known.X[:, self.known.names.index(name)].astype(np.float64))
        return values

    def usual_cost(self) -> Array:
        """What a trial of each offer cost on average."""
        return np.array([self.trials.cost[self.action == offer].mean() for offer in range(len(self.offers))])

    def usual_profit(self) -> Array:
        """What a trial of each offer earned more than one of none."""
        net = self.trials.margin - self.trials.cost
        none = net[self.action == -1].mean()
        return np.array([net[self.action == offer].mean() - none for offer in range(len(self.offers))])

    def best_offer(self) -> Array:
        """The one that earned most in the trials, for each visitor."""
        return np.full(len(self.weight), self.usual_profit().argmax())


Plan = Callable[[float], Array]
Policy = Callable[[Case], Plan]
"""What is learnt once; then, under a budget, what each visitor gets (-1: none)."""


def oracle(case: Case) -> Plan:
    """The plan by the truth."""
    return planned(case, case.gain, case.cost, case.come)


def of_portraits(case: Case) -> Plan:
    """What the portraits can tell at the most: the truth, learnt from the other half of the visitors. No trials of any
    number would let a policy know more by these means."""
    half = np.random.default_rng(case.seed + 2).integers(0, 2, len(case.weight))
    told = [np.zeros_like(case.gain), np.zeros_like(case.cost)]
    for mine in (0, 1):
        seen, here = half != mine, half == mine
        for found, truth in zip(told, (case.gain, case.cost), strict=True):
            for offer in range(len(case.offers)):
                mean = fit_mean(case.known.X[seen], truth[seen, offer], case.come[seen], case.seed)
                found[here, offer] = mean(case.known.X[here])
    return planned(case, told[0], told[1], case.weight)


def of_averages(case: Case) -> Plan:
    """What can be known without telling visitors apart: the true average of each offer."""
    told = [np.average(truth, axis=0, weights=case.come) for truth in (case.gain, case.cost)]
    gain, cost = (np.tile(one, (len(case.weight), 1)) for one in told)
    return planned(case, gain, cost, case.weight)


def nobody(case: Case) -> Plan:
    return lambda _: np.full(len(case.weight), -1)


def everybody(case: Case) -> Plan:
    """The offer that earned most on average, to whoever comes first."""
    luck = np.random.default_rng(case.seed).random(len(case.weight))
    return ranked(case, luck, case.best_offer())


def at_random(case: Case) -> Plan:
    rng = np.random.default_rng(case.seed + 1)
    size = len(case.weight)
    return ranked(case, rng.random(size), rng.integers(0, len(case.offers), size))


def redeemers(case: Case) -> Plan:
    """Propensity: who is likeliest to redeem, each with the offer likeliest to be redeemed."""
    tried, action = case.trials, case.action
    chances = []
    for offer in range(len(case.offers)):
        given = action == offer
        used = (tried.own_cost[given] > 0).astype(np.float64)
        chances.append(fit_mean(tried.X[given], used, np.ones(len(used)), case.seed)(case.known.X))
    chance = np.where(case.eligible, np.stack(chances, axis=1), -1.0)
    return ranked(case, chance.max(axis=1), chance.argmax(axis=1))


def buyers(case: Case) -> Plan:
    """Propensity: who is likeliest to buy, with the offer that earned most on average."""
    tried = case.trials
    chance = fit_mean(tried.X, tried.bought, np.ones(len(tried)), case.seed)(case.known.X)
    return ranked(case, chance, case.best_offer())


def lapsing(case: Case) -> Plan:
    """RFM: who spent more than the median and has not bought for longer than the median, the largest spenders first;
    with the offer that earned most on average."""
    spent, orders, since = (case.column(name) for name in ("spend", "orders", "recency_days"))
    bought = orders > 0
    good = bought & (spent >= np.median(spent[bought])) & (since >= np.median(since[bought]))
    return ranked(case, np.where(good, spent, -1.0), np.where(good, case.best_offer(), -1))


def t_learner(case: Case) -> Plan:
    """One T-learner of profit, planned with what each offer cost on average."""
    used = case.action >= -1
    tried, action = case.trials.where(used), case.action[used]
    net = tried.margin - tried.cost
    found = LEARNERS["t"]().fit(tried.X, action, tried.propensity, net, case.seed, offers=len(case.offers))
    cost = np.broadcast_to(case.usual_cost(), case.eligible.shape)
    return planned(case, found.effects(case.known.X) + cost, cost, case.weight)


def rules(case: Case) -> Plan:
    """Ours before anything was tried: rules of thumb."""
    return huaxiang(replace(case, trials=case.trials.where(np.zeros(len(case.trials), bool))))


def huaxiang(case: Case) -> Plan:
    """Ours: the night's estimates and plan."""
    newcomer = np.zeros(len(case.weight), bool)
    told = estimate(case.trials, case.known, case.offers, case.catalogue, case.settings, newcomer=newcomer)
    return planned(case, told.gain[:-1], told.cost[:-1], case.weight)


def planned(case: Case, gain: Array, cost: Array, weight: Array) -> Plan:
    """The plan of most expected profit by these figures."""
    gain, cost = np.ascontiguousarray(gain, np.float32), np.maximum(cost, 0).astype(np.float32)

    def plan(budget: float) -> Array:
        limits = Budgets([None] * len(case.offers), budget)
        return allocate(gain, cost, case.eligible, weight, limits, case.seed).chosen.astype(np.int64)

    return plan


def ranked(case: Case, score: Array, offer: Array) -> Plan:
    """The best by score, each with its offer, until the budget is gone by what offers cost on average."""
    may = (offer >= 0) & case.eligible[np.arange(len(offer)), np.maximum(offer, 0)]
    order = np.argsort(-score, kind="stable")
    spent = np.cumsum(np.where(may, case.weight * case.usual_cost()[offer], 0.0)[order])

    def plan(budget: float) -> Array:
        chosen = np.full(len(offer), -1)
        within = order[spent <= budget]
        chosen[within] = np.where(may[within], offer[within], -1)
        return chosen

    return plan


POLICIES: Mapping[str, Policy] = {
    "oracle": oracle,
    "best of portraits": of_portraits,
    "true averages": of_averages,
    "huaxiang": huaxiang,
    "one T-learner": t_learner,
    "rules of thumb": rules,
    "likely to redeem": redeemers,
    "likely to buy": buyers,
    "RFM, lapsing": lapsing,
    "everybody": everybody,
    "random": at_random,
    "nobody": nobody,
}
